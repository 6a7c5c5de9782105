#!/usr/bin/env python3
"""Writes docs/reference.md from the catalog: what it says is what COMMENT ON and the settings'
descriptions say, with the examples of reference_examples.sql.

    scripts/cluster build/venv/bin/python3 scripts/reference.py

A comment on a function is text; a line of it that begins with the name of an argument or of a
returned column, and a colon, describes that.  test/docs/check_reference.py checks that the file is
up to date.
"""

import pathlib
import re
import textwrap

import psycopg

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference.md"

# Functions that people call: not what types, operators, casts, operator classes and aggregates are
# made of.
FUNCTIONS = """
    SELECT p.proname, p.prokind, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
           p.provolatile, obj_description(p.oid, 'pg_proc')
    FROM pg_proc p
    WHERE p.pronamespace = 'otel'::regnamespace
      AND NOT EXISTS (
          SELECT FROM pg_depend d
              LEFT JOIN pg_aggregate a ON d.classid = 'pg_proc'::regclass AND d.objid = aggfnoid
          WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
            AND (aggfnoid IS NOT NULL
                 OR d.classid IN ('pg_type'::regclass, 'pg_operator'::regclass,
                                  'pg_cast'::regclass)))
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
    WHERE t.typnamespace = 'otel'::regnamespace AND t.typelem = 0
      AND (c.oid IS NULL OR c.relkind = 'c')
    ORDER BY t.oid"""

CASTS = """
    SELECT format_type(castsource, NULL), format_type(casttarget, NULL),
           CASE castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'in assignments'
                            ELSE 'explicit' END,
           obj_description(c.oid, 'pg_cast')
    FROM pg_cast c WHERE 'otel.trace_context'::regtype IN (castsource, casttarget)
    ORDER BY c.oid"""

# Units are written as in postgresql.conf: ms for a time, kB for a size.
SETTINGS = r"""
    SELECT name, CASE vartype WHEN 'bool' THEN 'boolean' ELSE vartype END, coalesce(unit, ''),
           context, boot_val, short_desc
    FROM pg_settings WHERE name LIKE 'otel.%' ORDER BY name"""

VOLATILITY = {"i": "immutable", "s": "stable", "v": "volatile"}
CONTEXT = {
    "user": "anyone",
    "superuser": "superuser",
    "sighup": "configuration file",
    "postmaster": "server start",
}


def sections(script):
    """The banners of the install script, each with the names of the objects made under it."""
    result = []
    for block in re.split(r"\n-{20,}\n-- ", script)[1:]:
        title, _, body = block.partition("\n")
        names = re.findall(
            r"^CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|AGGREGATE|TYPE|VIEW|TABLE) otel\.(\w+)",
            body,
            re.MULTILINE,
        )
        result.append((title.strip(), list(dict.fromkeys(names))))
    return result


def examples(text):
    """The examples by function name: what follows a line "-- name"."""
    parts = re.split(r"^-- (\w+)\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2])}


def sentence(text):
    """A comment as a sentence of a document."""
    if not text:
        raise SystemExit("an object has no comment")
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?" else text + "."


def cell(text):
    return text.replace("|", "\\|").replace("_%", "\\_%")


def first_clause(text):
    """A comment up to the first full stop, semicolon or colon outside parentheses."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0 and c in ".;:?" and text[i + 1 : i + 2] in (" ", "\n"):
            return text[: i + (c == "?")]
    return text


def in_arguments(arguments):
    """Without the types that the catalog adds to defaults, and without what it returns."""
    arguments = re.sub(r"DEFAULT ((?:'[^']*'|\w+))::[\w. ]+(?:\[\])?", r"DEFAULT \1", arguments)
    return [a.removeprefix("IN ") for a in arguments.split(", ") if a and not a.startswith("OUT ")]


def columns_returned(arguments, result):
    if result and result.startswith("TABLE("):
        return result.removeprefix("TABLE(").removesuffix(")").split(", ")
    return [a.removeprefix("OUT ") for a in arguments.split(", ") if a.startswith("OUT ")]


class Catalog:
    def __init__(self, connection):
        def query(sql):
            return connection.execute(sql).fetchall()

        connection.execute("CREATE EXTENSION IF NOT EXISTS otel_links")
        connection.execute("LOAD 'otel_links'")
        version = query("SELECT extversion FROM pg_extension WHERE extname = 'otel_links'")[0][0]
        self.functions = query(FUNCTIONS)
        self.relations = query(RELATIONS)
        self.types = query(TYPES)
        self.casts = query(CASTS)
        self.settings = query(SETTINGS)
        self.sections = sections((ROOT / f"otel_links--{version}.sql").read_text())
        self.settings_rule = (ROOT / "scripts" / "reference_settings.md").read_text().rstrip()
        self.examples = examples((ROOT / "scripts" / "reference_examples.sql").read_text())


def reference(catalog):
    lines = [
        "# Reference",
        "",
        "Written by `make docs` from the comments in the catalog, which `\\df+ otel.*` and `\\dd`",
        "show too. Everything is in the schema `otel`. The examples use this table:",
        "",
        *sql_block(catalog.examples["before"]),
        "",
        "| function | |",
        "|---|---|",
        *index(catalog),
    ]
    types = list(catalog.types)
    for title, names in catalog.sections:
        body = []
        for name in names:
            for type_ in [t for t in types if t[0] == name]:
                body += ["", f"### type {name}", "", *wrapped(sentence(type_[1]))]
                types.remove(type_)
            overloads = [f for f in catalog.functions if f[0] == name]
            if overloads:
                body += reference_functions(name, overloads, catalog.examples.get(name))
            for relation in [r for r in catalog.relations if r[0] == name]:
                body += reference_relation(catalog, *relation)
            if name == "trace_context" and title == "The type":
                body += ["", "| cast from | to | | |", "|---|---|---|---|"]
                body += [
                    f"| `{source}` | `{target}` | {how} | {cell(sentence(comment))} |"
                    for source, target, how, comment in catalog.casts
                ]
        if body:
            lines += ["", f"## {title}"] + body
    lines += ["", "## Settings", "", catalog.settings_rule, "", *settings_table(catalog)]
    return "\n".join(lines) + "\n"


def wrapped(text, indent=""):
    """A paragraph as lines; code is not broken."""
    whole = re.sub(r"`[^`]*`", lambda match: match[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(
        whole, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]


def sql_block(text):
    return ["```sql", *text.split("\n"), "```"]


def index(catalog):
    """The table of contents: a line for each object, with a link to its description."""
    for title, names in catalog.sections:
        rows = []
        for name in names:
            comments = [f[5] for f in catalog.functions if f[0] == name]
            if comments:
                rows.append(
                    f"| [`{name}`](#{name}) | {cell(sentence(first_clause(comments[0])))} |"
                )
            for _, kind, comment, _ in [r for r in catalog.relations if r[0] == name]:
                what = "view" if kind == "v" else "table"
                rows.append(
                    f"| [{what} `{name}`](#{what}-{name}) "
                    f"| {cell(sentence(first_clause(comment)))} |"
                )
        if rows:
            yield f"| **{title}** | |"
            yield from rows


def signature(name, kind, arguments, result):
    """A function's signature as in a statement: on one line, or with one argument on each."""
    before = {"f": "", "p": "CALL ", "a": ""}[kind]
    inward, outward = in_arguments(arguments), columns_returned(arguments, result)
    if kind == "p":
        returns = ""
    elif outward:
        of_many = "SETOF " if result.startswith(("SETOF", "TABLE(")) else ""
        returns = f" → {of_many}({', '.join(outward)})"
    else:
        returns = f" → {result}"
    line = f"{before}otel.{name}({', '.join(inward)}){returns}"
    if len(line) <= 80:
        return [line]
    if outward and len(returns) > 90:
        opening, closing = returns.split("(")[0] + "(", ")"
        returns = "\n".join(
            [opening, *[f"    {column}," for column in outward[:-1]], f"    {outward[-1]}", closing]
        )
    if not inward:
        return [f"{before}otel.{name}(){returns}"]
    return [
        f"{before}otel.{name}(",
        *[f"    {argument}," for argument in inward[:-1]],
        f"    {inward[-1]}",
        f"){returns}",
    ]


def comment_parts(comment, arguments, result):
    """The text of a comment, and the descriptions of arguments and columns."""
    named = in_arguments(arguments) + columns_returned(arguments, result)
    names = [item.split(" ")[0] for item in named]
    text, described = "", {}
    current = None
    for line in comment.split("\n"):
        begins = re.match(r"(\w+): (.*)", line)
        if begins and begins[1] in names:
            current = begins[1]
            described[current] = begins[2]
        elif current:
            described[current] += " " + line.strip()
        else:
            text += (" " if text else "") + line.strip()
    return text, described


def reference_functions(name, overloads, example):
    """All functions of one name."""
    lines = ["", f"### {name}", "", "```text"]
    for _, kind, arguments, result, _, _ in overloads:
        lines += signature(name, kind, arguments, result)
    lines.append("```")
    for _, kind, arguments, result, volatility, comment in overloads:
        text, described = comment_parts(comment, arguments, result)
        text = sentence(text)
        if len(overloads) > 1:
            given = ", ".join(argument.split(" DEFAULT")[0] for argument in in_arguments(arguments))
            first = text[0].lower() if text[1:2].islower() else text[0]
            text = f"`{name}({given})`: {first}{text[1:]}"
        if kind == "f":
            text += f" ({VOLATILITY[volatility].capitalize()}.)"
        lines += ["", *wrapped(text)]
        if described:
            lines.append("")
        for argument, description in described.items():
            lines += wrapped(f"- `{argument}`: {description}", "  ")
    if example:
        lines += ["", *sql_block(example)]
    return lines


def reference_relation(catalog, name, kind, comment, columns):
    """A table or view; columns that it shares with the queue are described there only."""
    text = sentence(comment)
    queue = next(r[3] for r in catalog.relations if r[0] == "span_queue")
    if name != "span_queue" and columns[: len(queue)] == queue:
        text += " It has the columns of [`otel.span_queue`](#table-span_queue)"
        columns = columns[len(queue) :]
        text += ", and these:" if columns else "."
    lines = ["", f"### {'view' if kind == 'v' else 'table'} {name}", "", *wrapped(text)]
    if columns:
        lines += ["", "| column | type | |", "|---|---|---|"]
    return lines + [
        f"| `{column}` | {type_} | {cell(text or '')} |" for column, type_, text in columns
    ]


def settings_table(catalog):
    return ["| setting | type | default | who may set it | |", "|---|---|---|---|---|"] + [
        f"| `{name}` | {kind}{f' ({unit})' if unit else ''} | {f'`{default}`' if default else ''} "
        f"| {CONTEXT.get(context, context)} | {cell(text)} |"
        for name, kind, unit, context, default, text in catalog.settings
    ]


def main():
    with psycopg.connect(autocommit=True) as connection:
        REFERENCE.write_text(reference(Catalog(connection)))


if __name__ == "__main__":
    main()
