/*
 * carrier.h: contexts in carriers, objects of header names and values, for C code.
 *
 * These functions raise only out_of_memory.  Results are in CurrentMemoryContext.
 */
#ifndef OTEL_LINKS_CARRIER_H
#define OTEL_LINKS_CARRIER_H

#include "postgres.h"
#include "utils/array.h"
#include "utils/jsonb.h"

#include "context/header_text.h"

/* otel.extract(): the context in a carrier; NULL when there is none that can be used. */
extern struct varlena *carrier_extract(JsonbContainer *carrier);

/* The object or array at a path; NULL when there is none. */
extern JsonbContainer *carrier_find(JsonbContainer *document, const HeaderPath *path);

/*
 * A copy of a document (NULL: none) in which the object at a path has the headers of a context.
 * They replace all members of these names, in whatever spelling.  Objects that are missing on the
 * path are added; JSON null counts as missing.  NULL when there is no place: something on the path
 * is not an object, or the document would become too large.
 */
extern Jsonb *carrier_put(Jsonb *document, const HeaderPath *path, const struct varlena *context);

/* Reads a path from a text[]; false when an element is NULL.  The path points into the array. */
extern bool carrier_path_read(ArrayType *array, HeaderPath *path);

/*
 * Like carrier_extract(), for a text: a JSON object or list of pairs (the one at the path, if there
 * is a path) or, without a path, a traceparent, the type's text form, or java.util.Properties.
 */
extern struct varlena *carrier_text_extract(const char *value, Size len, const HeaderPath *path);

/* Like carrier_put(), for JSON text; the rest of the text stays the same byte for byte. */
extern text *carrier_text_put(const char *value, Size len, const HeaderPath *path,
							  const struct varlena *context);

#endif
