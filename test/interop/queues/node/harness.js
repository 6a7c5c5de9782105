// What the three tests share: an application with OpenTelemetry whose requests enqueue jobs.
'use strict';

const fs = require('fs');
const path = require('path');

const { trace } = require('@opentelemetry/api');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

new NodeTracerProvider().register();
registerInstrumentations({
    instrumentations: [new PgInstrumentation({ addSqlCommenterCommentToQueries: true })],
});
// after the instrumentation, which has to see it being loaded
const { Pool } = require('pg');

let queue = '';

function is(got, expected, name) {
    const same = JSON.stringify(got) === JSON.stringify(expected);
    console.log(`${same ? 'ok' : 'not ok'} - ${queue}: ${name}`);
    if (!same) console.log(`# got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
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
    const pool = newPool();
    try {
        await pool.query('SET client_min_messages = warning');
        await pool.query('CREATE EXTENSION IF NOT EXISTS otel_links');
        await test(pool);
    } catch (error) {
        console.error(error);
        process.exitCode = 1;
    }
    await pool.end();
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

module.exports = { documented, is, main, newPool, request, until };
