// What the Node stacks share: an SDK that keeps its spans, requests, and a look at the rows.
'use strict';

const path = require('path');
const { context, ROOT_CONTEXT, trace } = require('@opentelemetry/api');
const {
    InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor,
} = require('@opentelemetry/sdk-trace-node');

const exporter = new InMemorySpanExporter();
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();

const stack = path.basename(process.cwd());

function is(got, expected, name) {
    const same = JSON.stringify(got) === JSON.stringify(expected);
    console.log(`${same ? 'ok' : 'not ok'} - ${stack}: ${name}`);
    if (!same) console.log(`# got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
}

function traceparent({ traceId, spanId, traceFlags }) {
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

// Runs work in a request's span, the root of a trace; returns that span's context.
function request(work) {
    return trace.getTracer('test').startActiveSpan('request', {}, ROOT_CONTEXT, async (span) => {
        try {
            await work();
        } finally {
            span.end();
        }
        return span.spanContext();
    });
}

// Runs work in a request that an upstream server did not sample.
function unsampledRequest(work) {
    const parent = {
        traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7',
        traceFlags: 0, isRemote: true,
    };
    return context.with(trace.setSpanContext(ROOT_CONTEXT, parent), async () => { await work(); });
}

// The contexts of the rows since the last call.
async function recorded(pool, table = 'jobs') {
    const { rows } = await pool.query(
        `WITH gone AS (DELETE FROM ${table} RETURNING id, trace_context) ` +
        'SELECT trace_context::text AS context FROM gone ORDER BY id');
    return rows.map((row) => row.context);
}

function statement({ attributes }) {
    return attributes['db.statement'] ?? attributes['db.query.text'] ?? '';
}

// The spans that ended since the last call.
function finishedSpans() {
    const spans = exporter.getFinishedSpans();
    exporter.reset();
    return spans;
}

// The client spans of INSERTs since the last call.
function clientSpans() {
    return finishedSpans().filter((span) => /insert/i.test(statement(span)))
        .map((span) => traceparent(span.spanContext()));
}

// Each row has a client span, of the trace of the request that runs work.
async function eachIsAClientSpan(pool, name, work, rows = 1) {
    clientSpans();
    const { traceId } = await request(work);
    const exported = clientSpans();
    const contexts = await recorded(pool);
    const strange = contexts.filter((c) => !exported.includes(c));
    const traces = [...new Set(contexts.map((c) => c?.slice(3, 35)))];
    is([contexts.length, strange, traces], [rows, [], [traceId]],
        `${name}: each row is a client span of its request's`);
}

// How many of 20 requests at once have another's context, or none; insert(payload) inserts a row.
async function wrongContexts(pool, insert) {
    const spans = await Promise.all(
        Array.from({ length: 20 }, (_, i) => request(() => insert(String(i)))));
    const { rows } = await pool.query(
        'WITH gone AS (DELETE FROM jobs RETURNING payload, trace_context) ' +
        'SELECT payload, trace_context::text AS context FROM gone');
    const right = rows.filter((row) => row.context === traceparent(spans[row.payload]));
    return spans.length - right.length;
}

module.exports = {
    is, traceparent, request, unsampledRequest, recorded, finishedSpans, clientSpans,
    eachIsAClientSpan, wrongContexts,
};
