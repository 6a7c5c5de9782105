/*
 * headers.h: the headers of a request, which may carry keys.
 */
#ifndef OTEL_EXPORTER_HEADERS_H
#define OTEL_EXPORTER_HEADERS_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "exporter/config.h"

typedef struct RequestHeaders
{
	const char **lines;			/* "name: value", as HttpRequest wants them */
	int			count;
	List	   *values;			/* must not be shown */
} RequestHeaders;

/*
 * Reads OTEL_EXPORTER_OTLP_TRACES_HEADERS of the server's environment (OTEL_EXPORTER_OTLP_HEADERS
 * only if that is unset or empty: its keys may be for another collector) and then the headers file.
 * A later header replaces an earlier one of the same name.  This is done for every request, so that
 * a key that was changed in the file counts at once.  Everything is in CurrentMemoryContext.
 *
 * Returns NULL, or why the headers are incomplete: then nothing may be sent.
 */
extern const char *headers_make(RequestHeaders *headers, const ExporterConfig *config);

/*
 * Replaces the headers' values in a text by stars (redact.h), because a server may quote a header
 * that it refuses.
 */
extern void headers_redact(const RequestHeaders *headers, char *text);

#endif
