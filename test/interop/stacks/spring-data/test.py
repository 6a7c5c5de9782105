"""Spring Data as docs/stacks.md sets it up: runs Client.java with comments and with the documented
listener, under the agent and with the starter, and compares its rows with the spans that these
exported.  Prints TAP lines.
"""

from java_support import Program

for how in "comments", "listener", "starter, comments", "starter, listener":
    comments = how.endswith("comments")
    program = Program("jobs.Client", how, comments=comments, starter=how.startswith("starter"))
    for number in range(1, 9):
        program.traced(f"{how}, JPA, save, {number}")
        program.traced(f"{how}, JDBC, save, {number}")
    program.traced(f"{how}, JPA, saveAll", 25)
    program.traced(f"{how}, JDBC, saveAll", 25)
    program.traced(f"{how}, JdbcTemplate")
    program.traced(f"{how}, JdbcTemplate, batchUpdate", 3)
    program.traced(f"{how}, JdbcClient")
    if comments:
        program.traced(f"{how}, JdbcTemplate outside of a transaction")
    else:
        program.untraced(f"{how}, JdbcTemplate outside of a transaction")
    program.untraced(f"{how}, outside of a request")
