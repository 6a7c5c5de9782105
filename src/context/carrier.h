/*
 * carrier.h: contexts in carriers, objects of header names and values, for C code.
 *
 * None of these functions raises, but out of memory.  Results are in CurrentMemoryContext.
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
 * A copy of a document (NULL: none) with the headers of a context in the object at a path, in the
 * place of all that it has under these names, in whatever spelling.  Objects that are missing on
 * the way are made; JSON null counts as missing.  NULL when there is no place: the way leads
 * through something else.
 */
extern Jsonb *carrier_put(Jsonb *document, const HeaderPath *path, const struct varlena *context);

/* A path from text[]; false when an element is NULL.  The path points into the array. */
extern bool carrier_path_read(ArrayType *array, HeaderPath *path);

/*
 * The same as carrier_extract() for a text: a JSON object or list of pairs (with a path: the one at
 * it), and without a path also a traceparent, the type's text form, or java.util.Properties.
 */
extern struct varlena *carrier_text_extract(const char *value, Size len, const HeaderPath *path);

/* The same as carrier_put() for JSON text; the rest of the text stays byte for byte. */
extern text *carrier_text_put(const char *value, Size len, const HeaderPath *path,
							  const struct varlena *context);

#endif
