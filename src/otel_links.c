/*
 * otel_links.c: what happens when the library is loaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "compat.h"
#include "queue/worker_start.h"
#include "capture/client_message.h"
#include "settings.h"
#include "spans/span.h"

OTEL_LINKS_MODULE_MAGIC("otel_links");

void		_PG_init(void);

void
_PG_init(void)
{
	settings_define();
	running_statement_install();
	span_xact_install();
	if (process_shared_preload_libraries_in_progress)
		exporter_register_launcher();
}
