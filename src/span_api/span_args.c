/*
 * span_args.c: reads the arguments of the span functions.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "capture/current_context.h"
#include "citus.h"
#include "settings.h"
#include "span_api/span_args.h"
#include "spans/span_flush.h"

/*
 * OTLP's times are unsigned nanoseconds since 1970.  Many readers use signed ones, which end in
 * 2262.
 */
#define SPAN_MIN_TIME \
	((TimestampTz) ((UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY))
#define SPAN_MAX_TIME (SPAN_MIN_TIME + PG_INT64_MAX / 1000)

/* Quote at most this much of an unknown word, in bytes. */
#define SPAN_CLIP_LEN 64

static const char *const kind_words[] = {
	"internal", "server", "client", "producer", "consumer", NULL
};
static const char *const scope_words[] = {"transaction", "session", NULL};
static const char *const status_words[] = {"unset", "ok", "error", NULL};

void
span_misuse(int sqlerrcode, const char *message, const char *hint)
{
	ereport(otel_strict ? ERROR : WARNING,
			(errcode(sqlerrcode), errmsg_internal("%s", message), errhint("%s", hint)));
}

char *
span_arg_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

const char *
span_arg_name(FunctionCallInfo fcinfo, int n)
{
	const char *name = span_arg_text(fcinfo, n);

	if (name && *name)
		return name;
	span_misuse(ERRCODE_INVALID_PARAMETER_VALUE, "the name must not be empty",
				"Give a name that is the same for all runs of a job, such as its function's.");
	return NULL;
}

Jsonb *
span_arg_attributes(FunctionCallInfo fcinfo, int n)
{
	Jsonb	   *attributes;

	if (PG_ARGISNULL(n))
		return NULL;
	attributes = PG_GETARG_JSONB_P(n);
	if (JB_ROOT_IS_OBJECT(attributes))
		return attributes;
	span_misuse(ERRCODE_INVALID_PARAMETER_VALUE, "attributes must be a JSON object",
				"Build them with jsonb_build_object.");
	return NULL;
}

SpanLink *
span_arg_links(FunctionCallInfo fcinfo, int n, int *nlinks)
{
	ArrayType  *array;
	SpanLink   *links;
	int			nbad;

	*nlinks = 0;
	if (PG_ARGISNULL(n))
		return NULL;
	array = PG_GETARG_ARRAYTYPE_P(n);
	if (row_type_mismatch(&span_link_row_type, ARR_ELEMTYPE(array)))
	{
		span_misuse(ERRCODE_DATATYPE_MISMATCH,
					"links are left out: type \"otel.span_link\" was altered", altered_hint());
		return NULL;
	}
	links = span_link_read_array(array, nlinks, &nbad);
	if (nbad > 0)
		span_misuse(ERRCODE_INVALID_PARAMETER_VALUE, "attributes of a link must be a JSON object",
					"Build links with otel.span_link, and their attributes with "
					"jsonb_build_object.");
	return links;
}

struct varlena *
span_arg_context(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_TRACE_CONTEXT_PP(n);
}

const struct varlena *
span_arg_parent(FunctionCallInfo fcinfo, int parent, int root)
{
	if (!PG_ARGISNULL(root) && PG_GETARG_BOOL(root))
		return NULL;
	return PG_ARGISNULL(parent) ? capture_current_context() : span_arg_context(fcinfo, parent);
}

TimestampTz
span_arg_time(FunctionCallInfo fcinfo, int n)
{
	TimestampTz time;

	if (PG_ARGISNULL(n))
		return GetCurrentTimestamp();
	time = PG_GETARG_TIMESTAMPTZ(n);
	if (time >= SPAN_MIN_TIME && time <= SPAN_MAX_TIME)
		return time;
	span_misuse(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "a span's time must be between 1970 and 2262",
				"OTLP has times as nanoseconds since 1970.");
	return GetCurrentTimestamp();
}

/* The index of the argument in words; 0 when it is NULL or, after a warning, unknown. */
static int
word_argument(FunctionCallInfo fcinfo, int n, const char *what, const char *const *words)
{
	char	   *value = span_arg_text(fcinfo, n);
	char	   *list = NULL;

	if (value == NULL)
		return 0;
	for (int i = 0; words[i]; i++)
	{
		if (pg_strcasecmp(value, words[i]) == 0)
			return i;
		list = list ? psprintf("%s, %s", list, words[i]) : pstrdup(words[i]);
	}
	value[pg_mbcliplen(value, strlen(value), SPAN_CLIP_LEN)] = '\0';
	span_misuse(ERRCODE_INVALID_PARAMETER_VALUE,
				psprintf("invalid %s: \"%s\"", what, value),
				psprintf("It is one of: %s.", list));
	return 0;
}

SpanKind
span_arg_kind(FunctionCallInfo fcinfo, int n)
{
	return SPAN_KIND_INTERNAL + word_argument(fcinfo, n, "span kind", kind_words);
}

SpanScope
span_arg_scope(FunctionCallInfo fcinfo, int n)
{
	return (SpanScope) word_argument(fcinfo, n, "span scope", scope_words);
}

SpanStatus
span_arg_status(FunctionCallInfo fcinfo, int n)
{
	return (SpanStatus) word_argument(fcinfo, n, "span status", status_words);
}

/* A hint for a span that was not found, or when no span is open. */
static const char *
no_span_hint(bool is_named)
{
	if (citus_is_loaded())
		return "Was it started on a worker?  Read the links first, then call the span functions "
			"in a statement of their own.";
	if (is_named)
		return "Pass the context that otel.start_span returned, in the session that called it.";
	return "Start one with otel.start_span.  A span ends with its transaction, unless it is "
		"started with scope => 'session'.";
}

Span *
span_arg_span(FunctionCallInfo fcinfo, int n)
{
	struct varlena *context = span_arg_context(fcinfo, n);
	Span	   *span = context ? span_find(context) : span_stack_top();

	if (span_flushing)
		return NULL;
	if (span && span_can_end(span))
		return span;
	if (otel_sdk_disabled)
		return NULL;
	span_misuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				context ? "the span is not one of this session, or it has ended" :
				"no span is open",
				no_span_hint(context != NULL));
	return NULL;
}
