/*
 * buffer.h: a buffer of bytes that grows, up to a maximum.
 *
 * A batch is encoded by appending to one of these, so that no field costs an allocation.  It lives
 * in the memory context that was current at buffer_init().  Growing may raise out_of_memory, and
 * program_limit_exceeded above the maximum.
 */
#ifndef OTEL_OTLP_BUFFER_H
#define OTEL_OTLP_BUFFER_H

#include "postgres.h"
#include "utils/memutils.h"

#define BUFFER_INITIAL_SIZE (64 * 1024)

/* No request is larger.  A single span may exceed a batch's limit, so this is well above that. */
#define BUFFER_MAX_SIZE ((size_t) 256 * 1024 * 1024)

typedef struct ByteBuffer
{
	char	   *data;
	size_t		len;
	size_t		size;
} ByteBuffer;

static inline void
buffer_init(ByteBuffer *b)
{
	b->data = palloc(BUFFER_INITIAL_SIZE);
	b->len = 0;
	b->size = BUFFER_INITIAL_SIZE;
}

pg_attribute_unused() static pg_noinline void
buffer_grow(ByteBuffer *b, size_t more)
{
	size_t		size = b->size;

	if (more > BUFFER_MAX_SIZE || b->len + more > BUFFER_MAX_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("encoded span exceeds %zu MB", BUFFER_MAX_SIZE / (1024 * 1024))));
	while (size < b->len + more)
		size *= 2;
	b->data = repalloc_huge(b->data, size);
	b->size = size;
}

/* Makes room for this many more bytes; returns where they go. */
static inline char *
buffer_reserve(ByteBuffer *b, size_t more)
{
	if (unlikely(b->size - b->len < more))
		buffer_grow(b, more);
	return b->data + b->len;
}

static inline void
buffer_append(ByteBuffer *b, const char *bytes, size_t len)
{
	char	   *p = buffer_reserve(b, len);

	if (len > 0)
		memcpy(p, bytes, len);
	b->len += len;
}

static inline void
buffer_append_char(ByteBuffer *b, char c)
{
	*buffer_reserve(b, 1) = c;
	b->len++;
}

static inline void
buffer_append_cstring(ByteBuffer *b, const char *s)
{
	buffer_append(b, s, strlen(s));
}

#endif
