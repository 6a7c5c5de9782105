#!/usr/bin/env python3
"""Writes docs/reference.md and the tables of README.md from the catalog: what they say is what COMMENT ON
and the settings' descriptions say.

    scripts/cluster build/venv/bin/python3 scripts/reference.py [--check]

--check writes nothing, prints TAP, and fails when a file is not as it would be written, or when README's
example does not do what it is there to show.
"""

import os
import pathlib
import re
import subprocess
import sys

import psycopg

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "receiver"))

from otlp_receiver import Receiver  # noqa: E402

# Functions that people call: not what types, operators, casts, operator classes and aggregates are
# made of.
FUNCTIONS = """
    SELECT p.proname, p.prokind, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
           p.provolatile, obj_description(p.oid, 'pg_proc')
    FROM pg_proc p
    WHERE p.pronamespace = 'otel'::regnamespace
      AND NOT EXISTS (
          SELECT FROM pg_depend d LEFT JOIN pg_aggregate a ON d.classid = 'pg_proc'::regclass AND d.objid = aggfnoid
          WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
            AND (aggfnoid IS NOT NULL
                 OR d.classid IN ('pg_type'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass)))
      AND NOT EXISTS (SELECT FROM pg_amproc a WHERE a.amproc = p.oid)
    ORDER BY p.oid"""

RELATIONS = """
    SELECT c.relname, c.relkind, obj_description(c.oid, 'pg_class'),
           (SELECT array_agg(ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod),
                                   col_description(c.oid, a.attnum)] ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
    FROM pg_class c
    WHERE c.relnamespace = 'otel'::regnamespace AND c.relkind IN ('r', 'v')
    ORDER BY c.oid"""

TYPES = """
    SELECT t.typname, obj_description(t.oid, 'pg_type')
    FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typnamespace = 'otel'::regnamespace AND t.typelem = 0 AND (c.oid IS NULL OR c.relkind = 'c')
    ORDER BY t.oid"""

CASTS = """
    SELECT format_type(castsource, NULL), format_type(casttarget, NULL),
           CASE castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'in assignments' ELSE 'explicit' END,
           obj_description(c.oid, 'pg_cast')
    FROM pg_cast c WHERE 'otel.trace_context'::regtype IN (castsource, casttarget)
    ORDER BY c.oid"""

# A time in milliseconds, a size in kB: units are told as in postgresql.conf.
SETTINGS = r"""
    SELECT name, CASE vartype WHEN 'bool' THEN 'boolean' ELSE vartype END, coalesce(unit, ''), context,
           boot_val, short_desc
    FROM pg_settings WHERE name LIKE 'otel.%' ORDER BY name"""

SETTINGS_RULE = """\
`otel.foo_bar` follows OpenTelemetry's `OTEL_FOO_BAR`, where there is such a variable: the same meaning, accepted
values, unit and default. The variable in the server's environment is the setting's default; the configuration
file and `ALTER DATABASE` come before it. Except:

| variable | here |
|---|---|
| `OTEL_TRACES_EXPORTER` | `none` holds spans back: they wait in the queue, up to `otel.queue_max_size`, and then are dropped. To discard spans use `otel.sdk_disabled = on`. Other exporters than `otlp` and `none` are not supported. |
| `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TRACES_HEADERS` | Only environment variables, or a file that `otel.exporter_otlp_headers_file` names; a setting of that name is not read, because others could read it. |
| `OTEL_EXPORTER_OTLP_PROTOCOL`, `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` | `grpc` is not supported: it warns and means `http/protobuf`. |
| `OTEL_EXPORTER_OTLP_INSECURE`, `OTEL_EXPORTER_OTLP_TRACES_INSECURE` | Not supported, being for gRPC: the endpoint is `http` or `https`. |
| `OTEL_BSP_MAX_QUEUE_SIZE` | Not supported: the queue is a table, bounded by `otel.queue_max_size`. |
| `OTEL_PROPAGATORS` | `baggage` is accepted and ignored, as is every propagator but `tracecontext` and `none`. |
| `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT` | The default is -1, which leaves it to `otel.attribute_count_limit`: 128, as OpenTelemetry's. |
| `OTEL_TRACES_SAMPLER` | `jaeger_remote`, `parentbased_jaeger_remote` and `xray` are not supported; `linksbased_parentbased_always_on` comes in addition. |
| `OTEL_CONFIG_FILE` | Not supported: there is no declarative configuration. |

A value that makes no sense warns and is ignored; only a number in `SET` is an error, as everywhere in PostgreSQL.
The exporter is a process of its own: `SET` in a session does not reach it, and
[Settings](operations.md#settings) in operations.md tells what does."""

VOLATILITY = {"i": "immutable", "s": "stable", "v": "volatile"}
CONTEXT = {"user": "anyone", "superuser": "superuser", "sighup": "configuration file", "postmaster": "server start"}


def sections(script):
    """The banners of the install script, each with the names of the objects made under it."""
    result = []
    for block in re.split(r"\n-{20,}\n-- ", script)[1:]:
        title, _, body = block.partition("\n")
        names = re.findall(r"^CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|AGGREGATE|TYPE|VIEW|TABLE) otel\.(\w+)",
                           body, re.MULTILINE)
        result.append((title.strip(), list(dict.fromkeys(names))))
    return result


def sentence(text):
    """A comment as a sentence of a document."""
    if not text:
        raise SystemExit("an object has no comment")
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?" else text + "."


def cell(text):
    return text.replace("|", "\\|").replace("_%", "\\_%")


def first_clause(text):
    """A comment up to its first full stop, semicolon or colon that is not in parentheses."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0 and c in ".;:?" and text[i + 1:i + 2] == " ":
            return text[:i + (c == "?")]
    return text


def in_arguments(arguments):
    """Without the types that the catalog adds to defaults, and without what the function returns."""
    arguments = re.sub(r"DEFAULT ((?:'[^']*'|\w+))::[\w. ]+(?:\[\])?", r"DEFAULT \1", arguments)
    return [a.removeprefix("IN ") for a in arguments.split(", ") if a and not a.startswith("OUT ")]


def columns_returned(arguments):
    return [a.removeprefix("OUT ") for a in arguments.split(", ") if a.startswith("OUT ")]


class Catalog:
    def __init__(self, connection):
        def query(sql):
            return connection.execute(sql).fetchall()

        connection.execute("CREATE EXTENSION IF NOT EXISTS otel_links")
        connection.execute("LOAD 'otel_links'")
        self.functions = query(FUNCTIONS)
        self.relations = query(RELATIONS)
        self.types = query(TYPES)
        self.casts = query(CASTS)
        self.settings = query(SETTINGS)
        self.sections = sections((ROOT / "otel_links--1.0.sql").read_text())


def reference(catalog):
    lines = [
        "# Reference",
        "",
        "Written by `make docs` from the comments in the catalog; `\\df+ otel.*` and `\\dd` show the same.",
    ]
    types = list(catalog.types)
    for title, names in catalog.sections:
        body = []
        for name in names:
            for type_ in [t for t in types if t[0] == name]:
                body += ["", f"### type `otel.{name}`", "", sentence(type_[1])]
                types.remove(type_)
            for function in [f for f in catalog.functions if f[0] == name]:
                body += reference_function(*function)
            for relation in [r for r in catalog.relations if r[0] == name]:
                body += reference_relation(*relation)
            if name == "trace_context" and title == "The type":
                body += ["", "| cast from | to | | |", "|---|---|---|---|"]
                body += [f"| `{source}` | `{target}` | {how} | {cell(sentence(comment))} |"
                         for source, target, how, comment in catalog.casts]
        if body:
            lines += ["", f"## {title}"] + body
    lines += ["", "## Settings", "", SETTINGS_RULE, "", *settings_table(catalog)]
    return "\n".join(lines) + "\n"


def reference_function(name, kind, arguments, result, volatility, comment):
    call = f"otel.{name}({', '.join(in_arguments(arguments))})"
    what = {"f": "", "p": "CALL ", "a": "aggregate "}[kind]
    columns = columns_returned(arguments)
    if columns and kind == "f":
        result = f"{'SETOF ' if result.startswith('SETOF') else ''}({', '.join(columns)})"
    returns = f" → {result}" if result and kind != "p" else ""
    lines = ["", f"### `{what}{call}{returns}`", "", sentence(comment)]
    if kind == "f":
        lines[-1] += f" ({VOLATILITY[volatility].capitalize()}.)"
    return lines


def reference_relation(name, kind, comment, columns):
    lines = ["", f"### {'view' if kind == 'v' else 'table'} `otel.{name}`", "", sentence(comment), "",
             "| column | type | |", "|---|---|---|"]
    return lines + [f"| {column} | {type_} | {cell(text or '')} |" for column, type_, text in columns]


def settings_table(catalog):
    return ["| setting | type | default | who may set it | |", "|---|---|---|---|---|"] + [
        f"| `{name}` | {kind}{f' ({unit})' if unit else ''} | {f'`{default}`' if default else ''} "
        f"| {CONTEXT.get(context, context)} | {cell(text)} |"
        for name, kind, unit, context, default, text in catalog.settings
    ]


def functions_table(catalog):
    lines = ["| function | |", "|---|---|"]
    for title, names in catalog.sections:
        rows = []
        for name in names:
            for _, kind, arguments, _, _, comment in [f for f in catalog.functions if f[0] == name]:
                arguments = ", ".join(a.split(" ")[0] for a in in_arguments(arguments))
                rows.append(f"| {'CALL ' if kind == 'p' else ''}`{name}({arguments})` "
                            f"| {cell(sentence(first_clause(comment)))} |")
            for _, kind, comment, _ in [r for r in catalog.relations if r[0] == name]:
                rows.append(f"| {'view' if kind == 'v' else 'table'} `{name}` "
                            f"| {cell(sentence(first_clause(comment)))} |")
        if rows:
            lines += [f"| **{title}** | |", *rows]
    return lines


def readme(catalog, text):
    for marker, table in (("functions", functions_table(catalog)), ("settings", settings_table(catalog))):
        begin, end = f"<!-- {marker}: make docs -->", f"<!-- end of {marker} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"README.md has no place for the {marker}")
        text = "\n".join([before + begin, "", *table, "", end + after])
    return text


def example_works(text):
    """Pastes README's example into psql, in a database of its own; does its span arrive, linked to the client's
    trace, and does the example say so?"""
    example = re.search(r"```sql\n(.*?)```", text, re.DOTALL)[1]
    traceparent = re.search(r"traceparent='(.*)'", example)[1]
    with Receiver() as receiver, psycopg.connect(autocommit=True) as connection:
        connection.execute("CREATE DATABASE readme_example")
        connection.execute(f"ALTER DATABASE readme_example SET otel.exporter_otlp_endpoint = '{receiver.url}'")
        bindir = subprocess.check_output([os.environ["PG_CONFIG"], "--bindir"], text=True).strip()
        shown = subprocess.run([f"{bindir}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "readme_example"], input=example,
                               capture_output=True, text=True, check=False)
        spans = receiver.spans
    if shown.returncode != 0 or "WARNING" in shown.stderr or not shown.stdout.endswith("\n1\n1|0|0|\n"):
        print(f"# {shown.stdout}{shown.stderr}".replace("\n", "\n# "))
        return False
    return [(s["name"], s["kind"], s["status"]["code"], [(k["trace_id"], k["span_id"]) for k in s["links"]])
            for s in spans] == [("process jobs", "consumer", "unset", [tuple(traceparent.split("-")[1:3])])]


def main():
    with psycopg.connect(autocommit=True) as connection:
        catalog = Catalog(connection)
    reference_file, readme_file = ROOT / "docs" / "reference.md", ROOT / "README.md"
    wanted = {reference_file: reference(catalog), readme_file: readme(catalog, readme_file.read_text())}
    if sys.argv[1:] != ["--check"]:
        for file, text in wanted.items():
            file.write_text(text)
        return 0
    results = {f"{file.relative_to(ROOT)} says what the catalog says (else: make docs)":
               file.exists() and file.read_text() == text for file, text in wanted.items()}
    results["the example in README.md works"] = example_works(readme_file.read_text())
    for number, (what, holds) in enumerate(results.items(), 1):
        print(f"{'ok' if holds else 'not ok'} {number} - {what}")
    print(f"1..{len(results)}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
