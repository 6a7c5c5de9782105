/*
 * fuzz_w3c.c: the readers of traceparent and tracestate under libFuzzer.
 *
 * Whatever the bytes are, nothing outside them is read, nothing beyond the promised room is
 * written, and a value that was accepted is the same after it was printed and read again.
 */
#include "context/w3c.h"
#include "fuzz.h"

static void
check_traceparent(const char *value, size_t len)
{
	W3cTraceparent first;
	W3cTraceparent second;
	W3cError	error = w3c_parse_traceparent(value, len, &first);
	char	   *printed;

	REQUIRE(strlen(w3c_error_detail(error)) > 0);
	if (error != W3C_OK)
	{
		REQUIRE(error < W3C_TRACESTATE_KEY);
		return;
	}
	REQUIRE(!w3c_is_zero(first.trace_id, W3C_TRACE_ID_SIZE));
	REQUIRE(!w3c_is_zero(first.span_id, W3C_SPAN_ID_SIZE));

	printed = malloc(W3C_TRACEPARENT_LEN);
	REQUIRE(printed != NULL);
	w3c_format_traceparent(&first, printed);
	REQUIRE(w3c_parse_traceparent(printed, W3C_TRACEPARENT_LEN, &second) == W3C_OK);
	REQUIRE(memcmp(&first, &second, sizeof(first)) == 0);
	free(printed);
}

/* A normalised list: 32 members at most, each a key, "=" and a value, within their limits. */
static void
check_normalized(const char *list, size_t len)
{
	size_t		members = 0;
	size_t		key_len = 0;	/* with the "="; 0 while the key is read */
	size_t		start = 0;

	for (size_t i = 0; i <= len && len > 0; i++)
	{
		if (i < len && list[i] == '=')
		{
			REQUIRE(key_len == 0);
			key_len = i + 1 - start;
			REQUIRE(key_len > 1 && key_len <= 257);
		}
		else if (i == len || list[i] == ',')
		{
			REQUIRE(key_len > 0);
			REQUIRE(i > start + key_len && i - start - key_len <= 256);
			REQUIRE(list[i - 1] != ' ' && list[i - 1] != '\t');
			REQUIRE(++members <= W3C_TRACESTATE_MAX_MEMBERS);
			start = i + 1;
			key_len = 0;
		}
	}
}

static void
check_tracestate(const char *value, size_t len)
{
	size_t		room = len < W3C_TRACESTATE_MAX_LEN ? len : W3C_TRACESTATE_MAX_LEN;
	char	   *out = malloc(room > 0 ? room : 1);
	char	   *in_place = exact_copy(value, len);
	size_t		out_len;
	size_t		again_len;
	W3cError	error = w3c_normalize_tracestate(value, len, out, &out_len);

	REQUIRE(w3c_normalize_tracestate(in_place, len, in_place, &again_len) == error);
	if (error != W3C_OK)
		REQUIRE(error >= W3C_TRACESTATE_KEY);
	else
	{
		REQUIRE(out_len <= room);
		REQUIRE(again_len == out_len && memcmp(in_place, out, out_len) == 0);
		check_normalized(out, out_len);

		free(in_place);
		in_place = exact_copy(out, out_len);
		REQUIRE(w3c_normalize_tracestate(in_place, out_len, in_place, &again_len) == W3C_OK);
		REQUIRE(again_len == out_len && memcmp(in_place, out, out_len) == 0);
	}
	free(in_place);
	free(out);
}

/*
 * The input is a text form: a traceparent, ";" and a tracestate.  Each half is in its own memory.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *value = (const char *) data;
	const char *semicolon = size > 0 ? memchr(value, ';', size) : NULL;
	size_t		len = semicolon != NULL ? (size_t) (semicolon - value) : size;
	char	   *traceparent = exact_copy(value, len);
	char	   *tracestate = semicolon != NULL ? exact_copy(semicolon + 1, size - len - 1) : NULL;

	check_traceparent(traceparent, len);
	check_tracestate(traceparent, len);
	if (tracestate != NULL)
		check_tracestate(tracestate, size - len - 1);
	free(tracestate);
	free(traceparent);
	return 0;
}
