/*
 * fuzz_response.c: the readers of a collector's answers under libFuzzer.
 *
 * Whatever the bytes are, nothing outside them is read, and the result is a printable string that
 * ends within its buffer.
 */
#include "exporter/response.h"
#include "fuzz.h"

static void
check_message(const Response *response)
{
	size_t		len = strnlen(response->message, sizeof(response->message));

	REQUIRE(len < sizeof(response->message));
	for (size_t i = 0; i < len; i++)
		REQUIRE((unsigned char) response->message[i] >= 0x20 && response->message[i] != 0x7f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy = exact_copy(data, size);
	Response	response;

	for (int json = 0; json <= 1; json++)
	{
		if (response_read_success(copy, size, json, &response) && size == 0)
			REQUIRE(response.rejected_spans == 0 && response.message[0] == '\0');
		check_message(&response);
		response_read_error(copy, size, json, &response);
		REQUIRE(response.rejected_spans == 0);
		check_message(&response);
	}
	free(copy);
	return 0;
}
