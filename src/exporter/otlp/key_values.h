/*
 * key_values.h: jsonb as OTLP attributes.
 */
#ifndef OTEL_OTLP_KEY_VALUES_H
#define OTEL_OTLP_KEY_VALUES_H

#include "postgres.h"
#include "utils/jsonb.h"
#include "exporter/otlp/writer.h"

/*
 * Writes the members of an object as a repeated field of KeyValues.  Leaves out members with an
 * empty key, and all of a value that is not an object.  Needs a transaction; leaves what it
 * allocates in CurrentMemoryContext.
 */
extern void put_attributes(Writer *w, Field f, Jsonb *attributes);

/* Writes one attribute, a string in UTF-8, as an item of the list that is open. */
extern void put_string_attribute(Writer *w, Field f, const char *key, const char *value);

#endif
