/*
 * redact.c: keeping headers' values out of logs and messages.
 */
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "exporter/redact.h"

/* A shorter text gives nothing away; hiding it would only garble messages. */
#define MIN_SECRET_LENGTH 4

#define WHITE_SPACE " \t"

/* An Authorization header may begin with these.  They stay readable in messages. */
static const char *const schemes[] = {"basic", "bearer", "token", "apikey", "api-key", NULL};

/* The value without a scheme in front of a key. */
static const char *
skip_scheme(const char *value)
{
	size_t		len = strcspn(value, WHITE_SPACE);
	const char *rest = value + len + strspn(value + len, WHITE_SPACE);

	for (int i = 0; *rest && schemes[i]; i++)
	{
		if (strlen(schemes[i]) == len && strncasecmp(schemes[i], value, len) == 0)
			return rest;
	}
	return value;
}

static void
hide(const char *text, const char *secret, size_t len, char *out)
{
	size_t		text_len = strlen(text);

	if (len < MIN_SECRET_LENGTH)
		return;
	for (size_t i = 0; i + MIN_SECRET_LENGTH <= text_len; i++)
	{
		size_t		n = text_len - i < len ? text_len - i : len;

		if (memcmp(text + i, secret, n) == 0)
			memset(out + i, '*', n);
	}
}

void
redact(const char *text, const char *const *values, int nvalues, char *out)
{
	for (int i = 0; i < nvalues; i++)
	{
		const char *word = skip_scheme(values[i]);

		hide(text, word, strlen(word), out);
		while (*(word += strspn(word, WHITE_SPACE)))
		{
			size_t		len = strcspn(word, WHITE_SPACE);

			hide(text, word, len, out);
			word += len;
		}
	}
}
