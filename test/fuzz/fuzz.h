/*
 * fuzz.h: what the fuzzers share.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* Memory of exactly this size, so that the sanitizer notices an access just behind it. */
static inline char *
exact_copy(const void *data, size_t size)
{
	char	   *copy = malloc(size > 0 ? size : 1);

	REQUIRE(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
