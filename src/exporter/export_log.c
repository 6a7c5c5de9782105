/*
 * export_log.c: what the exporter logs about the collector, and how often.
 *
 * While a collector comes and goes, each message is logged at most once a minute, and at most
 * LOG_LINES messages in all.  (One that failed every second request wrote 96 lines in 24 seconds.)
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "exporter/export_log.h"
#include "exporter/response.h"
#include "monotonic.h"

#define LOG_INTERVAL_MS 60000
#define LOG_LINES 60

static bool failing;			/* a failure was logged, and its end was not */
static char last_failure[RESPONSE_MESSAGE_SIZE];

/* What was logged in the last minute. */
static struct
{
	uint32		hash;			/* of the text */
	int64		at;				/* monotonic_ms(); 0: nothing */
}			logged[LOG_LINES];

/* May it be logged?  Remembers that it was. */
static bool
may_log(const char *error)
{
	uint32		hash = hash_bytes((const unsigned char *) error, strlen(error));
	int64		now = monotonic_ms();
	int			oldest = 0;

	for (int i = 0; i < LOG_LINES; i++)
	{
		if (logged[i].at != 0 && now - logged[i].at < LOG_INTERVAL_MS &&
			logged[i].hash == hash)
			return false;
		if (logged[i].at < logged[oldest].at)
			oldest = i;
	}
	if (logged[oldest].at != 0 && now - logged[oldest].at < LOG_INTERVAL_MS)
		return false;
	logged[oldest].hash = hash;
	logged[oldest].at = now;
	return true;
}

/* Is it the same as the last one?  Remembers it. */
static bool
is_repeated(char *last, size_t size, const char *error)
{
	if (strncmp(last, error, size - 1) == 0)
		return true;
	strlcpy(last, error, size);
	return false;
}

void
export_log_failure(const char *error)
{
	bool		repeated = is_repeated(last_failure, sizeof(last_failure), error);

	if ((repeated && failing) || !may_log(error))
		return;
	failing = true;
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("otel_links exporter cannot export spans: %s", error),
			 errdetail("This is logged once, until spans are exported again."),
			 errhint("See otel.export_status.")));
}

void
export_log_forget(void)
{
	last_failure[0] = '\0';
	memset(logged, 0, sizeof(logged));
}

void
export_log_success(void)
{
	if (failing)
		ereport(LOG, (errmsg("otel_links exporter exports spans again")));
	failing = false;
}

void
export_log_complaint(const char *error)
{
	static char last[RESPONSE_MESSAGE_SIZE];

	if (is_repeated(last, sizeof(last), error) || !may_log(error))
		return;
	ereport(LOG, (errmsg("otel_links exporter: %s", error)));
}
