/*
 * pairs.h: what OpenTelemetry writes as key=value lists: request headers and resource attributes.
 */
#ifndef OTEL_EXPORTER_PAIRS_H
#define OTEL_EXPORTER_PAIRS_H

#include "postgres.h"

/* Called for each pair, decoded and NUL-terminated.  False stops the reading. */
typedef bool (*pair_callback) (const char *key, const char *value, void *arg);

/*
 * Reads pairs separated by commas (or, in a file, by line ends as well), values percent-decoded, white space
 * around both trimmed.  False at the first that is no pair, holds a broken escape, a control character or a
 * NUL, or that the callback refuses; pairs before it have been handed over.  Allocates in CurrentMemoryContext.
 */
extern bool pairs_read(const char *list, bool lines, pair_callback callback, void *arg);

/* The names of RFC 9110: a token. */
extern bool header_name_is_valid(const char *name);

#endif
