/*
 * json_text.h: JSON as text, read in place: RFC 8259's grammar, and the members of an object.
 *
 * Owns the grammar and nothing else.  Uses no PostgreSQL header and allocates nothing; every string
 * comes with its length.  It exists because a payload that is stored as text must stay the same
 * byte for byte, and because PostgreSQL's own readers raise an error where this one returns false.
 * It works in every encoding in which ASCII bytes always mean ASCII, as in all of PostgreSQL's
 * server encodings.
 */
#ifndef OTEL_LINKS_JSON_TEXT_H
#define OTEL_LINKS_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* A part of a text. */
typedef struct JsonSlice
{
	const char *start;
	size_t		len;
} JsonSlice;

typedef struct JsonMember
{
	JsonSlice	key;			/* a string, with its quotes */
	JsonSlice	value;			/* any value, without white space around it */
} JsonMember;

/*
 * Is this text one JSON value?  *value is then that value without white space around it.  Values
 * nested more than 1,000 deep are refused.
 */
extern bool json_text_read(const char *text, size_t len, JsonSlice *value);

/* The kind of a value, by its first byte: '{', '[', '"', 'n', 't', 'f', or '0' for a number. */
extern char json_text_kind(JsonSlice value);

/*
 * The members of an object, one for each call; false when there are no more.  *position must be
 * NULL at first.  The object must be a value that json_text_read() has accepted, or a part of one.
 */
extern bool json_text_next_member(JsonSlice object, const char **position, JsonMember *member);

/* The elements of an array, in the same way. */
extern bool json_text_next_element(JsonSlice array, const char **position, JsonSlice *element);

/*
 * Writes a string, without its quotes and escapes, into out, as much of it as fits into max bytes
 * (string.len is always enough); returns the length.  Escapes beyond ASCII become UTF-8; half a
 * surrogate pair, and \u0000, become "?".
 */
extern size_t json_text_unescape(JsonSlice string, char *out, size_t max);

/*
 * Does a string, without its escapes, equal another?  With ignore_case, ASCII letters match in
 * either case.
 */
extern bool json_text_equals(JsonSlice string, const char *other, size_t len, bool ignore_case);

#endif
