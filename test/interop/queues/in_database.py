"""Runs a queue's test in a database of its own, which exports to an OTLP receiver.

    in_database.py QUEUE COMMAND [ARG]…

The database is queue_QUEUE, with the extension and a function shape(table) that tells what a table
is made of.  COMMAND finds the database by PGDATABASE, the receiver by OTEL_EXPORTER_OTLP_ENDPOINT,
and what that has received in the file of the name RECEIVED, in the folder where it is started: a
JSON line for each span, as OpenTelemetry's own classes decode it.
"""

import os
import pathlib
import subprocess
import sys

INTEROP = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(INTEROP), str(INTEROP.parent / "receiver")]
from checks import configure, database  # noqa: E402
from otlp_receiver import Receiver  # noqa: E402

# Of a partitioned table also what its partitions are made of.
SHAPE = """
    CREATE FUNCTION shape(regclass) RETURNS text LANGUAGE sql AS $$
        SELECT string_agg(concat_ws(' ', t, attname, atttypid::regtype, attnotnull,
                                    pg_get_expr(adbin, adrelid)), E'\\n' ORDER BY t, attnum)
               || coalesce(string_agg(DISTINCT E'\\n' || pg_get_triggerdef(g.oid), ''), '')
          FROM (SELECT $1 UNION SELECT relid FROM pg_partition_tree($1)) AS tables(t)
          JOIN pg_attribute ON attrelid = t AND attnum > 0 AND NOT attisdropped
          LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
          LEFT JOIN pg_trigger g ON tgrelid = t AND NOT tgisinternal
    $$
"""


def main():
    queue, *command = sys.argv[1:]
    received = pathlib.Path("received", queue)
    received.parent.mkdir(exist_ok=True)
    received.write_text("")
    with (
        Receiver(spans=received) as receiver,
        database("queue_" + queue.replace("-", "_")) as connection,
    ):
        configure(connection, exporter_otlp_endpoint=receiver.url)
        connection.execute(SHAPE)
        environment = {
            "PGDATABASE": connection.info.dbname,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "RECEIVED": str(received),
        }
        return subprocess.run(command, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
