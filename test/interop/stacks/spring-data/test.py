"""Spring Data as docs/stacks.md sets it up: runs Client.java with the agent's comments and with the
documented listener, and compares its rows with the spans that the agent exported.  Prints TAP
lines.
"""

from java_support import Program

for how in "comments", "listener":
    program = Program("jobs.Client", how, comments=how == "comments")
    for number in range(1, 9):
        program.traced(f"{how}, JPA, save, {number}")
        program.traced(f"{how}, JDBC, save, {number}")
    program.traced(f"{how}, JPA, saveAll", 25)
    program.traced(f"{how}, JDBC, saveAll", 25)
    program.traced(f"{how}, JdbcTemplate")
    program.traced(f"{how}, JdbcTemplate, batchUpdate", 3)
    program.traced(f"{how}, JdbcClient")
    if how == "comments":
        program.traced(f"{how}, JdbcTemplate outside of a transaction")
    else:
        program.untraced(f"{how}, JdbcTemplate outside of a transaction")
    program.untraced(f"{how}, outside of a request")
