/*
 * environment.h: the OTEL_* variables of the server's environment.
 *
 * The name of a setting stands for its variable: otel.foo_bar for OTEL_FOO_BAR.
 */
#ifndef OTEL_LINKS_ENVIRONMENT_H
#define OTEL_LINKS_ENVIRONMENT_H

#include "postgres.h"

/*
 * Makes the variable's value the setting's default.  Called by _PG_init after the setting is
 * defined.  Raises nothing; ignores an invalid value.
 */
extern void environment_apply(const char *name);

/*
 * Calls report with a message if the variable's value is ignored.  Only the exporter calls this:
 * clients get no such message.
 */
extern void environment_report(const char *name, void (*report) (const char *message));

/* The same for variables of OpenTelemetry that are set but never read. */
extern void environment_report_unread(void (*report) (const char *message));

#endif
