"""jOOQ as docs/stacks.md sets it up: runs Client.java with the agent's comments and with the
documented listener, and compares its rows with the spans that the agent exported.  Prints TAP
lines.
"""

from java_support import Program

for how in "comments", "listener":
    program = Program("Client", how, comments=how == "comments")
    program.untraced("a row that is there already")
    for number in range(1, 9):
        program.traced(f"{how}, insertInto, {number}")
    program.traced(f"{how}, several rows", 3)
    program.traced(f"{how}, returning")
    program.traced(f"{how}, a record")
    program.traced(f"{how}, a record of a POJO")
    program.traced(f"{how}, batchInsert", 25)
    program.traced(f"{how}, plain SQL")
    if how == "comments":
        program.traced(f"{how}, outside of a transaction")
    else:
        program.untraced(f"{how}, outside of a transaction")
