# Sourced by ../run, in the folder of this stack.
"$(python_with "$HERE/requirements.txt")" test.py
