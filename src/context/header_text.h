/*
 * header_text.h: the headers traceparent and tracestate in what applications keep as text: JSON
 * objects and lists of pairs, and java.util.Properties.
 *
 * Finds the headers and changes them; whether they are valid is w3c.h's to say.  No PostgreSQL
 * header, no allocation.  Names of headers match in any case (W3C Trace Context, sections 3.2.1 and
 * 3.3.1).
 */
#ifndef OTEL_LINKS_HEADER_TEXT_H
#define OTEL_LINKS_HEADER_TEXT_H

#include "context/json_text.h"

/* Two headers, decoded; start is NULL where there is none that can be used. */
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
 * The value at a path.  False when there is none, when the way leads through something that is not
 * an object, or when an object on the way has a key twice.
 */
extern bool header_text_find(JsonSlice value, const HeaderPath *path, JsonSlice *found);

/*
 * The headers in a JSON object ({"traceparent": "…"}) or in a list of pairs
 * ([["traceparent", "…"], …], as OpenTelemetry's Active Job instrumentation writes it).  A
 * traceparent may be an array of one string; one that is there twice, in whatever spelling, counts
 * as none.  A tracestate may be an array of strings, which are joined by commas.  room has space
 * for value.len bytes.
 */
extern void header_text_read_json(JsonSlice value, char *room, HeaderPair *headers);

/*
 * The headers in a text that java.util.Properties wrote, "traceparent=…" in a line of its own.
 * room has space for len bytes.
 */
extern void header_text_read_properties(const char *text, size_t len, char *room,
										HeaderPair *headers);

/*
 * Writes a JSON value with members ('"traceparent":"…"', without braces) put into the object at a
 * path, in the place of all headers that are there; what else there is stays byte for byte.
 * Objects that are missing on the way are made; null counts as missing.  Returns the length, or 0
 * when there is no place: the way leads through something else, or an object has a key twice.  out
 * has room for header_text_put_size() bytes.
 */
extern size_t header_text_put(JsonSlice value, const HeaderPath *path, JsonSlice members,
							  char *out);
extern size_t header_text_put_size(JsonSlice value, const HeaderPath *path, JsonSlice members);

#endif
