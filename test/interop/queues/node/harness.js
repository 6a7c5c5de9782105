// What the tests share: an application with OpenTelemetry whose requests enqueue jobs, and what
// arrived at the receiver.
'use strict';

const fs = require('fs');
const path = require('path');

const { createTraceState, SpanKind, trace } = require('@opentelemetry/api');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const provider = new NodeTracerProvider({
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(), { maxQueueSize: 10000 })],
});
provider.register();
registerInstrumentations({
    instrumentations: [new PgInstrumentation({ addSqlCommenterCommentToQueries: true })],
});
// after the instrumentation, which has to see it being loaded
const { Pool } = require('pg');

let queue = '';
let pool;

function is(got, expected, name) {
    const same = JSON.stringify(got) === JSON.stringify(expected);
    console.log(`${same ? 'ok' : 'not ok'} - ${queue}: ${name}`);
    if (!same) {
        const [a, b] = [got, expected].map((value) => `${JSON.stringify(value)}`.slice(0, 500));
        console.log(`# got ${a}, expected ${b}`);
    }
}

// Runs work in a request's span; returns its trace id and what the work returned.
async function request(work) {
    return trace.getTracer('test').startActiveSpan('request', { root: true }, async (span) => {
        try {
            return { traceId: span.spanContext().traceId, result: await work() };
        } finally {
            span.end();
        }
    });
}

// A pool as another process has it: with connections of its own.
function newPool() {
    const pool = new Pool({ max: 4 });
    pool.on('error', () => {});
    pool.on('connect', (client) => client.on('error', () => {}));
    return pool;
}

async function main(name, test) {
    queue = name;
    pool = newPool();
    try {
        await test(pool);
    } catch (error) {
        console.error(error);
        process.exit(1); // whatever still runs
    }
    await pool.end();
    await provider.shutdown();
}

// A statement that docs/queues.md shows for this queue.
function documented(name) {
    const file = path.basename(process.argv[1], '.js');
    return fs.readFileSync(path.join(__dirname, 'documented', file, name), 'utf8');
}

// A condition's first answer that is one; the test ends when there is none for half a minute.
async function until(condition) {
    for (let i = 0; i < 300; i++) {
        const answer = await condition();
        if (answer) return answer;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`in vain: ${condition}`);
}

// All spans that this process and otel_links have exported, as they were decoded.
async function received() {
    await provider.forceFlush();
    await pool.query('SELECT otel.force_flush()');
    const lines = fs.readFileSync(process.env.RECEIVED, 'utf8').trim().split('\n');
    return lines.filter(Boolean).map((line) => JSON.parse(line));
}

// The traces of contexts: null where there is none, "unknown" where this process has exported no
// such span.
async function tracesOf(traceparents) {
    const exported = new Set((await received())
        .filter((span) => span.resource.attributes['telemetry.sdk.language'] === 'nodejs')
        .map((span) => `00-${span.trace_id}-${span.span_id}`));
    return traceparents.map((traceparent) => {
        if (!traceparent) return null;
        return exported.has(traceparent.slice(0, 52)) ? traceparent.slice(3, 35) : 'unknown';
    });
}

const traceOf = async (traceparent) => (await tracesOf([traceparent]))[0];

// The traces of what is linked to the one batch span that work makes, each of them once.
async function linkedTraces(work) {
    const batches = async () => (await received()).filter(({ name }) => name === 'process items');
    const before = (await batches()).length;
    await work();
    const made = (await batches()).slice(before);
    if (made.length !== 1) throw new Error(`${made.length} batch spans`);
    const links = made[0].links.map((link) => `00-${link.trace_id}-${link.span_id}-01`);
    return [...new Set(await tracesOf(links))];
}

// Those of a span of the database's own, which the documented statement starts.
async function linkedInSql(name) {
    return linkedTraces(async () => {
        const client = await pool.connect();
        await client.query('BEGIN');
        await client.query(documented(name));
        await client.query('SELECT otel.end_span()');
        await client.query('COMMIT');
        client.release();
    });
}

// Those of a span of this process's SDK, with the links that the documented statement gives.
async function linkedInSdk(name) {
    return linkedTraces(async () => {
        const { rows } = await pool.query(documented(name));
        const links = rows[0].links.map(({ context, attributes }) => ({
            context: {
                ...context,
                traceState: context.traceState && createTraceState(context.traceState),
            },
            attributes,
        }));
        trace.getTracer('test')
            .startSpan('process items', { root: true, kind: SpanKind.CONSUMER, links }).end();
    });
}

// What a table and its partitions are made of.
async function shape(table) {
    return (await pool.query('SELECT shape($1)', [table])).rows[0].shape;
}

const SOMEBODY_ELSES = {
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    tracestate: 'congo=t61rcWkgMzE',
};

// What is no object of JSON, what has a carrier already, and what is large.
const ODD_PAYLOADS = {
    'an array': [1, { n: 2 }],
    'a text': 'text',
    'a number': 7,
    'nothing': null,
    "a carrier of somebody else's": { ...SOMEBODY_ELSES, n: 1 },
    'one that is nested': { headers: SOMEBODY_ELSES },
    'a traceparent that is none': { traceparent: 'none', n: 1 },
    'a traceparent that is no text': { traceparent: { n: 1 } },
    'ten megabytes': { text: 'x'.repeat(1e7) },
};

module.exports = {
    documented, is, linkedInSdk, linkedInSql, main, newPool, ODD_PAYLOADS, request, shape, traceOf,
    tracesOf, until,
};
