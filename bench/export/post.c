/*
 * post.c: posts ready-made bodies by libcurl over one connection, as the limit that no exporter
 * built on libcurl can exceed.
 *
 *	post URL BYTES COUNT
 *
 * Prints {"seconds": …, "cpu_seconds": …}.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double
wall_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static size_t
ignore_answer(char *data, size_t size, size_t count, void *arg)
{
	(void) data;
	(void) arg;
	return size * count;
}

static CURL *
set_up(const char *url, const char *body, long size)
{
	CURL	   *curl;
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-protobuf");

	curl_global_init(CURL_GLOBAL_DEFAULT);
	curl = curl_easy_init();
	headers = curl_slist_append(headers, "Expect:");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, size);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_answer);
	return curl;
}

int
main(int argc, char **argv)
{
	double		wall;
	double		cpu;
	long		size = argc == 4 ? atol(argv[2]) : 0;
	char	   *body = malloc(size + 1);
	CURL	   *curl;

	if (argc != 4 || body == NULL)
		return 2;
	memset(body, 'x', size);
	curl = set_up(argv[1], body, size);
	wall = wall_seconds();
	cpu = cpu_seconds();
	for (long i = atol(argv[3]); i > 0; i--)
	{
		CURLcode	code = curl_easy_perform(curl);

		if (code != CURLE_OK)
		{
			fprintf(stderr, "post: %s\n", curl_easy_strerror(code));
			return 1;
		}
	}
	printf("{\"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
		   wall_seconds() - wall, cpu_seconds() - cpu);
	return 0;
}
