/*
 * settle.h: deletes, keeps or sets aside rows once their export has ended, and counts them.
 */
#ifndef OTEL_EXPORTER_SETTLE_H
#define OTEL_EXPORTER_SETTLE_H

#include "postgres.h"
#include "exporter/batch.h"
#include "exporter/config.h"

typedef enum Verdict
{
	VERDICT_EXPORTED,			/* deleted, or moved to otel.exported_spans with otel.retention */
	VERDICT_FAILED,				/* moved to otel.failed_spans */
	VERDICT_DROPPED				/* deleted and counted */
} Verdict;

typedef struct Settlement
{
	const BatchRow *rows;
	int			count;
	Oid			filenode;		/* as the batch had it */
	Verdict		verdict;
	int64		rejected;		/* of those exported, spans the server says it did not take */
	const char *error;			/* to be noted; NULL: none */
} Settlement;

/*
 * Settles rows and updates otel.exporter_state, in a transaction of its own.  Rows that are gone,
 * or have been moved by a rewrite of the table, are left alone.  Raises whatever reading and
 * writing the tables raises, for instance when a row is damaged.
 */
extern void settle(const Settlement *settlement, const ExporterConfig *config);

/* Notes in otel.exporter_state why nothing is exported. */
extern void settle_error(const char *error, const ExporterConfig *config);

/* Notes in otel.exporter_state that an exporter runs, which ends any failure to start one. */
extern void settle_started(void);

#endif
