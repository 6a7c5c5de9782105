/*
 * export_log.c: what the exporter logs about the collector, and how often.
 *
 * A collector that comes and goes is logged once a minute for each thing that it fails with, and
 * however many these are, at most LOG_LINES times a minute.  (One that failed every second request
 * wrote 96 lines in 24 seconds.)
 */
#include "postgres.h"

#include "exporter/export_log.h"
#include "exporter/response.h"
#include "monotonic.h"

#define LOG_INTERVAL_MS 60000
#define LOG_LINES 8

static bool failing;			/* a failure was logged, and its end was not */

/* May it be logged?  Remembers that it was. */
static bool
may_log(const char *error)
{
	static struct
	{
		char		error[RESPONSE_MESSAGE_SIZE];
		int64		at;			/* monotonic_ms(); 0: never */
	}			logged[LOG_LINES];
	int64		now = monotonic_ms();
	int			oldest = 0;

	for (int i = 0; i < LOG_LINES; i++)
	{
		if (logged[i].at != 0 && now - logged[i].at < LOG_INTERVAL_MS &&
			strncmp(logged[i].error, error, sizeof(logged[i].error) - 1) == 0)
			return false;
		if (logged[i].at < logged[oldest].at)
			oldest = i;
	}
	if (logged[oldest].at != 0 && now - logged[oldest].at < LOG_INTERVAL_MS)
		return false;
	strlcpy(logged[oldest].error, error, sizeof(logged[oldest].error));
	logged[oldest].at = now;
	return true;
}

/* Is it what was logged last of its kind?  Remembers it. */
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
	static char last[RESPONSE_MESSAGE_SIZE];

	if ((is_repeated(last, sizeof(last), error) && failing) || !may_log(error))
		return;
	failing = true;
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("otel_links exporter cannot export spans: %s", error),
			 errdetail("This is logged once, until spans are exported again."),
			 errhint("See otel.export_status.")));
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
