/*
 * w3c.h: the grammar of the headers traceparent and tracestate, W3C Trace Context Level 2.
 *
 * Owns the grammar and nothing else.  Uses no PostgreSQL header, allocates nothing and reads in one
 * pass; every string comes with its length (none needs a NUL).  Everything that reads a traceparent
 * calls it.
 */
#ifndef OTEL_LINKS_W3C_H
#define OTEL_LINKS_W3C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define W3C_TRACE_ID_SIZE 16
#define W3C_SPAN_ID_SIZE 8
#define W3C_TRACEPARENT_LEN 55			/* of version 00 */

/* trace-flags, section 3.2.2.5 */
#define W3C_FLAG_SAMPLED 0x01
#define W3C_FLAG_RANDOM 0x02
#define W3C_FLAGS_KNOWN (W3C_FLAG_SAMPLED | W3C_FLAG_RANDOM)

/*
 * 32 members of a 256-byte key, "=" and a 256-byte value, and 31 commas (sections 3.3.1.1 to
 * 3.3.1.3)
 */
#define W3C_TRACESTATE_MAX_MEMBERS 32
#define W3C_TRACESTATE_MAX_LEN 16447

typedef struct W3cTraceparent
{
	uint8_t		trace_flags;
	uint8_t		trace_id[W3C_TRACE_ID_SIZE];
	uint8_t		span_id[W3C_SPAN_ID_SIZE];
} W3cTraceparent;

/* Which field is wrong; W3C_OK when none is. */
typedef enum W3cError
{
	W3C_OK = 0,
	W3C_TRACEPARENT_LENGTH,		/* too short, or version 00 and not exactly 55 */
	W3C_TRACEPARENT_DELIMITER,
	W3C_TRACEPARENT_VERSION,	/* not hex, or ff */
	W3C_TRACEPARENT_TRACE_ID_HEX,
	W3C_TRACEPARENT_TRACE_ID_ZERO,
	W3C_TRACEPARENT_SPAN_ID_HEX,
	W3C_TRACEPARENT_SPAN_ID_ZERO,
	W3C_TRACEPARENT_FLAGS,
	W3C_TRACESTATE_KEY,
	W3C_TRACESTATE_VALUE,
	W3C_TRACESTATE_NO_EQUALS,
	W3C_TRACESTATE_MEMBERS		/* more than 32 */
} W3cError;

/* One English sentence for an error, for DETAIL. */
extern const char *w3c_error_detail(W3cError error);

/*
 * Reads a traceparent (section 3.2).  Surrounding spaces and tabs are skipped.  For a version above
 * 00, only the sampled and random bits of the flags are kept.  *out is valid only with W3C_OK.
 */
extern W3cError w3c_parse_traceparent(const char *value, size_t len, W3cTraceparent *out);

/* Writes version 00, 55 bytes without a NUL. */
extern void w3c_format_traceparent(const W3cTraceparent *tp, char out[W3C_TRACEPARENT_LEN]);

/*
 * Reads a tracestate (section 3.3) and writes it normalised: without white space around members,
 * without empty members, and with the first of duplicate keys only.  out has room for len or
 * W3C_TRACESTATE_MAX_LEN bytes, whichever is less.  It may be the value itself, which is
 * overwritten even if it is invalid.  *out_len is valid only with W3C_OK; it is 0 for a list
 * without members.
 */
extern W3cError w3c_normalize_tracestate(const char *value, size_t len, char *out, size_t *out_len);

/* Writes size bytes as 2 * size lower-case hex digits, without a NUL. */
extern void w3c_format_hex(const uint8_t *bytes, size_t size, char *out);

/* Reads 2 * size lower-case hex digits; false when one is not a hex digit. */
extern bool w3c_parse_hex(const char *hex, size_t size, uint8_t *out);

/* Is every byte zero, as in an invalid id? */
extern bool w3c_is_zero(const uint8_t *bytes, size_t size);

#endif
