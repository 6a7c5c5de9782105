/*
 * capture_setup.c: otel.add_trace_context(), otel.capture_into() and otel.remove_capture(), which
 * put capture on a table and take it off again.
 *
 * Owns the checks that come first, so that nothing is installed that would fail or do harm when a
 * row is inserted.  The changes are ordinary DDL, run as the caller, so PostgreSQL takes care of
 * locks, privileges, event triggers and dependencies.  A call may be repeated: it then adds what is
 * missing, such as the default of a partition that was attached later.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "capture/capture_column.h"
#include "compat.h"

#define TRIGGER_FUNCTION "otel.capture_trace_context"
#define TRIGGER_PREFIX "otel_capture_"


/*
 * Checks
 */

static void
check_not_null(FunctionCallInfo fcinfo, int arguments)
{
	for (int i = 0; i < arguments; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("table and column must not be null")));
}

/* Raises unless it is a table that rows can be inserted into and that the caller owns. */
static void
check_table(Oid table)
{
	char		kind = get_rel_relkind(table);

	if (kind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table with oid %u does not exist", table)));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
		kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(table))));
	if (!owns_relation(table))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(kind), get_rel_name(table));
}

/* A copy of a column's row of pg_attribute; NULL when there is no such column. */
static Form_pg_attribute
find_column(Oid table, const char *column)
{
	HeapTuple	tuple = SearchSysCacheCopyAttName(table, column);

	return HeapTupleIsValid(tuple) ? (Form_pg_attribute) GETSTRUCT(tuple) : NULL;
}

static void
check_not_generated(Oid table, Form_pg_attribute attribute)
{
	if (attribute->attgenerated)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
				 errmsg("column \"%s\" of table \"%s\" is a generated column",
						NameStr(attribute->attname), get_rel_name(table))));
}

static Form_pg_attribute
check_exists(Oid table, const char *column)
{
	Form_pg_attribute attribute = find_column(table, column);

	if (attribute == NULL || attribute->attnum < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column,
						get_rel_name(table)),
				 errhint("otel.add_trace_context() adds a column.")));
	return attribute;
}

/* Returns the column to capture into, and what it can take; raises if that is nothing. */
static Form_pg_attribute
check_column(Oid table, const char *column, CaptureColumnKind *kind)
{
	Form_pg_attribute attribute = check_exists(table, column);

	check_not_generated(table, attribute);
	*kind = capture_column_kind(attribute);
	if (*kind == CAPTURE_COLUMN_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s", column,
						get_rel_name(table),
						format_type_with_typemod(attribute->atttypid, attribute->atttypmod)),
				 errdetail("A trace context needs a column of type %s.", CAPTURE_COLUMN_TYPES)));
	return attribute;
}

/*
 * Statements
 */

static char *
qualified_name(Oid table)
{
	char	   *name = get_rel_name(table);
	char	   *schema = get_namespace_name(get_rel_namespace(table));

	if (name == NULL || schema == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table with oid %u was dropped meanwhile", table)));
	return quote_qualified_identifier(schema, name);
}

/* Runs one DDL statement; raises whatever it raises. */
static void
run_ddl(const char *format,...) pg_attribute_printf(1, 2);

static void
run_ddl(const char *format,...)
{
	StringInfoData statement;

	initStringInfo(&statement);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&statement, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&statement, needed);
	}
	if (SPI_execute(statement.data, false, 0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not run \"%s\"", statement.data)));
	pfree(statement.data);
}

/*
 * The first column of a query's first row; NULL when there is none.  The query is not run as
 * read-only, so that it sees what we have just changed.
 */
static char *
query_text(const char *query, Oid table, const char *column)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(table), CStringGetTextDatum(column)};

	if (SPI_execute_with_args(query, 2, types, values, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed == 0)
		return NULL;
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/*
 * Defaults
 */

/* The default for a column of this type; NULL if the type is not supported. */
static const char *
default_expression(Oid type)
{
	if (type == capture_column_own_type())
		return "otel.current_trace_context()";
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
			return "otel.traceparent(otel.current_trace_context())";
		case JSONBOID:
			return "CAST(otel.current_trace_context() AS pg_catalog.jsonb)";
		default:
			return NULL;
	}
}

/* The column's default, as text; NULL when it is ours, that is, when it calls our function. */
static char *
foreign_default(Oid table, const char *column)
{
	return query_text("SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid)"
					  "  FROM pg_catalog.pg_attribute a"
					  "  JOIN pg_catalog.pg_attrdef d"
					  "    ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
					  " WHERE a.attrelid = $1 AND a.attname = $2::pg_catalog.name AND NOT EXISTS"
					  "  (SELECT FROM pg_catalog.pg_depend p"
					  "    WHERE p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass"
					  "      AND p.objid = d.oid"
					  "      AND p.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass"
					  "      AND p.refobjid ="
					  "          'otel.current_trace_context()'::pg_catalog.regprocedure)",
					  table, column);
}

/*
 * Gives a table and all that inherit from it the default.  Each is looked at by itself, because an
 * existing default stays, and a partition that was attached may lack one.
 */
static void
set_defaults(Oid table, const char *column, const char *expression)
{
	List	   *tables = find_all_inheritors(table, NoLock, NULL);
	ListCell   *cell;

	foreach(cell, tables)
	{
		Oid			member = lfirst_oid(cell);
		Form_pg_attribute attribute = find_column(member, column);
		char	   *other;

		if (attribute == NULL)
			continue;
		if (!attribute->atthasdef)
		{
			run_ddl("ALTER TABLE ONLY %s ALTER COLUMN %s SET DEFAULT %s",
					qualified_name(member), quote_identifier(column), expression);
			continue;
		}
		other = foreign_default(member, column);
		if (other != NULL)
			ereport(NOTICE,
					(errmsg("column \"%s\" of table \"%s\" keeps its default %s",
							column, get_rel_name(member), other)));
	}
}

static void
drop_defaults(Oid table, const char *column, int *dropped)
{
	List	   *tables = find_all_inheritors(table, NoLock, NULL);
	ListCell   *cell;

	foreach(cell, tables)
	{
		Oid			member = lfirst_oid(cell);
		Form_pg_attribute attribute = find_column(member, column);

		if (attribute == NULL || !attribute->atthasdef || attribute->attgenerated ||
			foreign_default(member, column) != NULL)
			continue;
		run_ddl("ALTER TABLE ONLY %s ALTER COLUMN %s DROP DEFAULT",
				qualified_name(member), quote_identifier(column));
		(*dropped)++;
	}
}

/* Adds the column without its default, which the table's existing rows would get as well. */
static void
add_column(Oid table, const char *column, Oid type)
{
	run_ddl("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s", qualified_name(table),
			quote_identifier(column), format_type_be_qualified(type));
	ereport(NOTICE,
			(errmsg("column \"%s\" of table \"%s\" is new", column, get_rel_name(table)),
			 errhint("Sessions that have prepared SELECT * or RETURNING * of this table must "
					 "reconnect.")));
	if (get_rel_relkind(table) == RELKIND_FOREIGN_TABLE)
		ereport(NOTICE,
				(errmsg("\"%s\" is a foreign table", get_rel_name(table)),
				 errhint("Add the column \"%s\" to the remote table, too: inserting a row "
						 "sends it.", column)));
}

static void
check_same_type(Oid table, Form_pg_attribute attribute, Oid type)
{
	const char *hint = "Name another column, or call otel.capture_into() for this one.";

	check_not_generated(table, attribute);
	if (attribute->atttypid == type && capture_column_kind(attribute) != CAPTURE_COLUMN_NONE)
		return;
	if (default_expression(attribute->atttypid) != NULL &&
		capture_column_kind(attribute) != CAPTURE_COLUMN_NONE)
		hint = psprintf("Name another column, add type => '%s' for one that holds nothing but "
						"contexts, or call otel.capture_into() for this one.",
						format_type_be(attribute->atttypid));
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of table \"%s\" is of type %s", NameStr(attribute->attname),
					get_rel_name(table),
					format_type_with_typemod(attribute->atttypid, attribute->atttypmod)),
			 errhint("%s", hint)));
}

PG_FUNCTION_INFO_V1(otel_add_trace_context);
Datum
otel_add_trace_context(PG_FUNCTION_ARGS)
{
	Oid			table;
	char	   *column;
	Oid			type;

	check_not_null(fcinfo, 2);
	table = PG_GETARG_OID(0);
	column = NameStr(*PG_GETARG_NAME(1));
	type = PG_ARGISNULL(2) ? capture_column_own_type() : PG_GETARG_OID(2);
	if (default_expression(type) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a column of type %s cannot be filled by a default", format_type_be(type)),
				 errhint("The type is otel.trace_context, text, varchar or jsonb.")));
	check_table(table);

	SPI_connect();
	if (find_column(table, column) == NULL)
		add_column(table, column, type);
	check_same_type(table, find_column(table, column), type);
	set_defaults(table, column, default_expression(type));
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Triggers
 */

/*
 * Our triggers on table $1 that fill the column $2.  The operators are those of pg_catalog, because
 * the functions that run this have a fixed search_path.
 */
#define OUR_TRIGGERS \
	" FROM pg_catalog.pg_trigger t," \
	"      LATERAL (SELECT pg_catalog.convert_to($2, pg_catalog.getdatabaseencoding())) c (name)" \
	" WHERE t.tgrelid = $1 AND t.tgfoid = '" TRIGGER_FUNCTION "()'::pg_catalog.regprocedure" \
	"   AND CASE WHEN t.tgnargs = 0 THEN $2 = 'trace_context'" \
	"       ELSE pg_catalog.substr(t.tgargs, 1, pg_catalog.length(c.name) + 1)" \
	"            = c.name || '\\x00'::pg_catalog.bytea END"

/* A partition's trigger that comes from its partitioned table belongs to that. */
#define OF_ITS_OWN " AND t.tgparentid = 0"
#define OF_ITS_PARENT " AND t.tgparentid <> 0"

/* The name for a new trigger, cut to the maximum length of a name. */
static char *
new_trigger_name(const char *column)
{
	char	   *name = psprintf(TRIGGER_PREFIX "%s", column);

	truncate_identifier(name, strlen(name), false);
	return name;
}

static void
check_mode(const char *mode)
{
	if (strcmp(mode, "keep") != 0 && strcmp(mode, "replace") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid mode: \"%s\"", mode),
				 errhint("The mode is keep or replace.")));
}

/* The path as the trigger's argument; NULL when there is none. */
static char *
check_path(FunctionCallInfo fcinfo, int argument, CaptureColumnKind kind)
{
	ArrayType  *path;

	if (PG_ARGISNULL(argument))
		return NULL;
	path = PG_GETARG_ARRAYTYPE_P(argument);
	if (ARR_NDIM(path) == 0)
		return NULL;
	if (array_contains_nulls(path))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a key of the path is null")));
	if (kind == CAPTURE_COLUMN_TRACE_CONTEXT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a column of type otel.trace_context has no path"),
				 errhint("A path names an object in a column of JSON.")));
	return OidOutputFunctionCall(F_ARRAY_OUT, PointerGetDatum(path));
}

/* " OR UPDATE OF a, b" for the columns whose change counts as a new request, or "". */
static char *
update_clause(FunctionCallInfo fcinfo, int argument)
{
	StringInfoData clause;
	Datum	   *columns;
	bool	   *nulls;
	int			count;

	initStringInfo(&clause);
	if (PG_ARGISNULL(argument))
		return clause.data;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), NAMEOID, NAMEDATALEN, false,
					  TYPALIGN_CHAR, &columns, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a column of update_of is null")));
		appendStringInfo(&clause, "%s%s", i == 0 ? " OR UPDATE OF " : ", ",
						 quote_identifier(NameStr(*DatumGetName(columns[i]))));
	}
	return clause.data;
}

/* Creates the trigger, or replaces ours if there is one. */
static void
make_trigger(Oid table, const char *column, const char *events, const char *arguments)
{
	char	   *name = query_text("SELECT t.tgname" OUR_TRIGGERS OF_ITS_OWN, table, column);

	/* somebody else's trigger of this name must not be replaced */
	run_ddl("CREATE %sTRIGGER %s BEFORE INSERT%s ON %s FOR EACH ROW "
			"EXECUTE FUNCTION " TRIGGER_FUNCTION "(%s)", name != NULL ? "OR REPLACE " : "",
			quote_identifier(name != NULL ? name : new_trigger_name(column)),
			events, qualified_name(table), arguments);
}

/* Likewise for the table and all that inherit from it; PostgreSQL itself handles partitions. */
static void
make_triggers(Oid table, const char *column, const char *events, const char *arguments)
{
	List	   *tables;
	ListCell   *cell;

	/* CREATE TRIGGER's lock: meanwhile no table is dropped, and none begins to inherit */
	LockRelationOid(table, ShareRowExclusiveLock);
	tables = find_all_inheritors(table, ShareRowExclusiveLock, NULL);
	foreach(cell, tables)
	{
		Oid			member = lfirst_oid(cell);

		if (member == table || !get_rel_relispartition(member))
			make_trigger(member, column, events, arguments);
	}
}

PG_FUNCTION_INFO_V1(otel_capture_into);
Datum
otel_capture_into(PG_FUNCTION_ARGS)
{
	Oid			table;
	char	   *column;
	char	   *mode;
	char	   *path;
	char	   *events;
	CaptureColumnKind kind;

	check_not_null(fcinfo, 2);
	table = PG_GETARG_OID(0);
	column = NameStr(*PG_GETARG_NAME(1));
	mode = PG_ARGISNULL(2) ? "keep" : text_to_cstring(PG_GETARG_TEXT_PP(2));
	check_mode(mode);
	check_table(table);
	check_column(table, column, &kind);
	path = check_path(fcinfo, 3, kind);
	events = update_clause(fcinfo, 4);

	SPI_connect();
	if (query_text("SELECT t.tgname" OUR_TRIGGERS OF_ITS_PARENT, table, column) != NULL)
		ereport(NOTICE,
				(errmsg("partition \"%s\" has the trigger of its partitioned table",
						get_rel_name(table))));
	else
		make_triggers(table, column, events,
					  psprintf("%s, %s%s%s", quote_literal_cstr(column), quote_literal_cstr(mode),
							   path != NULL ? ", " : "",
							   path != NULL ? quote_literal_cstr(path) : ""));
	SPI_finish();
	PG_RETURN_VOID();
}

static void
drop_triggers(Oid table, const char *column, int *dropped)
{
	List	   *tables = find_all_inheritors(table, NoLock, NULL);
	ListCell   *cell;

	foreach(cell, tables)
	{
		Oid			member = lfirst_oid(cell);
		char	   *name;

		while ((name = query_text("SELECT t.tgname" OUR_TRIGGERS OF_ITS_OWN, member,
								   column)) != NULL)
		{
			run_ddl("DROP TRIGGER %s ON %s", quote_identifier(name), qualified_name(member));
			(*dropped)++;
		}
	}
}

PG_FUNCTION_INFO_V1(otel_remove_capture);
Datum
otel_remove_capture(PG_FUNCTION_ARGS)
{
	Oid			table;
	char	   *column;
	int			dropped = 0;

	check_not_null(fcinfo, 2);
	table = PG_GETARG_OID(0);
	column = NameStr(*PG_GETARG_NAME(1));
	check_table(table);

	/* a trigger may be left over from a column that was dropped or has another type now */
	SPI_connect();
	drop_triggers(table, column, &dropped);
	drop_defaults(table, column, &dropped);
	SPI_finish();
	if (dropped == 0)
	{
		(void) check_exists(table, column);
		ereport(NOTICE,
				(errmsg("nothing captures into column \"%s\" of table \"%s\"", column,
						get_rel_name(table))));
	}
	PG_RETURN_VOID();
}
