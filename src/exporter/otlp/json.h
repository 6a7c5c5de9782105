/*
 * json.h: writing JSON text, as far as OTLP/JSON needs it.
 *
 * Commas need no bookkeeping: one is written before a member unless the last byte written opens an
 * object or a list.  A string cannot be mistaken for that, because it ends in a quote.
 */
#ifndef OTEL_OTLP_JSON_H
#define OTEL_OTLP_JSON_H

#include "exporter/otlp/buffer.h"

static inline void
json_separator(ByteBuffer *b)
{
	char		last = b->len > 0 ? b->data[b->len - 1] : '{';

	if (last != '{' && last != '[')
		buffer_append_char(b, ',');
}

/* Writes a string, which is valid UTF-8; escapes only what RFC 8259 demands. */
static inline void
json_string(ByteBuffer *b, const char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const char *end = s + len;

	buffer_append_char(b, '"');
	while (s < end)
	{
		const char *run = s;

		while (s < end && (unsigned char) *s >= 0x20 && *s != '"' && *s != '\\')
			s++;
		buffer_append(b, run, s - run);
		if (s == end)
			break;
		if (*s == '"' || *s == '\\')
		{
			char		escape[2] = {'\\', *s};

			buffer_append(b, escape, 2);
		}
		else
		{
			char		escape[6] = {'\\', 'u', '0', '0', hex[(*s >> 4) & 15], hex[*s & 15]};

			buffer_append(b, escape, 6);
		}
		s++;
	}
	buffer_append_char(b, '"');
}

/* Writes a member's name and the colon.  Names are ours and need no escapes. */
static inline void
json_name(ByteBuffer *b, const char *name)
{
	json_separator(b);
	buffer_append_char(b, '"');
	buffer_append_cstring(b, name);
	buffer_append(b, "\":", 2);
}

#endif
