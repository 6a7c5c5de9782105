/*
 * protobuf.h: writing the wire format of Protocol Buffers, as far as OTLP needs it
 * (protobuf.dev/programming-guides/encoding).
 */
#ifndef OTEL_OTLP_PROTOBUF_H
#define OTEL_OTLP_PROTOBUF_H

#include "exporter/otlp/buffer.h"
#include "port/pg_bswap.h"

typedef enum PbWireType
{
	PB_VARINT = 0,
	PB_FIXED64 = 1,
	PB_LEN = 2,
	PB_FIXED32 = 5
} PbWireType;

#define PB_MAX_VARINT 10

/* Writes to p, which has room for PB_MAX_VARINT bytes; returns the end. */
static inline char *
pb_write_varint(char *p, uint64 value)
{
	while (value >= 0x80)
	{
		*p++ = (char) (value | 0x80);
		value >>= 7;
	}
	*p++ = (char) value;
	return p;
}

static inline int
pb_varint_size(uint64 value)
{
	int			size = 1;

	while (value >= 0x80)
	{
		value >>= 7;
		size++;
	}
	return size;
}

/* Writes a field's tag to p, which has room for PB_MAX_VARINT bytes; returns the end. */
static inline char *
pb_write_tag(char *p, int number, PbWireType type)
{
	return pb_write_varint(p, ((uint64) number << 3) | type);
}

static inline void
pb_varint(ByteBuffer *b, int number, uint64 value)
{
	char	   *p = buffer_reserve(b, 2 * PB_MAX_VARINT);

	p = pb_write_tag(p, number, PB_VARINT);
	b->len = pb_write_varint(p, value) - b->data;
}

static inline void
pb_fixed64(ByteBuffer *b, int number, uint64 value)
{
	char	   *p = buffer_reserve(b, PB_MAX_VARINT + 8);

	p = pb_write_tag(p, number, PB_FIXED64);
#ifdef WORDS_BIGENDIAN
	value = pg_bswap64(value);
#endif
	memcpy(p, &value, 8);
	b->len = p + 8 - b->data;
}

static inline void
pb_fixed32(ByteBuffer *b, int number, uint32 value)
{
	char	   *p = buffer_reserve(b, PB_MAX_VARINT + 4);

	p = pb_write_tag(p, number, PB_FIXED32);
#ifdef WORDS_BIGENDIAN
	value = pg_bswap32(value);
#endif
	memcpy(p, &value, 4);
	b->len = p + 4 - b->data;
}

/* For strings, byte strings and messages that are already encoded. */
static inline void
pb_bytes(ByteBuffer *b, int number, const char *bytes, size_t len)
{
	char	   *p = buffer_reserve(b, 2 * PB_MAX_VARINT + len);

	p = pb_write_tag(p, number, PB_LEN);
	p = pb_write_varint(p, len);
	if (len > 0)
		memcpy(p, bytes, len);
	b->len = p + len - b->data;
}

/*
 * Opens a message of unknown length.  One byte is reserved for the length, which is enough for
 * most messages; otherwise pb_close() moves the content.  Returns what pb_close() needs.
 */
static inline size_t
pb_open(ByteBuffer *b, int number)
{
	char	   *p = buffer_reserve(b, PB_MAX_VARINT + 1);

	p = pb_write_tag(p, number, PB_LEN);
	b->len = p + 1 - b->data;
	return b->len;
}

static inline void
pb_close(ByteBuffer *b, size_t start)
{
	size_t		len = b->len - start;
	int			size = pb_varint_size(len);

	if (size > 1)
	{
		buffer_reserve(b, size - 1);
		memmove(b->data + start + size - 1, b->data + start, len);
		b->len += size - 1;
	}
	pb_write_varint(b->data + start - 1, len);
}

#endif
