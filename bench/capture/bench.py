"""What it costs an INSERT to record a context: a table of ratios, bytes and instructions.

    bench.py SECONDS      called by bench/capture/run, on a cluster of its own

Every variant inserts the same rows into a table of its own; they take turns, ROUNDS times.  "The
same bytes, constant" shows the cost of a context's bytes and of a default without any capture: no
way to store a context in the row can be cheaper.  Time is the CPU time of the server's processes as
the kernel counts it, which is meaningful even on a busy machine.  A ratio is a variant's time
divided by that of the same statement, with or without a comment, on the table without the column in
the same round.  The median is shown, with the least and the greatest.  Instructions are counted by
callgrind in a single-user server: those for 20,000 rows, or 1,000 statements, minus those for none.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys

import psycopg

ROWS = 500_000
ROUNDS = 7
CLIENTS = 8
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
COMMENT = f"/*db_driver='bench',traceparent='{TRACEPARENT}'*/"
BASE = "id bigint, kind text, payload text, created_at timestamptz DEFAULT now()"
QUERY_REGEXP = "'traceparent=''([0-9a-f-]{55})'"
FUNCTION = """
    CREATE FUNCTION fill_three() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE tp text := current_setting('otel.traceparent', true);
    BEGIN
        IF tp ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' THEN
            NEW.trace_id := substr(tp, 4, 32);
            NEW.span_id := substr(tp, 37, 16);
            NEW.trace_flags := ('x' || substr(tp, 54, 2))::bit(8)::int;
        END IF;
        RETURN NEW;
    END $$"""


class Variant:
    def __init__(self, name, columns="", comment="", table=None, after=""):
        self.name = name
        self.table = table
        self.columns = columns
        self.comment = comment
        self.after = after


VARIANTS = [
    Variant("no column", table="none"),
    Variant("no column, with a comment", comment=COMMENT, table="none_commented"),
    Variant(
        "the same bytes, constant",
        f"ctx otel.trace_context DEFAULT '{TRACEPARENT}'",
        table="otel_constant",
    ),
    Variant(
        "otel, from a setting",
        "ctx otel.trace_context DEFAULT otel.current_trace_context()",
        table="otel_setting",
    ),
    Variant(
        "otel, from a comment",
        "ctx otel.trace_context DEFAULT otel.current_trace_context()",
        COMMENT,
        "otel_comment",
    ),
    Variant(
        "text, regexp of current_query",
        f"ctx text DEFAULT substring(current_query() FROM {QUERY_REGEXP})",
        COMMENT,
        "as_query",
    ),
    Variant(
        "text, current_setting",
        "ctx text DEFAULT current_setting('otel.traceparent', true)",
        table="as_text",
    ),
    Variant(
        "jsonb carrier",
        "ctx jsonb DEFAULT jsonb_build_object('traceparent', "
        "current_setting('otel.traceparent', true))",
        table="as_jsonb",
    ),
    Variant(
        "plpgsql trigger, 3 columns",
        "trace_id text, span_id text, trace_flags int",
        table="as_columns",
        after="CREATE TRIGGER t BEFORE INSERT ON as_columns "
        "FOR EACH ROW EXECUTE FUNCTION fill_three()",
    ),
]


def base(variant):
    """The table without the column that the same statement is measured with."""
    return "none_commented" if variant.comment else "none"


def options(variant):
    """Sets the context for the session if the variant reads a setting."""
    return "" if variant.comment or not variant.columns else f"-c otel.traceparent={TRACEPARENT}"


def create(connection):
    connection.execute("CREATE EXTENSION otel_links")
    connection.execute(FUNCTION)
    for variant in VARIANTS:
        columns = f"{BASE}, {variant.columns}" if variant.columns else BASE
        connection.execute(f"CREATE TABLE {variant.table} ({columns})")
        if variant.after:
            connection.execute(variant.after)


def bulk(statement):
    """Ratios of a statement that inserts ROWS rows; statement(variant) is its text."""
    times = {variant.table: [] for variant in VARIANTS}
    # never prepared: the comment of a statement that is executed again would not be trusted
    connections = {
        variant.table: psycopg.connect(
            "", autocommit=True, options=options(variant), prepare_threshold=None
        )
        for variant in VARIANTS
    }
    for turn in range(ROUNDS + 1):
        for variant in VARIANTS:
            connection = connections[variant.table]
            connection.execute(f"TRUNCATE {variant.table}")
            connection.execute("CHECKPOINT")
            taken = backend_time(connection, statement(variant))
            if turn > 0:  # the first warms up
                times[variant.table].append(taken)
    return ratios(times)


def backend_time(connection, statement):
    """CPU seconds of the connection's process for a statement."""
    schedstat = pathlib.Path(f"/proc/{connection.info.backend_pid}/schedstat")
    before = int(schedstat.read_text().split()[0])
    connection.execute(statement)
    return (int(schedstat.read_text().split()[0]) - before) / 1e9


def reaped_time():
    """CPU seconds of all processes of the postmaster that have ended."""
    postmaster = (
        (pathlib.Path(os.environ["CLUSTER_DIR"]) / "data" / "postmaster.pid").read_text().split()[0]
    )
    fields = pathlib.Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def wait_for_backends():
    """Waits until the last session of pgbench has ended, so that its time is counted."""
    with psycopg.connect("", autocommit=True) as connection:
        while connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'"
        ).fetchone()[0]:
            pass


def ratios(times):
    """Per table: median, least and greatest of the ratios to the table without a column."""
    result = {}
    for variant in VARIANTS:
        each = [mine / without for mine, without in zip(times[variant.table], times[base(variant)])]
        result[variant.table] = (statistics.median(each), min(each), max(each))
    return result


def insert_select(variant):
    return (
        f"INSERT INTO {variant.table} (id, kind, payload) SELECT i, 'report', "
        f"'payload of some sixty bytes, as a job has it: number ' || i "
        f"FROM generate_series(1, {ROWS}) i {variant.comment}"
    )


def pgbench(protocol, seconds, directory):
    times = {variant.table: [] for variant in VARIANTS}
    for turn in range(ROUNDS):
        for variant in VARIANTS:
            script = directory / f"{variant.table}.sql"
            script.write_text(
                "\\set id random(1, 1000000000)\n"
                f"INSERT INTO {variant.table} (id, kind, payload) "
                f"VALUES (:id, 'report', 'a payload') {variant.comment};\n"
            )
            subprocess.run(
                [psql(), "-Xqc", f"TRUNCATE {variant.table}", "-c", "CHECKPOINT"], check=True
            )
            before = reaped_time()
            out = subprocess.run(
                [
                    os.environ["PG_BINDIR"] + "/pgbench",
                    "-n",
                    "-M",
                    protocol,
                    "-c",
                    str(CLIENTS),
                    "-j",
                    "1",
                    "-T",
                    str(seconds),
                    "-f",
                    str(script),
                ],
                env={**os.environ, "PGOPTIONS": options(variant)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            wait_for_backends()
            done = int(re.search(r"actually processed: (\d+)", out).group(1))
            times[variant.table].append((reaped_time() - before) / done)
    return ratios(times)


def psql():
    return os.environ["PG_BINDIR"] + "/psql"


def row_bytes(connection):
    """Bytes of a row in the table, and of its context alone."""
    result = {}
    for variant in VARIANTS:
        names = re.findall(r"(?:^|, )(\w+) (?:otel|text|jsonb|int)", variant.columns)
        alone = " + ".join(f"pg_column_size({name})" for name in names) or "0"
        result[variant.table] = connection.execute(
            f"SELECT pg_relation_size('{variant.table}') / count(*)::numeric, avg({alone}) "
            f"FROM {variant.table}"
        ).fetchone()
    return result


def instructions(data, statements):
    """What callgrind counts while a single-user server runs statements."""
    preload = ["SET otel.traceparent = ''"]
    out = data.parent / "callgrind.out"
    command = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={out}",
        os.environ["PG_BINDIR"] + "/postgres",
        "--single",
        "-j",
        "-D",
        str(data),
        "-c",
        "fsync=off",
        "-c",
        "jit=off",
        os.environ["PGDATABASE"],
    ]
    if os.getuid() == 0:
        command = ["runuser", "-u", "postgres", "--"] + command
    # with -j a statement ends at a semicolon and two line ends
    text = "".join(f"{statement};\n\n" for statement in preload + statements)
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=data.parent)
    counted = re.search(r"Collected : (\d+)", done.stderr)
    if counted is None or "ERROR" in done.stderr:
        sys.exit(done.stderr)
    return int(counted.group(1))


def count_instructions(data):
    """Per table: instructions a row of a bulk INSERT, and a single-row INSERT."""
    result = {}
    for variant in VARIANTS:
        context = [] if not options(variant) else [f"SET otel.traceparent = '{TRACEPARENT}'"]
        many = insert_select(variant).replace(str(ROWS), "20000")
        one = (
            f"INSERT INTO {variant.table} (id, kind, payload) "
            f"VALUES (1, 'report', 'a payload') {variant.comment}"
        )
        # a statement before that, so that work done once in a session is not counted
        nothing = instructions(data, context + [one] * 10)
        result[variant.table] = (
            (instructions(data, context + [one] * 10 + [many]) - nothing) / 20000,
            (instructions(data, context + [one] * 1010) - nothing) / 1000,
        )
    return result


def without_traceparent():
    """Milliseconds that a default adds to a 10 MB statement without a traceparent."""
    times = {"none": [], "otel_comment": []}
    text = "x" * 10_000_000
    with psycopg.connect("", autocommit=True, prepare_threshold=None) as connection:
        for _ in range(5 * ROUNDS):
            for table, taken in times.items():
                taken.append(
                    1000
                    * backend_time(
                        connection, f"INSERT INTO {table} (id, kind) VALUES (1, left('{text}', 1))"
                    )
                )
    return min(times["otel_comment"]) - min(times["none"])


def show(heading, columns, cell):
    print(f"\n{heading}\n")
    print(f"| {'':29} | " + " | ".join(f"{column:>20}" for column in columns) + " |")
    print(f"|{'-' * 31}|" + "|".join("-" * 21 + ":" for _ in columns) + "|")
    for variant in VARIANTS:
        print(
            f"| {variant.name:29} | "
            + " | ".join(f"{cell(variant.table, i):>20}" for i in range(len(columns)))
            + " |",
            flush=True,
        )


def show_times(connection, directory, seconds):
    measured = [bulk(insert_select)]
    sizes = row_bytes(connection)
    rows = directory / "data" / "rows.copy"
    connection.execute(f"COPY (SELECT id, kind, payload FROM none) TO '{rows}'")
    measured.append(
        bulk(
            lambda variant: (
                f"COPY {variant.table} (id, kind, payload) FROM '{rows}' {variant.comment}"
            )
        )
    )
    for protocol in ("simple", "extended", "prepared"):
        measured.append(pgbench(protocol, seconds, directory))
    print(f"{ROUNDS} rounds; {ROWS} rows in bulk; pgbench with {CLIENTS} clients, {seconds} s each")
    show(
        "Processor time, as a ratio to no column: median (least to greatest)",
        ["INSERT … SELECT", "COPY", "pgbench simple", "pgbench extended", "pgbench prepared"],
        lambda table, i: "{:.3f} ({:.2f} to {:.2f})".format(*measured[i][table]),
    )
    show(
        "Bytes a row", ["in the table", "of the context"], lambda table, i: f"{sizes[table][i]:.1f}"
    )


def main():
    seconds = int(sys.argv[1])
    directory = pathlib.Path(os.environ["CLUSTER_DIR"])
    with psycopg.connect("", autocommit=True) as connection:
        create(connection)
        if seconds > 0:
            show_times(connection, directory, seconds)
        added = without_traceparent()
    print(
        f"\nA statement of 10 MB without a traceparent takes {added:.2f} ms more with the default "
        "than without a column."
    )

    data = directory / "data"
    subprocess.run(
        ([] if os.getuid() else ["runuser", "-u", "postgres", "--"])
        + [os.environ["PG_BINDIR"] + "/pg_ctl", "-D", str(data), "-s", "-m", "fast", "-w", "stop"],
        check=True,
        cwd=directory,
    )
    counts = count_instructions(data)
    bases = {variant.table: base(variant) for variant in VARIANTS}
    show(
        "Instructions",
        ["a row in bulk", "ratio", "a single INSERT", "ratio"],
        lambda table, i: (
            f"{counts[table][i // 2]:,.0f}"
            if i % 2 == 0
            else f"{counts[table][i // 2] / counts[bases[table]][i // 2]:.3f}"
        ),
    )


if __name__ == "__main__":
    main()
