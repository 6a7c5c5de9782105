"""JDBC under OpenTelemetry's agent as docs/stacks.md sets it up: runs Client.java, and compares its
rows with the spans that the agent exported.  Prints TAP lines.
"""

from java_support import Program, is_

program = Program("Client")
program.untraced("a row that is there already", why=", although the migration was traced")
for number in range(1, 9):
    program.traced(f"a statement for each request, {number}")
is_(
    program.rows("an unsampled request")[0][::2],
    ("4bf92f3577b34da6a3ce929d0e0e4736", 0),
    "an unsampled request: the row has its trace, and the flag of a sampled one is not set",
)
program.traced("a batch", 3)
program.traced("a Statement")
program.untraced("a semicolon at the end", why=", as pgjdbc splits the comment off")
program.traced("generated keys")
program.traced("eight executions in a transaction", 8)
rows = [row[0] for row in program.rows("eight executions, each a transaction")]
trace = program.requests["eight executions, each a transaction"]["trace_id"]
is_(
    (len(rows), set(rows)),
    (8, {trace, None}),
    "eight executions, each a transaction: "
    "once pgjdbc gives the statement a name, its rows have none",
)
for number in range(1, 9):
    # a kept statement, a batch of it, and COPY
    program.traced(f"InTransaction, {number}", 3)
program.untraced("after InTransaction")
kept = {
    trace
    for number in range(1, 3)
    for trace, *_ in program.rows(f"a statement kept over requests, {number}")
}
is_(
    kept,
    {program.requests["a statement kept over requests, 1"]["trace_id"]},
    "a statement that is kept over requests has the first one's context, as the page says",
)
for number in range(1, 21):
    program.traced(f"a pool, {number}", 64)
for number in range(1, 9):
    program.traced(f"a pool of statements, {number}")
    program.traced(f"a pool of statements, InTransaction, {number}")
