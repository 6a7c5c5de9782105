/*
 * writer.h: OTLP fields, written as Protocol Buffers or as JSON.
 *
 * The code that walks the rows knows messages and fields (otlp_span.c, key_values.c); only this
 * file knows that there are two encodings.  A Field has both its number and its lowerCamelCase
 * name.  OTLP's JSON is that of proto3, but ids are hex and enums are integers
 * (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding").
 *
 * As in proto3, put_uint32, put_fixed32, put_string and put_cstring leave out a value that is 0 or
 * empty.  The others write any value: among the members of an AnyValue, the one that is written
 * tells the kind.
 */
#ifndef OTEL_OTLP_WRITER_H
#define OTEL_OTLP_WRITER_H

#include "exporter/otlp/buffer.h"
#include "common/base64.h"
#include "exporter/otlp/json.h"
#include "exporter/otlp/protobuf.h"

typedef struct Writer
{
	ByteBuffer	buf;
	bool		json;
} Writer;

typedef struct Field
{
	int			number;
	const char *name;
} Field;

static inline void
put_uint32(Writer *w, Field f, uint32 value)
{
	if (value == 0)
		return;
	if (!w->json)
		pb_varint(&w->buf, f.number, value);
	else
	{
		json_name(&w->buf, f.name);
		buffer_reserve(&w->buf, 16);
		w->buf.len += snprintf(w->buf.data + w->buf.len, 16, "%u", value);
	}
}

static inline void
put_fixed32(Writer *w, Field f, uint32 value)
{
	if (!w->json && value != 0)
		pb_fixed32(&w->buf, f.number, value);
	else
		put_uint32(w, f, value);
}

static inline void
put_fixed64(Writer *w, Field f, uint64 value)
{
	if (!w->json)
		pb_fixed64(&w->buf, f.number, value);
	else
	{
		json_name(&w->buf, f.name);
		buffer_reserve(&w->buf, 24);
		w->buf.len += snprintf(w->buf.data + w->buf.len, 24, "\"" UINT64_FORMAT "\"", value);
	}
}

/* s is valid UTF-8; it is written even if it is empty. */
static inline void
put_string_always(Writer *w, Field f, const char *s, size_t len)
{
	if (!w->json)
		pb_bytes(&w->buf, f.number, s, len);
	else
	{
		json_name(&w->buf, f.name);
		json_string(&w->buf, s, len);
	}
}

static inline void
put_string(Writer *w, Field f, const char *s, size_t len)
{
	if (len > 0)
		put_string_always(w, f, s, len);
}

static inline void
put_cstring(Writer *w, Field f, const char *s)
{
	put_string(w, f, s, strlen(s));
}

/* A trace or span id: bytes in protobuf, hex in JSON. */
static inline void
put_id(Writer *w, Field f, const uint8 *id, int len)
{
	static const char hex[] = "0123456789abcdef";
	char	   *p;

	if (!w->json)
	{
		pb_bytes(&w->buf, f.number, (const char *) id, len);
		return;
	}
	json_name(&w->buf, f.name);
	p = buffer_reserve(&w->buf, 2 * len + 2);
	*p++ = '"';
	for (int i = 0; i < len; i++)
	{
		*p++ = hex[id[i] >> 4];
		*p++ = hex[id[i] & 15];
	}
	*p++ = '"';
	w->buf.len = p - w->buf.data;
}

/* ---- the members of an AnyValue ---- */

static inline void
put_bytes(Writer *w, Field f, const char *bytes, size_t len)
{
	int			room;

	if (!w->json)
	{
		pb_bytes(&w->buf, f.number, bytes, len);
		return;
	}
	json_name(&w->buf, f.name);
	buffer_append_char(&w->buf, '"');
	room = pg_b64_enc_len(len);
	buffer_reserve(&w->buf, room);
#if PG_VERSION_NUM >= 180000
	w->buf.len += pg_b64_encode((const uint8 *) bytes, len, w->buf.data + w->buf.len, room);
#else
	w->buf.len += pg_b64_encode(bytes, len, w->buf.data + w->buf.len, room);
#endif
	buffer_append_char(&w->buf, '"');
}

static inline void
put_bool(Writer *w, Field f, bool value)
{
	if (!w->json)
		pb_varint(&w->buf, f.number, value);
	else
	{
		json_name(&w->buf, f.name);
		buffer_append_cstring(&w->buf, value ? "true" : "false");
	}
}

static inline void
put_int64(Writer *w, Field f, int64 value)
{
	if (!w->json)
		pb_varint(&w->buf, f.number, (uint64) value);
	else
	{
		json_name(&w->buf, f.name);
		buffer_reserve(&w->buf, 24);
		w->buf.len += snprintf(w->buf.data + w->buf.len, 24, "\"" INT64_FORMAT "\"", value);
	}
}

/* text is the value in JSON, with all its digits. */
static inline void
put_double(Writer *w, Field f, double value, const char *text)
{
	if (!w->json)
	{
		uint64		bits;

		memcpy(&bits, &value, sizeof(bits));
		pb_fixed64(&w->buf, f.number, bits);
	}
	else
	{
		json_name(&w->buf, f.name);
		buffer_append_cstring(&w->buf, text);
	}
}

/* ---- messages and lists ---- */

/* Begins a field that is a message; close it with end_message(). */
static inline size_t
begin_message(Writer *w, Field f)
{
	if (!w->json)
		return pb_open(&w->buf, f.number);
	json_name(&w->buf, f.name);
	buffer_append_char(&w->buf, '{');
	return 0;
}

static inline void
end_message(Writer *w, size_t start)
{
	if (!w->json)
		pb_close(&w->buf, start);
	else
		buffer_append_char(&w->buf, '}');
}

/* Begins a repeated field.  In protobuf, nothing is around its items. */
static inline void
begin_list(Writer *w, Field f)
{
	if (!w->json)
		return;
	json_name(&w->buf, f.name);
	buffer_append_char(&w->buf, '[');
}

static inline void
end_list(Writer *w)
{
	if (w->json)
		buffer_append_char(&w->buf, ']');
}

/* Begins an item, a message, of the list that is open; close it with end_message(). */
static inline size_t
begin_item(Writer *w, Field f)
{
	if (!w->json)
		return pb_open(&w->buf, f.number);
	json_separator(&w->buf);
	buffer_append_char(&w->buf, '{');
	return 0;
}

#endif
