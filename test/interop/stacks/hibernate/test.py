"""Hibernate as docs/stacks.md sets it up: runs Client.java with the agent's comments and with the
inspector's, and compares its rows with the spans that the agent exported.  Prints TAP lines.
"""

from java_support import Program

for how in "comments", "inspector":
    program = Program("Client", how, comments=how == "comments")
    if how == "comments":
        program.untraced("a row that is there already")
    for number in range(1, 9):
        program.traced(f"{how}, persist, {number}")
    program.traced(f"{how}, a batch", 25)
    program.traced(f"{how}, an entity that does not know the column")
    program.traced(f"{how}, @Generated")
    program.traced(f"{how}, HQL")
    program.traced(f"{how}, a stateless session")
    program.traced(f"{how}, native SQL")
