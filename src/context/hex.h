/*
 * hex.h: the value of a hexadecimal digit in either case, for the escapes %XX and \uXXXX.  w3c.c
 * reads ids, whose digits are lower-case only.  Uses no PostgreSQL header.
 */
#ifndef OTEL_LINKS_HEX_H
#define OTEL_LINKS_HEX_H

/* The digit's value, or -1. */
static inline int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
