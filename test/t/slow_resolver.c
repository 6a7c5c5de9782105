/*
 * For LD_PRELOAD: getaddrinfo() gets no answer for silent.example, for longer than a test waits for
 * it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
	struct addrinfo **result)
{
	int			(*resolve) (const char *, const char *, const struct addrinfo *,
		struct addrinfo **);

	if (node && strcmp(node, "silent.example") == 0)
	{
		sleep(60);
		return EAI_AGAIN;
	}
	*(void **) &resolve = dlsym(RTLD_NEXT, "getaddrinfo");
	return resolve(node, service, hints, result);
}
