/*
 * capture_trigger.c: otel.capture_trace_context(), the trigger for rows that a column default does not
 * reach: of clients that name every column, of UPDATE and upserts, and of tables that belong to a library.
 *
 * Its arguments are the column (by default trace_context) and "keep" (the default) or "replace".  The
 * column may be otel.trace_context, text or varchar (gets the traceparent), or jsonb (its object gets the
 * carrier).  With keep, a value that holds a valid context stays; with replace, the current context takes
 * its place.  Where there is no current context the row stays as it is.
 *
 * A trigger that can never work raises, and says why; what a row holds never makes it raise.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture/current_context.h"
#include "context/carrier.h"
#include "settings.h"
#include "context/trace_context.h"

#define DEFAULT_COLUMN "trace_context"

/* What the column can take. */
typedef enum ColumnKind
{
	COLUMN_TRACE_CONTEXT,
	COLUMN_TEXT,
	COLUMN_JSONB
} ColumnKind;

static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("otel.capture_trace_context() was not called as a trigger")));
	if (!TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" must be BEFORE INSERT or UPDATE, FOR EACH ROW",
						trigger->tg_trigger->tgname)));
	if (trigger->tg_trigger->tgnargs > 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has too many arguments", trigger->tg_trigger->tgname),
				 errhint("They are the column, and keep or replace.")));
}

static bool
replaces(const Trigger *trigger)
{
	const char *mode = trigger->tgnargs > 1 ? trigger->tgargs[1] : "keep";

	if (strcmp(mode, "replace") == 0)
		return true;
	if (strcmp(mode, "keep") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid argument for trigger \"%s\": \"%s\"", trigger->tgname, mode),
				 errhint("The second argument is keep or replace.")));
	return false;
}

/* The number of the trigger's column. */
static int
find_column(const TriggerData *trigger)
{
	const char *name = trigger->tg_trigger->tgnargs > 0 ?
		trigger->tg_trigger->tgargs[0] : DEFAULT_COLUMN;
	int			number = SPI_fnumber(RelationGetDescr(trigger->tg_relation), name);

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", name,
						RelationGetRelationName(trigger->tg_relation)),
				 errdetail("Trigger \"%s\" puts the trace context into it.",
						   trigger->tg_trigger->tgname),
				 errtable(trigger->tg_relation)));
	return number;
}

static bool
is_trace_context_type(Oid type)
{
	Oid			schema = get_namespace_oid("otel", true);

	return OidIsValid(schema) &&
		type == GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
								CStringGetDatum("trace_context"), ObjectIdGetDatum(schema));
}

static ColumnKind
column_kind(const TriggerData *trigger, int number)
{
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(trigger->tg_relation), number - 1);

	if (!column->attgenerated)
	{
		if (column->atttypid == JSONBOID)
			return COLUMN_JSONB;
		if (column->atttypid == TEXTOID ||
			(column->atttypid == VARCHAROID &&
			 (column->atttypmod < 0 || column->atttypmod - VARHDRSZ >= W3C_TRACEPARENT_LEN)))
			return COLUMN_TEXT;
		if (is_trace_context_type(column->atttypid))
			return COLUMN_TRACE_CONTEXT;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of relation \"%s\" cannot hold a trace context",
					NameStr(column->attname), RelationGetRelationName(trigger->tg_relation)),
			 errdetail("Trigger \"%s\" needs a column of type otel.trace_context, text, "
					   "varchar of %d characters or more, or jsonb, that is not generated.",
					   trigger->tg_trigger->tgname, W3C_TRACEPARENT_LEN),
			 errtablecol(trigger->tg_relation, number)));
}

static bool
text_holds_context(Datum value)
{
	text	   *traceparent = DatumGetTextPP(value);
	W3cTraceparent ignored;

	return w3c_parse_traceparent(VARDATA_ANY(traceparent), VARSIZE_ANY_EXHDR(traceparent),
								 &ignored) == W3C_OK;
}

/* Does the column hold what "keep" keeps? */
static bool
holds_context(ColumnKind kind, Datum value)
{
	switch (kind)
	{
		case COLUMN_TRACE_CONTEXT:
			return true;
		case COLUMN_TEXT:
			return text_holds_context(value);
		case COLUMN_JSONB:
			return carrier_extract(DatumGetJsonbP(value)) != NULL;
	}
	pg_unreachable();
}

static Datum
traceparent_text(const struct varlena *context)
{
	char		traceparent[W3C_TRACEPARENT_LEN];

	trace_context_propagated(TRACE_CONTEXT(context), traceparent);
	return PointerGetDatum(cstring_to_text_with_len(traceparent, W3C_TRACEPARENT_LEN));
}

/* The column's new value.  False when there is no place in it: in jsonb that is no object. */
static bool
put_context(ColumnKind kind, const struct varlena *context, Datum *value, bool isnull)
{
	switch (kind)
	{
		case COLUMN_TRACE_CONTEXT:
			*value = PointerGetDatum(context);
			return true;
		case COLUMN_TEXT:
			*value = traceparent_text(context);
			return true;
		case COLUMN_JSONB:
			if (!isnull && !JB_ROOT_IS_OBJECT(DatumGetJsonbP(*value)))
				return false;
			*value = JsonbPGetDatum(carrier_merge(isnull ? NULL : DatumGetJsonbP(*value), context));
			return true;
	}
	pg_unreachable();
}

PG_FUNCTION_INFO_V1(otel_capture_trace_context);
Datum
otel_capture_trace_context(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const struct varlena *context;
	TupleDesc	descriptor;
	HeapTuple	row;
	ColumnKind	kind;
	int			number;
	bool		replace;
	Datum		value;
	bool		isnull;

	check_trigger(fcinfo);
	replace = replaces(trigger->tg_trigger);
	number = find_column(trigger);
	kind = column_kind(trigger, number);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;

	context = otel_propagate ? capture_current_context() : NULL;
	if (context == NULL)
		return PointerGetDatum(row);

	descriptor = RelationGetDescr(trigger->tg_relation);
	value = heap_getattr(row, number, descriptor, &isnull);
	if (!isnull && !replace && holds_context(kind, value))
		return PointerGetDatum(row);
	if (!put_context(kind, context, &value, isnull))
		return PointerGetDatum(row);
	isnull = false;
	return PointerGetDatum(heap_modify_tuple_by_cols(row, descriptor, 1, &number, &value, &isnull));
}
