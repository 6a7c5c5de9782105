/*
 * utf8.c: text of the database as UTF-8.
 *
 * Text is checked even if the database is in UTF-8, and one in SQL_ASCII may hold anything: a
 * single broken string makes collectors refuse the whole batch.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "exporter/otlp/utf8.h"

static Oid	conversion;			/* InvalidOid: not needed, or not found */

void
utf8_init(void)
{
	int			encoding = GetDatabaseEncoding();

	if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII)
		conversion = FindDefaultConversionProc(encoding, PG_UTF8);
}

/* In every server encoding, bytes below 0x80 are ASCII. */
static bool
is_ascii(const char *s, int len)
{
	const char *end = s + len;
	unsigned char any = 0;

	while (s < end)
		any |= (unsigned char) *s++;
	return any < 0x80;
}

bool
utf8_convert(const char **s, int *len)
{
	int			encoding = GetDatabaseEncoding();
	unsigned char *converted;
	Size		room;

	if (is_ascii(*s, *len))
		return true;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pg_verify_mbstr(PG_UTF8, *s, *len, true);
	room = (Size) *len * MAX_CONVERSION_GROWTH + 1;
	if (!OidIsValid(conversion) || !AllocSizeIsValid(room))
		return false;
	converted = palloc(room);
	if (pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8,
									  (unsigned char *) unconstify(char *, *s), *len,
									  converted, room, true) != *len)
	{
		pfree(converted);
		return false;
	}
	*s = (const char *) converted;
	*len = strlen(*s);
	return true;
}

void
utf8_convert_lossy(const char **s, int *len)
{
	char	   *copy;

	if (utf8_convert(s, len))
		return;
	copy = palloc(*len);
	for (int i = 0; i < *len; i++)
		copy[i] = IS_HIGHBIT_SET((*s)[i]) ? '?' : (*s)[i];
	*s = copy;
}

void
utf8_convert_key(const char **s, int *len)
{
	StringInfoData escaped;

	if (utf8_convert(s, len))
		return;
	initStringInfo(&escaped);
	for (int i = 0; i < *len; i++)
	{
		if (IS_HIGHBIT_SET((*s)[i]))
			appendStringInfo(&escaped, "\\x%02x", (unsigned char) (*s)[i]);
		else
			appendStringInfoChar(&escaped, (*s)[i]);
	}
	*s = escaped.data;
	*len = escaped.len;
}
