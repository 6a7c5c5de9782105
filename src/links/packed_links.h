/*
 * packed_links.h: the links of a span in the queue, without the headers of an array of rows.
 *
 * Owns the type otel.packed_links: its layout, reading and building it (packed_links.c), and its
 * text and binary form (packed_links_json.c).  Only this library makes values of it, and SQL reads
 * them as otel.span_link[], json, jsonb or text.
 *
 * A value begins with a byte of PACKED_ flags: the parts that its links have besides a context.
 * A part that any link has is stored for every link.  The links follow, each with
 *
 *	 length of the tracestate   4 bytes, with PACKED_TRACE_STATE
 *	 the context                25 bytes, as in otel.trace_context, and the tracestate
 *	 length of the attributes   4 bytes, with PACKED_ATTRIBUTES; 0 where there are none
 *	 the attributes             a jsonb without its length
 *	 dropped attributes         4 bytes, with PACKED_DROPPED: how many were dropped by limits
 *	 is it local?               1 byte, with PACKED_LOCAL
 *
 * Numbers are in the byte order of the machine and not aligned.  pg_upgrade carries stored values
 * over: a later version may add a part, and change nothing else.
 */
#ifndef OTEL_LINKS_PACKED_LINKS_H
#define OTEL_LINKS_PACKED_LINKS_H

#include "postgres.h"
#include "utils/jsonb.h"
#include "context/trace_context.h"
#include "links/span_link.h"

#define PACKED_TRACE_STATE 0x01
#define PACKED_ATTRIBUTES 0x02
#define PACKED_DROPPED 0x04
#define PACKED_LOCAL 0x08
#define PACKED_ALL 0x0f

/* A link as it is read, pointing into the value. */
typedef struct PackedLink
{
	const TraceContext *context;
	Size		trace_state_len;
	const char *attributes;		/* a jsonb's bytes, for packed_link_attributes() */
	Size		attributes_size;
	int32		dropped_attributes;
	bool		is_local;		/* it leads to a span of the recording session itself */
} PackedLink;

/* The reader's place in a value. */
typedef struct PackedLinks
{
	const char *next;
	const char *end;
	uint8		parts;
} PackedLinks;

/* The value of those links, in CurrentMemoryContext.  Raises program_limit_exceeded above 1 GB. */
extern struct varlena *packed_links_build(const SpanLink *links, int nlinks);

/*
 * Reads a value link by link: packed_links_next() returns false after the last.  The value is
 * detoasted in CurrentMemoryContext if necessary.  Raises data_corrupted when it is truncated or
 * has unknown parts.
 */
extern void packed_links_begin(PackedLinks *reader, Datum value);
extern bool packed_links_next(PackedLinks *reader, PackedLink *link);

/* The link's attributes, copied into CurrentMemoryContext, or NULL. */
extern Jsonb *packed_link_attributes(const PackedLink *link);

/* The links that lead to a trace, or with NULL all of them, in CurrentMemoryContext. */
extern SpanLink *packed_links_unpack(Datum value, const uint8 *trace_id, int *nlinks);

#endif
