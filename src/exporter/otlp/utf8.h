/*
 * utf8.h: text of the database as UTF-8, the only encoding OTLP knows.
 */
#ifndef OTEL_OTLP_UTF8_H
#define OTEL_OTLP_UTF8_H

#include "postgres.h"

/* Finds the conversion from the database's encoding.  In a transaction, once. */
extern void utf8_init(void);

/*
 * Makes *s (of *len bytes, in the database's encoding) valid UTF-8, in CurrentMemoryContext where
 * it must be converted; false, with nothing changed, when it cannot be.  In a transaction.  Never
 * raises.
 */
extern bool utf8_convert(const char **s, int *len);

/*
 * The same, but what cannot be converted becomes ASCII with a question mark for every other byte.
 */
extern void utf8_convert_lossy(const char **s, int *len);

/*
 * The same for the key of an attribute: what cannot be converted becomes ASCII with every other
 * byte in hexadecimal, as \xe9, so that keys that differ still differ.
 */
extern void utf8_convert_key(const char **s, int *len);

#endif
