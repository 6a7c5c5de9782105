/*
 * deliver.h: sending a batch, and what each kind of answer leads to.
 */
#ifndef OTEL_EXPORTER_DELIVER_H
#define OTEL_EXPORTER_DELIVER_H

#include "postgres.h"
#include "exporter/batch.h"
#include "exporter/config.h"

typedef struct Delivery
{
	bool		back_off;		/* wait before the next batch */
	bool		keep_position;	/* rows of this batch are to be read again */
	bool		set_aside;		/* some of it was refused and has left the queue */
	long		retry_after_ms; /* the server's wish; -1: none */
	size_t		too_large;		/* a request of this size was, or may have been, too large; 0: none was */
} Delivery;

/* Sends a batch and settles it, request by request. */
extern void deliver(const Batch *batch, const ExporterConfig *config, void (*tick) (void),
					Delivery *delivery);

#endif
