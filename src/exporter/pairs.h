/*
 * pairs.h: what OpenTelemetry writes as key=value lists: request headers and resource attributes.
 *
 * Input comes from a file or a variable: no PostgreSQL header, no allocation;
 * fuzzed alone (test/fuzz/fuzz_pairs.c).
 */
#ifndef OTEL_EXPORTER_PAIRS_H
#define OTEL_EXPORTER_PAIRS_H

#include <stdbool.h>

typedef enum PairsKind
{
	PAIRS_HEADERS,				/* of a variable: separated by commas; keys are tokens */
	PAIRS_HEADERS_FILE,			/* of a file: also by line ends; # begins a line of comment */
	PAIRS_ATTRIBUTES			/* of a resource: keys percent-encoded, values any text */
} PairsKind;

typedef enum PairsProblem
{
	PAIRS_FINE,
	PAIRS_NOT_A_PAIR,			/* there is no = */
	PAIRS_BAD_KEY,				/* empty, or a header's name that is not a token */
	PAIRS_BAD_ESCAPE,			/* a % without two hex digits, or %00 */
	PAIRS_CONTROL_CHARACTER,	/* in a header */
	PAIRS_REFUSED				/* by the callback */
} PairsProblem;

/*
 * Called for each pair, decoded and NUL-terminated, in the list's own memory.  False stops the
 * reading.
 */
typedef bool (*pair_callback) (const char *key, const char *value, void *arg);

/*
 * Reads the pairs of a NUL-terminated list, which it overwrites: values are percent-decoded in
 * place, white space around keys and values is trimmed, and empty items are passed over.  Stops at
 * the first problem; *where is then the number of the pair, or in a file of the line, counted from
 * 1.  The callback has been called for the pairs before it.
 */
extern PairsProblem pairs_read(char *list, PairsKind kind, pair_callback callback, void *arg,
							   int *where);

/*
 * The problem, in words that follow "line 3".  They never quote the list, which may contain a
 * secret.
 */
extern const char *pairs_problem_text(PairsProblem problem);

#endif
