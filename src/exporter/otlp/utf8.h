/*
 * utf8.h: text of the database as UTF-8, the only encoding OTLP knows.
 */
#ifndef OTEL_OTLP_UTF8_H
#define OTEL_OTLP_UTF8_H

#include "postgres.h"

/* Finds the conversion from the database's encoding.  In a transaction, once. */
extern void utf8_init(void);

/*
 * Makes *s (of *len bytes, in the database's encoding) valid UTF-8; a converted text is in
 * CurrentMemoryContext.  False, with nothing changed, when it cannot be converted.  Needs a
 * transaction.  Raises only when memory is short.
 */
extern bool utf8_convert(const char **s, int *len);

/*
 * The same, but a text that cannot be converted becomes ASCII, with a question mark for each byte
 * that is not.
 */
extern void utf8_convert_lossy(const char **s, int *len);

/*
 * The same for the key of an attribute: one that cannot be converted becomes ASCII, with each byte
 * that is not in hexadecimal (\xe9), so that different keys stay different.
 */
extern void utf8_convert_key(const char **s, int *len);

#endif
