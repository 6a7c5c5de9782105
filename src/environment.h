/*
 * environment.h: the OTEL_* variables of the server's environment.
 *
 * The name of a setting stands for its variable: otel.foo_bar for OTEL_FOO_BAR.
 */
#ifndef OTEL_LINKS_ENVIRONMENT_H
#define OTEL_LINKS_ENVIRONMENT_H

#include "postgres.h"

/*
 * Takes the variable as the setting's default.  From _PG_init only, once the setting is defined.
 * Raises nothing; an invalid value is ignored.
 */
extern void environment_apply(const char *name);

/*
 * Reports the variable, as a message for people, where its value is not followed.  Clients never
 * hear of it: the exporter reports it.
 */
extern void environment_report(const char *name, void (*report) (const char *message));

/* Reports variables of OpenTelemetry that are set and never read. */
extern void environment_report_unread(void (*report) (const char *message));

#endif
