/*
 * transfer.c: one HTTP request: its options for libcurl, and its outcome.
 *
 * What a request needs is malloc()ed and belongs to its Transfer.  http.c runs the requests and
 * blocks signals.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <limits.h>
#include <zlib.h>

#include "http/http.h"
#include "http/transfer.h"

/*
 * An older connection is not used again, so that changes in a load balancer or in DNS reach even an
 * exporter that never pauses.
 */
#define MAX_CONNECTION_AGE_S 300

/* A folder that every data directory has and that holds no certificates. */
#define EMPTY_FOLDER "pg_snapshots"

/* Returns the code from the function that calls this, unless it is CURLE_OK. */
#define RETURN_UNLESS_OK(call) \
	do { \
		CURLcode	code_ = (call); \
		if (code_ != CURLE_OK) \
			return code_; \
	} while (0)

/* The same for an option that not every TLS library behind libcurl knows. */
#define RETURN_UNLESS_OK_OR_ABSENT(call) \
	do { \
		CURLcode	code_ = (call); \
		if (code_ != CURLE_OK && code_ != CURLE_NOT_BUILT_IN && code_ != CURLE_UNKNOWN_OPTION) \
			return code_; \
	} while (0)

/* libcurl calls it with the body of the response; it must not raise. */
static size_t
write_callback(char *data, size_t size, size_t count, void *arg)
{
	Transfer   *t = arg;
	size_t		len = size * count;
	char	   *grown;

	if (len > HTTP_MAX_RESPONSE_SIZE - t->response_len)
	{
		t->response_too_large = true;
		return 0;				/* ends the transfer */
	}
	grown = realloc(t->response, t->response_len + len + 1);
	if (grown == NULL)
		return 0;
	t->response = grown;
	memcpy(t->response + t->response_len, data, len);
	t->response_len += len;
	return len;
}

static CURLcode
set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
#else
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L));
	return curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
}

static CURLcode
set_tls(CURL *easy, const HttpRequest *request)
{
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L));
	if (*request->certificate)
	{
		/*
		 * The file replaces all certificates of the system.  For the folder, NULL would mean the
		 * system's again in libcurl 8.22.
		 */
		RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_CAINFO, request->certificate));
		RETURN_UNLESS_OK_OR_ABSENT(curl_easy_setopt(easy, CURLOPT_CAPATH, EMPTY_FOLDER));
	}
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Otherwise libcurl notices after a day that the file was replaced. */
	RETURN_UNLESS_OK_OR_ABSENT(curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L));
#endif
	if (*request->client_certificate)
		RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSLCERT, request->client_certificate));
	if (*request->client_key)
		RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSLKEY, request->client_key));
	return CURLE_OK;
}

static CURLcode
set_connection(CURL *easy, const HttpRequest *request)
{
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
#if LIBCURL_VERSION_NUM >= 0x075700
	/* After a time-out, do not wait for a thread that still resolves a name. */
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L));
#endif
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->timeout_ms));
#if LIBCURL_VERSION_NUM >= 0x075000
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, (long) MAX_CONNECTION_AGE_S));
#endif
	return curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long) request->fresh);
}

static CURLcode
set_request(Transfer *t, const HttpRequest *request, const char *body, size_t len)
{
	CURL	   *easy = t->easy;

	t->has_client_key = *request->client_key != '\0';
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PRIVATE, t));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_URL, request->url));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_USERAGENT, request->user_agent));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_POST, 1L));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_callback));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_WRITEDATA, t));
	RETURN_UNLESS_OK(set_connection(easy, request));
	RETURN_UNLESS_OK(set_protocols(easy));
	return set_tls(easy, request);
}

/* Adds the headers; false when memory is short. */
static bool
add_headers(Transfer *t, const char *const *headers)
{
	for (; *headers; headers++)
	{
		struct curl_slist *list = curl_slist_append(t->headers, *headers);

		if (list == NULL)
			return false;
		t->headers = list;
	}
	return true;
}

/* Compresses the body; false when memory is short. */
static bool
compress_body(Transfer *t, const HttpRequest *request, size_t *len)
{
	z_stream	stream;
	size_t		room;
	bool		done;

	memset(&stream, 0, sizeof(stream));
	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	room = deflateBound(&stream, request->len);
	t->compressed = malloc(room);
	stream.next_in = (Bytef *) unconstify(char *, request->body);
	stream.avail_in = request->len;
	stream.next_out = (Bytef *) t->compressed;
	stream.avail_out = room;
	done = t->compressed && deflate(&stream, Z_FINISH) == Z_STREAM_END;
	*len = stream.total_out;
	(void) deflateEnd(&stream);
	return done;
}

void
transfer_free(Transfer *t)
{
	if (t == NULL)
		return;
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	free(t->compressed);
	free(t->response);
	free(t);
}

Transfer *
transfer_make(const HttpRequest *request)
{
	Transfer   *t = calloc(1, sizeof(Transfer));
	const char *body = request->body;
	size_t		len = request->len;
	bool		made;

	if (t == NULL)
		return NULL;
	t->owner = request->owner;
	t->easy = curl_easy_init();
	made = t->easy && add_headers(t, request->headers) &&
		(!request->gzip || compress_body(t, request, &len));
	if (t->compressed)
		body = t->compressed;
	if (made)
		t->code = set_request(t, request, body, len);
	if (!made || t->code == CURLE_OUT_OF_MEMORY)
	{
		transfer_free(t);
		return NULL;
	}
	return t;
}

/*
 * Did it fail after some of the body was sent, and before an answer began?  A server that cannot be
 * reached at all (refused, not resolved, no TLS) says nothing about the request.
 */
static bool
was_cut_short(Transfer *t)
{
	long		status = 0;
	curl_off_t	sent = 0;

	return t->code != CURLE_COULDNT_CONNECT &&
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 0 &&
		curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent) == CURLE_OK && sent > 0;
}

static HttpEnd
end_of(Transfer *t)
{
	switch (t->code)
	{
		case CURLE_OK:
			return HTTP_ANSWERED;
		case CURLE_URL_MALFORMAT:
			return HTTP_BAD_URL;
		case CURLE_SSL_CACERT_BADFILE:
			return HTTP_BAD_CERTIFICATE;
		case CURLE_SSL_CERTPROBLEM:
			return HTTP_BAD_CLIENT_CERTIFICATE;
		default:
			/* So libcurl 8.22 says that a key cannot be read, or is not the certificate's. */
			if (t->code == CURLE_BAD_FUNCTION_ARGUMENT && t->has_client_key)
				return HTTP_BAD_CLIENT_CERTIFICATE;
			if (t->response_too_large)
				return HTTP_RESPONSE_TOO_LARGE;
			return was_cut_short(t) ? HTTP_CUT_SHORT : HTTP_FAILED;
	}
}

void
transfer_answer(Transfer *t, HttpAnswer *answer)
{
	char	   *type = NULL;
	curl_off_t	retry_after = 0;

	memset(answer, 0, sizeof(*answer));
	answer->owner = t->owner;
	answer->end = end_of(t);
	(void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &answer->status);
	(void) curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
	answer->content_type = type ? type : "";
	answer->body = t->response;
	answer->len = t->response_len;
	answer->retry_after_s = -1;
	if (curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK &&
		retry_after > 0)
		answer->retry_after_s = (long) Min(retry_after, LONG_MAX);
	answer->error = t->error[0] ? t->error : curl_easy_strerror(t->code);
}
