// A job in Node.js: claims the pending report requests, makes the reports, and exports one span
// that is linked to the trace of every request.
//
// The database is named by PGHOST, PGDATABASE and so on, the collector by
// OTEL_EXPORTER_OTLP_ENDPOINT.

'use strict';

const { createTraceState, SpanKind } = require('@opentelemetry/api');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
const pg = require('pg');

// One statement claims the rows and gives their links: no row can be claimed and not linked.
const CLAIM_AND_LINK = `
    WITH claimed AS (
        UPDATE report_request SET state = 'done'
         WHERE id IN (SELECT id FROM report_request WHERE state = 'pending'
                       ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)
        RETURNING id, trace_context, attributes)
    SELECT count(*)::int AS requests,
           otel.links_json(otel.link_agg(
               trace_context, attributes || jsonb_build_object('report.id', id)
               ORDER BY id)) AS links
      FROM claimed`;

// otel.links_json() has the shape of the SDK's links, but for the tracestate, which is an object
// there.
function toLink({ context, attributes }) {
    const traceState = context.traceState && createTraceState(context.traceState);
    return { context: { ...context, traceState }, attributes };
}

async function main() {
    const provider = new NodeTracerProvider({
        spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
    });
    const tracer = provider.getTracer('make_reports');
    const client = new pg.Client();
    await client.connect();

    await client.query('BEGIN');
    const { requests, links } = (await client.query(CLAIM_AND_LINK)).rows[0];
    const span = tracer.startSpan('make_reports', {
        root: true,
        kind: SpanKind.CONSUMER,
        links: links.map(toLink),
        attributes: { 'messaging.batch.message_count': requests },
    });
    // … make the reports …
    await client.query('COMMIT');
    span.end();

    await client.end();
    await provider.shutdown();
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
