/*
 * headers.c: the headers of a request.
 *
 * Their values are kept in a memory context of their own, which is dropped after the request, and are
 * shown nowhere.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "exporter/pairs.h"
#include "exporter/redact.h"
#include "exporter/headers.h"

/* A headers file larger than this is a mistake. */
#define MAX_HEADERS_FILE (64 * 1024)

typedef struct Header
{
	const char *name;
	const char *value;
} Header;

/* What the exporter itself says of the body. */
static const char *const own_headers[] = {
	"content-type", "content-encoding", "content-length", "transfer-encoding", "expect", NULL
};

static bool
add_header(const char *name, const char *value, void *arg)
{
	List	  **list = arg;
	ListCell   *cell;
	Header	   *header;

	if (!header_name_is_valid(name))
		return false;
	for (int i = 0; own_headers[i]; i++)
	{
		if (pg_strcasecmp(name, own_headers[i]) == 0)
			return true;
	}
	foreach(cell, *list)
	{
		header = lfirst(cell);
		if (pg_strcasecmp(header->name, name) == 0)
		{
			header->value = value;
			return true;
		}
	}
	header = palloc(sizeof(Header));
	header->name = name;
	header->value = value;
	*list = lappend(*list, header);
	return true;
}

static void
warn_once(bool *warned, const char *source, const char *problem)
{
	if (!*warned)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ignoring headers of %s: %s", source, problem)));
	*warned = true;
}

/* Adds a list's headers, all or none. */
static List *
add_list(List *headers, const char *text, bool lines, const char *source, bool *warned)
{
	List	   *added = NIL;
	ListCell   *cell;

	if (!pairs_read(text, lines, add_header, &added))
	{
		warn_once(warned, source, "not a list of key=value with percent-encoded values");
		return headers;
	}
	*warned = false;
	foreach(cell, added)
	{
		Header	   *header = lfirst(cell);

		(void) add_header(header->name, header->value, &headers);
	}
	return headers;
}

/* The whole file, NUL-terminated; NULL, after a warning, when it cannot be had. */
static char *
read_file(const char *path, bool *warned)
{
	FILE	   *file = AllocateFile(path, "r");
	char	   *text = palloc(MAX_HEADERS_FILE + 1);
	size_t		len;
	bool		failed;

	if (file == NULL)
	{
		warn_once(warned, "otel.exporter_otlp_headers_file", strerror(errno));
		return NULL;
	}
	len = fread(text, 1, MAX_HEADERS_FILE + 1, file);
	failed = ferror(file) || len > MAX_HEADERS_FILE || memchr(text, '\0', len) != NULL;
	FreeFile(file);
	if (failed)
	{
		warn_once(warned, "otel.exporter_otlp_headers_file", "not a text file of at most 64 kB");
		return NULL;
	}
	text[len] = '\0';
	return text;
}

static List *
collect(const ExporterConfig *config)
{
	static bool warned_general;
	static bool warned_traces;
	static bool warned_file;
	const char *text;
	List	   *headers = NIL;

	if ((text = getenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS")) != NULL && *text)
		headers = add_list(headers, text, false, "OTEL_EXPORTER_OTLP_TRACES_HEADERS", &warned_traces);
	else if ((text = getenv("OTEL_EXPORTER_OTLP_HEADERS")) != NULL)
		headers = add_list(headers, text, false, "OTEL_EXPORTER_OTLP_HEADERS", &warned_general);
	if (*config->headers_file && (text = read_file(config->headers_file, &warned_file)) != NULL)
		headers = add_list(headers, text, true, "otel.exporter_otlp_headers_file", &warned_file);
	return headers;
}

void
headers_make(RequestHeaders *headers, const ExporterConfig *config)
{
	MemoryContext old;
	List	   *configured;
	ListCell   *cell;

	headers->values = NIL;
	headers->count = 0;
	headers->context = AllocSetContextCreate(CurrentMemoryContext, "otel request headers",
											 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(headers->context);
	configured = collect(config);
	headers->lines = palloc0(sizeof(char *) * (list_length(configured) + lengthof(own_headers)));
	headers->lines[headers->count++] = config->json ? "Content-Type: application/json" :
		"Content-Type: application/x-protobuf";
	/* libcurl would wait a second for a server that does not know it */
	headers->lines[headers->count++] = "Expect:";
	if (config->gzip)
		headers->lines[headers->count++] = "Content-Encoding: gzip";
	foreach(cell, configured)
	{
		Header	   *header = lfirst(cell);

		/* libcurl takes "name;" for a header without a value; "name:" would remove it */
		headers->lines[headers->count++] = *header->value ?
			psprintf("%s: %s", header->name, header->value) : psprintf("%s;", header->name);
		headers->values = lappend(headers->values, unconstify(char *, header->value));
	}
	MemoryContextSwitchTo(old);
}

void
headers_redact(const RequestHeaders *headers, char *text)
{
	int			count = list_length(headers->values);
	const char **values = palloc(sizeof(char *) * Max(count, 1));
	char	   *original = pstrdup(text);

	for (int i = 0; i < count; i++)
		values[i] = list_nth(headers->values, i);
	redact(original, values, count, text);
	pfree(original);
	pfree(values);
}

void
headers_free(RequestHeaders *headers)
{
	MemoryContextDelete(headers->context);
}
