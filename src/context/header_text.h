/*
 * header_text.h: the headers traceparent and tracestate in texts that applications store: JSON
 * objects and lists of pairs, and java.util.Properties.
 *
 * Finds the headers and changes them; w3c.h decides whether they are valid.  Uses no PostgreSQL
 * header and allocates nothing.  Names of headers match in any case (W3C Trace Context, sections
 * 3.2.1 and 3.3.1).
 */
#ifndef OTEL_LINKS_HEADER_TEXT_H
#define OTEL_LINKS_HEADER_TEXT_H

#include "context/json_text.h"

/* Two headers, decoded; start is NULL when there is none that can be used. */
typedef struct HeaderPair
{
	JsonSlice	traceparent;
	JsonSlice	tracestate;
} HeaderPair;

/* Where a carrier is in a document: keys of objects, outermost first. */
typedef struct HeaderPath
{
	int			depth;
	const JsonSlice *keys;		/* as they are */
	const JsonSlice *quoted;	/* as JSON strings */
} HeaderPath;

/*
 * The value at a path.  False when there is none, when something on the path is not an object, or
 * when an object on the path has the key twice.
 */
extern bool header_text_find(JsonSlice value, const HeaderPath *path, JsonSlice *found);

/*
 * The headers in a JSON object ({"traceparent": "…"}) or in a list of pairs
 * ([["traceparent", "…"], …], as OpenTelemetry's Active Job instrumentation writes it).  A
 * header that occurs twice, in whatever spelling, is not used.  A traceparent may be an array of
 * one string, a tracestate an array of strings, which are joined by commas.  room has space for
 * value.len bytes.
 */
extern void header_text_read_json(JsonSlice value, char *room, HeaderPair *headers);

/*
 * The headers in a text that java.util.Properties wrote: lines such as "traceparent=…".  room has
 * space for len bytes.
 */
extern void header_text_read_properties(const char *text, size_t len, char *room,
										HeaderPair *headers);

/*
 * Writes a JSON value in which the members ('"traceparent":"…"', without braces) replace all
 * headers in the object at a path; everything else stays the same byte for byte.  Objects that are
 * missing on the path are added; null counts as missing.  Returns the length, or 0 when there is no
 * place: something on the path is not an object, or an object has the key twice.  out has room for
 * header_text_put_size() bytes.
 */
extern size_t header_text_put(JsonSlice value, const HeaderPath *path, JsonSlice members,
							  char *out);
extern size_t header_text_put_size(JsonSlice value, const HeaderPath *path, JsonSlice members);

#endif
