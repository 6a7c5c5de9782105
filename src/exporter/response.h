/*
 * response.h: what a collector answers: ExportTraceServiceResponse with its partial success, and
 * google.rpc.Status with its message, each in Protocol Buffers or JSON.
 *
 * It reads what a stranger sent: no PostgreSQL header, no allocation, every read is within the
 * bytes given; fuzzed alone (test/fuzz/fuzz_response.c).
 */
#ifndef OTEL_EXPORTER_RESPONSE_H
#define OTEL_EXPORTER_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_MESSAGE_SIZE 512

typedef struct Response
{
	int64_t		rejected_spans;
	char		message[RESPONSE_MESSAGE_SIZE]; /* NUL-terminated, cut at a character; printable */
} Response;

/*
 * Reads the answer to a request that was accepted.  False when it is not an
 * ExportTraceServiceResponse.  An empty body is one, and says that all is well.  *response is set
 * either way.
 */
extern bool response_read_success(const char *body, size_t len, bool json, Response *response);

/* Reads the message of the answer to a request that was refused; empty when there is none. */
extern void response_read_error(const char *body, size_t len, bool json, Response *response);

#endif
