# Sourced by ../run, in the folder of this stack: the test of SQLAlchemy 2.0, with version 2.1.
cp "$HERE/sqlalchemy/test.py" .
"$(python_with requirements.txt sqlalchemy-2.1)" test.py
