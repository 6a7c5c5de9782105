// node-postgres as docs/stacks.md sets it up.  Prints TAP lines.
'use strict';

const {
    is, traceparent, request, unsampledRequest, recorded, eachIsAClientSpan,
} = require('./support');
require('./tracing');
const { Pool } = require('pg');
const { from } = require('pg-copy-streams');
const QueryStream = require('pg-query-stream');
const { pipeline } = require('stream/promises');
const { copyFrom } = require('./copy_from');
const { inTransaction } = require('./in_transaction');

const INSERT = 'INSERT INTO jobs (payload) VALUES ($1)';
const NAMED = { name: 'insert_job', text: INSERT };
const COMMENTED = `${INSERT} /* enqueue */`;

const COPY = 'COPY jobs (payload) FROM STDIN';
const TWO_ROWS = [Buffer.from('x\ny\n')];

// COPY and query streams, which the instrumentation breaks where it adds comments.
async function streams(pool) {
    const client = await pool.connect();
    const failure = new Promise((resolve) => client.once('error', resolve));
    const broken = client.query(from(COPY));
    const error = await Promise.race([failure, broken.then?.(() => null, (e) => e)]);
    is(error?.message, 'COPY from stdin failed: No source stream defined',
        'the instrumentation breaks a COPY stream without a name');
    client.release(true);

    await request(async () => {
        const copying = await pool.connect();
        await pipeline(TWO_ROWS, copyFrom(copying, COPY));
        copying.release();
    });
    is(await recorded(pool), [null, null], 'COPY has no comment');
    const span = await request(() => inTransaction(pool, async (copying) => {
        await pipeline(TWO_ROWS, copyFrom(copying, COPY));
        const select = Object.assign(new QueryStream('SELECT payload FROM jobs'), { name: 'read' });
        const read = [];
        for await (const row of copying.query(select)) read.push(row.payload);
        is(read, ['x', 'y'], 'a query stream with a name works too');
    }));
    is(await recorded(pool), Array(2).fill(traceparent(span)),
        'inTransaction(): COPY has the request\'s span');
}

async function main() {
    const pool = new Pool({ max: 2 });
    await pool.query("SET client_min_messages = warning");
    await pool.query('CREATE TABLE jobs (id serial PRIMARY KEY, payload text NOT NULL)');
    await pool.query("SELECT otel.add_trace_context('jobs')");

    await eachIsAClientSpan(pool, 'simple protocol',
        () => pool.query("INSERT INTO jobs (payload) VALUES ('x')"));
    for (let i = 1; i <= 6; i++) {
        await eachIsAClientSpan(pool, `the same statement, request ${i}`,
            () => pool.query(INSERT, ['x']));
    }
    await eachIsAClientSpan(pool, 'many rows', () =>
        pool.query('INSERT INTO jobs (payload) SELECT $1 FROM generate_series(1, 300)', ['x']),
    300);

    await request(() => pool.query({ ...NAMED, values: ['x'] }));
    is(await recorded(pool), [null], 'a named statement has no comment');
    await request(() => pool.query(COMMENTED, ['x']));
    is(await recorded(pool), [null], 'nor has one with a comment of its own');
    for (let i = 1; i <= 3; i++) {
        const span = await request(() => inTransaction(pool, async (client) => {
            await client.query({ ...NAMED, values: ['x'] });
            await client.query(COMMENTED, ['x']);
            await client.query(INSERT, ['x']);
        }));
        is(await recorded(pool), Array(3).fill(traceparent(span)),
            `inTransaction(): all have the request's span, request ${i}`);
    }
    await request(() => pool.query({ ...NAMED, values: ['x'] }));
    is(await recorded(pool), [null], 'nothing of a transaction is left on its connection');

    const spans = await Promise.all(Array.from({ length: 20 }, (_, i) =>
        request(() => inTransaction(pool,
            (client) => client.query({ ...NAMED, values: [String(i)] })))));
    const { rows } = await pool.query('SELECT payload, trace_context::text AS context FROM jobs');
    const strange = rows.filter((row) => row.context !== traceparent(spans[row.payload]));
    is([strange, rows.length], [[], 20],
        '20 requests at once on 2 connections: none has another\'s context');
    await recorded(pool);

    await unsampledRequest(() => pool.query(INSERT, ['x']));
    is((await recorded(pool))[0]?.slice(-2), '00',
        'an unsampled request\'s row says that it is not sampled');
    await streams(pool);
    await pool.end();
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
