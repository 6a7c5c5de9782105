/*
 * pairs.c: lists of key=value, as OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES have them
 * (W3C Baggage without properties).
 */
#include "postgres.h"

#include "exporter/pairs.h"

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A trimmed, decoded copy of the bytes; NULL when they are malformed. */
static char *
decode(const char *s, const char *end)
{
	char	   *copy;
	char	   *out;

	while (s < end && is_space(*s))
		s++;
	while (end > s && is_space(end[-1]))
		end--;
	out = copy = palloc(end - s + 1);
	for (; s < end; s++)
	{
		int			c = (unsigned char) *s;

		if (c == '%')
		{
			if (end - s < 3 || hex_value(s[1]) < 0 || hex_value(s[2]) < 0)
				return NULL;
			c = hex_value(s[1]) * 16 + hex_value(s[2]);
			s += 2;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return NULL;
		*out++ = (char) c;
	}
	*out = '\0';
	return copy;
}

bool
pairs_read(const char *list, bool lines, pair_callback callback, void *arg)
{
	const char *separators = lines ? ",\r\n" : ",";

	while (*list)
	{
		const char *end = list + strcspn(list, separators);
		const char *equals = memchr(list, '=', end - list);
		const char *p = list;
		char	   *key;
		char	   *value;

		while (p < end && is_space(*p))
			p++;
		if (p < end)
		{
			if (equals == NULL)
				return false;
			key = decode(list, equals);
			value = decode(equals + 1, end);
			if (key == NULL || value == NULL || *key == '\0' || !callback(key, value, arg))
				return false;
		}
		list = *end ? end + 1 : end;
	}
	return true;
}

bool
header_name_is_valid(const char *name)
{
	if (*name == '\0')
		return false;
	for (; *name; name++)
	{
		if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
			  (*name >= '0' && *name <= '9') || strchr("!#$%&'*+-.^_`|~", *name)))
			return false;
	}
	return true;
}
