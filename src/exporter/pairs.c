/*
 * pairs.c: lists of key=value, as in OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES
 * (W3C Baggage without properties).
 */
#include <stddef.h>
#include <string.h>

#include "context/hex.h"
#include "exporter/pairs.h"

/* The characters that end an item in a file, and in a variable. */
#define FILE_SEPARATORS ",\r\n"
#define SEPARATORS ","

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts white space off both ends of a string; returns where it begins then. */
static char *
trim(char *s, char *end)
{
	while (s < end && is_space(*s))
		s++;
	while (end > s && is_space(end[-1]))
		end--;
	*end = '\0';
	return s;
}

static PairsProblem
percent_decode(char *s)
{
	char	   *out = s;

	for (; *s; s++)
	{
		int			high;
		int			low;

		if (*s != '%')
		{
			*out++ = *s;
			continue;
		}
		high = hex_value(s[1]);
		low = high < 0 ? -1 : hex_value(s[2]);
		if (low < 0 || high * 16 + low == 0)
			return PAIRS_BAD_ESCAPE;
		*out++ = (char) (high * 16 + low);
		s += 2;
	}
	*out = '\0';
	return PAIRS_FINE;
}

/* Is it a "token" of RFC 9110, as a header's name must be? */
static bool
is_token(const char *s)
{
	for (; *s; s++)
	{
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
			  strchr("!#$%&'*+-.^_`|~", *s)))
			return false;
	}
	return true;
}

static bool
has_control_character(const char *s)
{
	for (; *s; s++)
	{
		if (((unsigned char) *s < 0x20 && *s != '\t') || *s == 0x7f)
			return true;
	}
	return false;
}

/* Reads the item that ends at end. */
static PairsProblem
read_item(char *item, char *end, PairsKind kind, pair_callback callback, void *arg)
{
	char	   *equals = memchr(item, '=', end - item);
	char	   *key;
	char	   *value;
	PairsProblem problem;

	if (equals == NULL)
		return PAIRS_NOT_A_PAIR;
	value = trim(equals + 1, end);
	key = trim(item, equals);
	if (*key == '\0' || (kind != PAIRS_ATTRIBUTES && !is_token(key)))
		return PAIRS_BAD_KEY;
	if (kind == PAIRS_ATTRIBUTES && (problem = percent_decode(key)) != PAIRS_FINE)
		return problem;
	if ((problem = percent_decode(value)) != PAIRS_FINE)
		return problem;
	if (kind != PAIRS_ATTRIBUTES && has_control_character(value))
		return PAIRS_CONTROL_CHARACTER;
	return callback(key, value, arg) ? PAIRS_FINE : PAIRS_REFUSED;
}

PairsProblem
pairs_read(char *list, PairsKind kind, pair_callback callback, void *arg, int *where)
{
	bool		file = kind == PAIRS_HEADERS_FILE;
	bool		line_begins = true;

	*where = 1;
	while (*list)
	{
		char	   *item = list + strspn(list, " \t");
		bool		comment = file && line_begins && *item == '#';
		char	   *end = item + strcspn(item, comment ? "\n" :
											 file ? FILE_SEPARATORS : SEPARATORS);
		char		separator = *end;

		if (end > item && !comment)
		{
			PairsProblem problem = read_item(item, end, kind, callback, arg);

			if (problem != PAIRS_FINE)
				return problem;
		}
		line_begins = separator != ',';
		*where += file ? separator == '\n' : end > item;
		list = separator ? end + 1 : end;
	}
	return PAIRS_FINE;
}

const char *
pairs_problem_text(PairsProblem problem)
{
	switch (problem)
	{
		case PAIRS_NOT_A_PAIR:
			return "is not key=value";
		case PAIRS_BAD_KEY:
			return "does not begin with a name and \"=\"";
		case PAIRS_BAD_ESCAPE:
			return "has a \"%\" that is not followed by two hexadecimal digits";
		case PAIRS_CONTROL_CHARACTER:
			return "has a control character";
		case PAIRS_REFUSED:
			return "is not UTF-8";
		default:
			return "is fine";
	}
}
