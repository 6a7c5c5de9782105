/*
 * postgrest.c: the context in PostgREST's setting request.headers.
 *
 * The text is read as json, not jsonb: jsonb keeps only the last of two fields of one name, but two
 * traceparent headers count as none (W3C Trace Context, section 3.2.1).
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "compat.h"
#include "capture/postgrest.h"
#include "context/trace_context.h"

/* What is collected while the text is parsed. */
typedef struct HeaderReader
{
	JsonLexContext *lexer;
	StringInfoData *field;		/* the header whose value is being read, or NULL */
	StringInfoData traceparent;
	StringInfoData tracestate;
	int			traceparents;
	int			tracestates;
	bool		tracestate_broken;
} HeaderReader;

/* Is the parser at a header's value, or in an array that is one? */
static bool
in_header_value(HeaderReader *reader)
{
	return reader->field != NULL && reader->lexer->lex_level <= 2;
}

static JSON_ACTION_RESULT
field_start(void *state, char *name, bool isnull)
{
	HeaderReader *reader = state;

	if (reader->lexer->lex_level == 1)
	{
		if (pg_strcasecmp(name, "traceparent") == 0)
			reader->field = &reader->traceparent;
		else if (pg_strcasecmp(name, "tracestate") == 0)
			reader->field = &reader->tracestate;
		else
			reader->field = NULL;
	}
	JSON_ACTION_DONE();
}

static JSON_ACTION_RESULT
field_end(void *state, char *name, bool isnull)
{
	HeaderReader *reader = state;

	if (reader->lexer->lex_level == 1)
		reader->field = NULL;
	JSON_ACTION_DONE();
}

static JSON_ACTION_RESULT
object_start(void *state)
{
	HeaderReader *reader = state;

	/* An object is not a valid header; a second traceparent of any kind makes both invalid. */
	if (reader->field == &reader->traceparent)
		reader->traceparents += 2;
	else if (reader->field == &reader->tracestate)
		reader->tracestate_broken = true;
	JSON_ACTION_DONE();
}

static JSON_ACTION_RESULT
scalar(void *state, char *token, JsonTokenType type)
{
	HeaderReader *reader = state;

	if (!in_header_value(reader))
		JSON_ACTION_DONE();
	if (reader->field == &reader->traceparent)
	{
		reader->traceparents += (type == JSON_TOKEN_STRING) ? 1 : 2;
		if (reader->traceparents == 1)
			appendStringInfoString(&reader->traceparent, token);
	}
	else if (type == JSON_TOKEN_STRING)
	{
		if (reader->tracestates++ > 0)
			appendStringInfoChar(&reader->tracestate, ',');
		appendStringInfoString(&reader->tracestate, token);
	}
	else
		reader->tracestate_broken = true;
	JSON_ACTION_DONE();
}

/* The parser raises an error when it runs out of stack; headers nest only two levels deep. */
static bool
nests_too_deep(const char *json)
{
	int			depth = 0;
	bool		in_string = false;

	for (const char *p = json; *p; p++)
	{
		if (in_string && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if ((*p == '{' || *p == '[') && ++depth > 16)
			return true;
		else if (*p == '}' || *p == ']')
			depth--;
	}
	return false;
}

/*
 * A copy in which escapes beyond ASCII are question marks, so that nothing need be converted:
 * PostgreSQL 15 raises an error if the database's encoding lacks a character.  The headers that we
 * read are ASCII.
 */
static char *
without_unicode_escapes(const char *json)
{
	char	   *copy = pstrdup(json);

	for (char *p = copy; *p; p++)
	{
		if (*p != '\\' || p[1] == '\0')
			continue;
		p++;
		if (*p == 'u' && strnlen(p, 5) == 5 && (p[1] != '0' || p[2] != '0' || p[3] > '7'))
			memcpy(p + 1, "003f", 4);
	}
	return copy;
}

struct varlena *
postgrest_context(const char *json)
{
	HeaderReader reader = {0};
	JsonSemAction actions = {0};
	bool		parsed;

	if (nests_too_deep(json))
		return NULL;
	if (GetDatabaseEncoding() != PG_UTF8)
		json = without_unicode_escapes(json);
	reader.lexer = make_json_lexer(unconstify(char *, json), strlen(json), GetDatabaseEncoding());
	initStringInfo(&reader.traceparent);
	initStringInfo(&reader.tracestate);
	actions.semstate = &reader;
	actions.object_start = object_start;
	actions.object_field_start = field_start;
	actions.object_field_end = field_end;
	actions.scalar = scalar;

	parsed = pg_parse_json(reader.lexer, &actions) == JSON_SUCCESS;
	if (!parsed || reader.traceparents != 1)
		return NULL;
	return trace_context_from_headers(reader.traceparent.data, reader.traceparent.len,
									  reader.tracestate_broken ? NULL : reader.tracestate.data,
									  reader.tracestate.len);
}
