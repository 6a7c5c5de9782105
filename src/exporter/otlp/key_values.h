/*
 * key_values.h: jsonb as OTLP attributes.
 */
#ifndef OTEL_OTLP_KEY_VALUES_H
#define OTEL_OTLP_KEY_VALUES_H

#include "postgres.h"
#include "utils/jsonb.h"
#include "exporter/otlp/writer.h"

/*
 * Writes the members of an object as the repeated KeyValue in a field; anything but an object,
 * and a member with an empty key, is left out.  In a transaction; what it allocates is in
 * CurrentMemoryContext.
 */
extern void put_attributes(Writer *w, Field f, Jsonb *attributes);

/* One attribute that is a string in UTF-8, as an item of a list that is open. */
extern void put_string_attribute(Writer *w, Field f, const char *key, const char *value);

#endif
