/*
 * capture_trigger.c: otel.capture_trace_context(), the trigger for rows that a column default does
 * not reach: from clients that name every column, from UPDATE and upserts, and in tables that
 * belong to a library.
 *
 * Its arguments are the column (by default trace_context), "keep" (the default) or "replace", and
 * the path of the carrier's object in a column of JSON.  With keep, a value that holds a valid
 * context stays; with replace, the current context takes its place.  If there is no current
 * context, the row stays as it is.  capture_column.c decides what a column can take, and how.
 *
 * A trigger that can never work raises an error that says why; the content of a row never makes it
 * raise one.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "capture/capture_column.h"
#include "capture/current_context.h"
#include "context/carrier.h"
#include "settings.h"

#define DEFAULT_COLUMN "trace_context"

/* what a row needs besides its values, and what must be left to read it again */
#define ROOM_IN_ROW (1024 * 1024)

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
	if (trigger->tg_trigger->tgnargs > 3)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has too many arguments", trigger->tg_trigger->tgname),
				 errhint("Its arguments are a column name and, optionally, keep or replace "
						 "and the path of the carrier.")));
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

/*
 * The third argument, a text[] in text form.  It is read once for each query that fires the
 * trigger, and kept in fn_extra.
 */
static const HeaderPath *
find_path(FunctionCallInfo fcinfo, const Trigger *trigger)
{
	static const HeaderPath no_path;
	HeaderPath *path = fcinfo->flinfo->fn_extra;
	MemoryContext old_context;
	Datum		array;

	if (trigger->tgnargs < 3)
		return &no_path;
	if (path != NULL)
		return path;

	old_context = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	path = palloc(sizeof(HeaderPath));
	array = OidInputFunctionCall(F_ARRAY_IN, trigger->tgargs[2], TEXTOID, -1);
	if (!carrier_path_read(DatumGetArrayTypeP(array), path))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("invalid argument for trigger \"%s\": \"%s\"",
						trigger->tgname, trigger->tgargs[2]),
				 errdetail("No key of a path can be null.")));
	MemoryContextSwitchTo(old_context);
	fcinfo->flinfo->fn_extra = path;
	return path;
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

static CaptureColumnKind
find_kind(const TriggerData *trigger, int number)
{
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(trigger->tg_relation), number - 1);
	CaptureColumnKind kind = capture_column_kind(column);

	if (kind == CAPTURE_COLUMN_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" cannot hold a trace context",
						NameStr(column->attname), RelationGetRelationName(trigger->tg_relation)),
				 errdetail("Trigger \"%s\" needs a column of type %s that is not generated.",
						   trigger->tg_trigger->tgname, CAPTURE_COLUMN_TYPES),
				 errtablecol(trigger->tg_relation, number)));
	return kind;
}

/*
 * Can a row have this value instead of the one before?  A row is limited to 1 GB like each of its
 * values, so there may be room in the value for a context, and none in the row.
 */
static bool
row_fits(HeapTuple row, Datum before, bool isnull, Datum value)
{
	Size		size = row->t_len + VARSIZE_ANY(DatumGetPointer(value)) + ROOM_IN_ROW;

	if (!isnull)
		size -= VARSIZE_ANY(DatumGetPointer(before));
	return AllocSizeIsValid(size);
}

PG_FUNCTION_INFO_V1(otel_capture_trace_context);
Datum
otel_capture_trace_context(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const struct varlena *context;
	const HeaderPath *path;
	TupleDesc	descriptor;
	HeapTuple	row;
	CaptureColumnKind kind;
	int			number;
	bool		replace;
	Datum		before;
	Datum		value;
	bool		isnull;

	check_trigger(fcinfo);
	replace = replaces(trigger->tg_trigger);
	path = find_path(fcinfo, trigger->tg_trigger);
	number = find_column(trigger);
	kind = find_kind(trigger, number);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;

	context = otel_propagate ? capture_current_context() : NULL;
	if (context == NULL)
		return PointerGetDatum(row);

	descriptor = RelationGetDescr(trigger->tg_relation);
	before = heap_getattr(row, number, descriptor, &isnull);
	value = before;
	if (!isnull && !replace && capture_column_holds(kind, value, path))
		return PointerGetDatum(row);
	if (!capture_column_put(TupleDescAttr(descriptor, number - 1), kind, context, path,
							&value, isnull) ||
		!row_fits(row, before, isnull, value))
		return PointerGetDatum(row);
	isnull = false;
	return PointerGetDatum(heap_modify_tuple_by_cols(row, descriptor, 1,
													 &number, &value, &isnull));
}
