# Sourced by ../run, in the folder of this stack.
python=$(python_with "$HERE/requirements.txt")
rm -rf jobs/migrations && mkdir jobs/migrations && touch jobs/migrations/__init__.py
"$python" test.py && "$python" test.py django
