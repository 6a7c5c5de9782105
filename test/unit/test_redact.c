/*
 * test_redact.c: which parts of a collector's message are replaced by stars.  Prints TAP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/redact.h"
#include "exporter/response.h"

static int	ntests = 0;
static int	nfailed = 0;

/* A copy on the heap of exactly its length, for the address sanitizer. */
static void
is_redacted(const char *name, const char *text, const char *const *values, const char *expected)
{
	char	   *out = strdup(text);
	char	   *in = strdup(text);
	int			nvalues = 0;

	while (values[nvalues])
		nvalues++;
	redact(in, values, nvalues, out);
	ntests++;
	if (strcmp(out, expected) != 0)
	{
		nfailed++;
		printf("not ");
	}
	printf("ok %d - %s\n", ntests, name);
	if (strcmp(out, expected) != 0)
		printf("# \"%s\" instead of \"%s\"\n", out, expected);
	free(in);
	free(out);
}

#define VALUES(...) ((const char *const[]) {__VA_ARGS__, NULL})

static const char *
repeat(char c, int n)
{
	static char text[2048];

	memset(text, c, n);
	text[n] = '\0';
	return text;
}

/* The message of an answer that quotes a long key, as response.c cuts it. */
static void
long_key(int before, int key_length)
{
	char		json[4096];
	char		key[1024];
	char		expected[1024];
	char		name[64];
	Response	response;

	for (int i = 0; i < key_length; i++)
		key[i] = 'A' + i % 26;
	key[key_length] = '\0';
	snprintf(json, sizeof(json), "{\"message\": \"%s%s\"}", repeat('.', before), key);
	response_read_error(json, strlen(json), true, &response);
	snprintf(name, sizeof(name), "a key of %d bytes behind %d others", key_length, before);
	strcpy(expected, response.message);
	memset(expected + before, '*', strlen(expected) - before);
	is_redacted(name, response.message, VALUES(key), expected);
}

int
main(void)
{
	is_redacted("the value", "no k3y1 here", VALUES("k3y1"), "no **** here");
	is_redacted("each time", "k3y1 k3y1", VALUES("k3y1"), "**** ****");
	is_redacted("several values", "k3y1 and s3cret", VALUES("s3cret", "k3y1"), "**** and ******");
	is_redacted("nothing else", "no key here", VALUES("k3y1", "", "other"), "no key here");
	is_redacted("an empty text", "", VALUES("k3y1"), "");
	is_redacted("a value that is too short to say anything", "an acme key", VALUES("key"),
		"an acme key");
	is_redacted("a key behind its scheme", "no k3y1", VALUES("Bearer k3y1"), "no ****");
	is_redacted("the scheme stays", "Bearer k3y1: expected Basic",
		VALUES("Bearer k3y1", "Basic dXNlcg=="),
				"Bearer ****: expected Basic");
	is_redacted("a value that is a scheme's name alone", "is basic", VALUES("basic"), "is *****");
	is_redacted("a value that ends in a space", "no k3y1", VALUES("k3y1 "), "no ****");
	is_redacted("a value of white space", "no \t  key", VALUES(" \t  "), "no****key");
	is_redacted("each of two keys in a value", "f1rst, s3cond", VALUES("f1rst s3cond"),
		"*****, ******");
	is_redacted("words too short by themselves", "a b c d", VALUES("b c d"), "a *****");
	is_redacted("a value within another", "xxk3y1yy", VALUES("k3y1", "xxk3y1yy"), "********");
	is_redacted("values that overlap", "onetwothree", VALUES("onetwo", "twothree"), "***********");
	is_redacted("a value that overlaps itself", "ababab", VALUES("abab"), "******");
	is_redacted("a value that is cut by the text's end", "no k3y1-that",
		VALUES("k3y1-that-is-long"), "no *********");
	is_redacted("a word that is cut", "no s3con", VALUES("f1rst s3cond"), "no *****");
	is_redacted("no more than its beginning counts", "no that", VALUES("k3y1-that-is-long"),
		"no that");
	is_redacted("what is too short to say anything", "no k3y", VALUES("k3y1-that-is-long"),
		"no k3y");
	long_key(0, 511);
	long_key(0, 512);
	long_key(0, 800);
	long_key(500, 40);
	long_key(507, 40);
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
