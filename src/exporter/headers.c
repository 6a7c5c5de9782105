/*
 * headers.c: the headers of a request.
 *
 * Their values live as long as the request and are shown nowhere.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/fd.h"

#include "exporter/headers.h"
#include "exporter/pairs.h"
#include "exporter/redact.h"

/* A headers file larger than this is a mistake. */
#define MAX_HEADERS_FILE (64 * 1024)

#define HEADERS_FILE "otel.exporter_otlp_headers_file"

typedef struct Header
{
	const char *name;
	const char *value;
} Header;

/* Left to the exporter and libcurl: a user's header of one of these names is ignored. */
static const char *const own_headers[] = {
	"content-type", "content-encoding", "content-length", "transfer-encoding", "expect", NULL
};

static bool
add_header(const char *name, const char *value, void *arg)
{
	List	  **list = arg;
	ListCell   *cell;
	Header	   *header;

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

/* Adds the headers of a variable.  Returns NULL, or a description of the error. */
static const char *
add_variable(List **headers, const char *name, const char *text)
{
	int			where;
	PairsProblem problem = pairs_read(pstrdup(text), PAIRS_HEADERS, add_header, headers, &where);

	if (problem == PAIRS_FINE)
		return NULL;
	return psprintf("environment variable %s: pair %d %s", name, where,
					pairs_problem_text(problem));
}

/* Reads the whole file into *text, NUL-terminated.  Returns NULL, or why it cannot be read. */
static const char *
read_file(const char *path, char **text)
{
	FILE	   *file = AllocateFile(path, "r");
	size_t		len;
	int			error;			/* of reading; 0: none */

	if (file == NULL)
		return psprintf("could not open " HEADERS_FILE ": %s", strerror(errno));
	*text = palloc(MAX_HEADERS_FILE + 1);
	len = fread(*text, 1, MAX_HEADERS_FILE + 1, file);
	error = ferror(file) ? errno : 0;
	FreeFile(file);
	if (error != 0)
		return psprintf("could not read " HEADERS_FILE ": %s", strerror(error));
	if (len > MAX_HEADERS_FILE || memchr(*text, '\0', len) != NULL)
		return HEADERS_FILE " is not a text file of at most 64 kB";
	(*text)[len] = '\0';
	return NULL;
}

/* The same for the file.  An empty file is an error: somebody is probably writing it just now. */
static const char *
add_file(List **headers, const char *path)
{
	char	   *text = NULL;
	const char *error = read_file(path, &text);
	List	   *added = NIL;
	ListCell   *cell;
	PairsProblem problem;
	int			where;

	if (error)
		return error;
	problem = pairs_read(text, PAIRS_HEADERS_FILE, add_header, &added, &where);
	if (problem != PAIRS_FINE)
		return psprintf(HEADERS_FILE ": line %d %s", where, pairs_problem_text(problem));
	if (added == NIL)
		return HEADERS_FILE " has no header";
	foreach(cell, added)
	{
		Header	   *header = lfirst(cell);

		(void) add_header(header->name, header->value, headers);
	}
	return NULL;
}

static const char *
collect(List **headers, const ExporterConfig *config)
{
	const char *error = NULL;
	const char *text;

	if ((text = getenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS")) != NULL && *text)
		error = add_variable(headers, "OTEL_EXPORTER_OTLP_TRACES_HEADERS", text);
	else if ((text = getenv("OTEL_EXPORTER_OTLP_HEADERS")) != NULL)
		error = add_variable(headers, "OTEL_EXPORTER_OTLP_HEADERS", text);
	if (error == NULL && *config->headers_file)
		error = add_file(headers, config->headers_file);
	return error;
}

const char *
headers_make(RequestHeaders *headers, const ExporterConfig *config)
{
	List	   *configured = NIL;
	const char *error = collect(&configured, config);
	ListCell   *cell;

	headers->values = NIL;
	headers->count = 0;
	if (error)
		return error;
	headers->lines = palloc0(sizeof(char *) * (list_length(configured) + lengthof(own_headers)));
	headers->lines[headers->count++] = config->json ? "Content-Type: application/json" :
		"Content-Type: application/x-protobuf";
	/* otherwise libcurl waits up to a second for a server to answer "100 Continue" */
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
	return NULL;
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
