// What @opentelemetry/instrumentation-pg's comments make of rows.  Prints TAP lines.
'use strict';

const { context, createTraceState, propagation, trace } = require('@opentelemetry/api');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
const {
    InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor,
} = require('@opentelemetry/sdk-trace-node');

const exporter = new InMemorySpanExporter();
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
registerInstrumentations({
    instrumentations: [new PgInstrumentation({ addSqlCommenterCommentToQueries: true })],
});
const { Client, Pool } = require('pg');

function is(got, expected, name) {
    const same = JSON.stringify(got) === JSON.stringify(expected);
    console.log(`${same ? 'ok' : 'not ok'} - node: ${name}`);
    if (!same) console.log(`# got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
}

function traceparent({ traceId, spanId, traceFlags }) {
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

// The contexts of the rows inserted since the last call.
async function recorded(client) {
    const { rows } = await client.query(
        'WITH gone AS (DELETE FROM instrumented_jobs RETURNING id, trace_context) ' +
        'SELECT trace_context::text AS context FROM gone ORDER BY id');
    return rows.map((row) => row.context);
}

function statement({ attributes }) {
    return attributes['db.statement'] ?? attributes['db.query.text'] ?? '';
}

// The spans of the INSERTs since the last call.
function exported() {
    const spans = exporter.getFinishedSpans()
        .filter((span) => /INSERT/.test(statement(span)))
        .map((span) => traceparent(span.spanContext()));
    exporter.reset();
    return spans;
}

async function main() {
    const client = new Client();
    await client.connect();
    const insert = 'INSERT INTO instrumented_jobs (how) VALUES ($1)';
    exported();

    await client.query("INSERT INTO instrumented_jobs (how) VALUES ('simple protocol')");
    is(await recorded(client), exported(), 'simple protocol');

    await client.query(insert, ['extended protocol']);
    is(await recorded(client), exported(), 'extended protocol');

    await client.query("INSERT INTO instrumented_jobs (how) VALUES ('with a semicolon');");
    is(await recorded(client), exported(), 'a comment behind the semicolon');

    for (let i = 0; i < 8; i++) await client.query(insert, [`again ${i}`]);
    const again = exported();
    is(new Set(again).size, 8, 'the same text eight times has eight spans');
    is(await recorded(client), again, 'the same text eight times');
    exported();

    await client.query('BEGIN');
    await client.query(insert, ['in a transaction']);
    await client.query('COMMIT');
    is(await recorded(client), exported(), 'in a transaction');

    const tracer = trace.getTracer('test');
    await tracer.startActiveSpan('request', async (span) => {
        await client.query(insert, ['in a request']);
        span.end();
        const [context] = await recorded(client);
        is(context.slice(3, 35), span.spanContext().traceId, 'in the trace of the request');
        is([context], exported(), 'in a request');
    });

    const remote = trace.setSpanContext(context.active(), {
        traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', traceFlags: 1,
        traceState: createTraceState('vendor=a b,other=c%d'),
    });
    await context.with(remote, () => client.query(insert, ['with a tracestate']));
    is(await recorded(client), exported().map((span) => `${span};vendor=a b,other=c%d`),
        'with a tracestate');

    // the instrumentation leaves named statements alone, for their text is prepared once
    await client.query({ name: 'insert', text: insert, values: ['named'] });
    is(await recorded(client), [null], 'a named statement has no comment');
    exported();
    await tracer.startActiveSpan('request', async (span) => {
        const carrier = {};
        propagation.inject(context.active(), carrier);
        await client.query('BEGIN');
        await client.query('SELECT otel.set_trace_context($1, $2)',
            [carrier.traceparent, carrier.tracestate]);
        await client.query({ name: 'insert', text: insert, values: ['named'] });
        await client.query('COMMIT');
        span.end();
        is(await recorded(client), [traceparent(span.spanContext())],
            'a named statement and set_trace_context()');
    });
    exported();

    const pool = new Pool({ max: 3 });
    const spans = await Promise.all(Array.from({ length: 30 }, (_, i) =>
        tracer.startActiveSpan(`request ${i}`, async (span) => {
            await pool.query(insert, [`${i}`]);
            span.end();
            return span.spanContext().traceId;
        })));
    const { rows } = await client.query(
        'SELECT otel.trace_id(trace_context) AS id FROM instrumented_jobs ORDER BY how::int');
    is(rows.map((row) => row.id), spans, 'thirty requests over a pool of three');
    await pool.end();
    await client.end();
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
