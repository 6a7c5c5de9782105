/*
 * fuzz_pairs.c: the reader of key=value lists, such as the headers file, under libFuzzer.
 *
 * Whatever the bytes are, nothing outside them is read or written, keys of headers are tokens,
 * values of headers have no control characters, and reading stops when the callback says so.
 */
#include "exporter/pairs.h"
#include "fuzz.h"

typedef struct Seen
{
	PairsKind	kind;
	const char *start;
	const char *end;
	int			left;			/* pairs before the callback refuses */
} Seen;

static bool
see_pair(const char *key, const char *value, void *arg)
{
	Seen	   *seen = arg;

	REQUIRE(key >= seen->start && key + strlen(key) < value && value + strlen(value) <= seen->end);
	REQUIRE(*key != '\0');
	for (const char *p = key; seen->kind != PAIRS_ATTRIBUTES && *p; p++)
		REQUIRE((unsigned char) *p > 0x20 && *p != 0x7f && strchr("=,:;\"", *p) == NULL);
	for (const char *p = value; seen->kind != PAIRS_ATTRIBUTES && *p; p++)
		REQUIRE((unsigned char) *p >= 0x20 || *p == '\t');
	REQUIRE(seen->left > 0);
	return --seen->left > 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int kind = PAIRS_HEADERS; kind <= PAIRS_ATTRIBUTES; kind++)
	{
		char	   *list = malloc(size + 1);
		Seen		seen = {(PairsKind) kind, list, list + size, size > 0 ? data[0] + 1 : 1};
		int			where = 0;
		PairsProblem problem;

		REQUIRE(list != NULL);
		memcpy(list, data, size);
		list[size] = '\0';
		problem = pairs_read(list, seen.kind, see_pair, &seen, &where);
		REQUIRE(where >= 1 && where <= (int) size + 1);
		REQUIRE((problem == PAIRS_REFUSED) == (seen.left == 0));
		REQUIRE(pairs_problem_text(problem) != NULL);
		free(list);
	}
	return 0;
}
