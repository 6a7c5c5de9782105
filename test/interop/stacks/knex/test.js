// Knex as docs/stacks.md sets it up.  Prints TAP lines.
'use strict';

const {
    is, traceparent, request, unsampledRequest, recorded, eachIsAClientSpan, wrongContexts,
} = require('./support');
require('./tracing');
const makeKnex = require('knex');
const { Pool } = require('pg');
const { pipeline } = require('stream/promises');
const { context, propagation } = require('@opentelemetry/api');
const { copyFrom } = require('./copy_from');
const { inTransaction } = require('./in_transaction');

const JOB = { payload: 'x' };

function connect(options) {
    return makeKnex({ client: 'pg', connection: {}, ...options });
}

// COPY on the connection of a transaction.
async function copy(trx) {
    const connection = await trx.client.acquireConnection();
    await pipeline([Buffer.from('x\ny\n')],
        copyFrom(connection, 'COPY jobs (payload) FROM STDIN'));
}

async function migrate(knex, pool) {
    await pool.query('CREATE TABLE jobs (id serial PRIMARY KEY, payload text NOT NULL)');
    await pool.query("INSERT INTO jobs (payload) VALUES ('old')");
    await request(() => knex.migrate.latest());
    is(await recorded(pool), [null], 'the migration leaves the rows that are there alone');
    await knex.migrate.rollback(undefined, true);
    const { rows } = await pool.query(
        "SELECT 1 FROM information_schema.columns WHERE column_name = 'trace_context' " +
        "AND table_schema = 'public'");
    is(rows, [], 'the migrations can be undone');
    await knex.migrate.latest();
}

async function withComments(knex, pool) {
    for (let i = 1; i <= 6; i++) {
        await eachIsAClientSpan(pool, `the same insert, request ${i}`,
            () => knex('jobs').insert(JOB));
    }
    await eachIsAClientSpan(pool, 'many rows',
        () => knex('jobs').insert(Array(300).fill(JOB)), 300);
    await eachIsAClientSpan(pool, 'batchInsert() in pages of 100',
        () => knex.batchInsert('jobs', Array(300).fill(JOB), 100), 300);
    await eachIsAClientSpan(pool, 'returning', () => knex('jobs').insert(JOB).returning('*'));
    await eachIsAClientSpan(pool, 'raw',
        () => knex.raw('INSERT INTO jobs (payload) VALUES (?)', ['x']));
    await eachIsAClientSpan(pool, 'an upsert',
        () => knex('jobs').insert({ id: 7, ...JOB }).onConflict('id').merge());
    await eachIsAClientSpan(pool, 'a transaction', () => knex.transaction(async (trx) => {
        await trx('jobs').insert(JOB);
        await trx('jobs').insert(JOB);
    }), 2);
    await eachIsAClientSpan(pool, 'a row that leaves the column out beside one that names it',
        () => knex('jobs').insert([JOB, { ...JOB, trace_context: knex.raw('DEFAULT') }]), 2);

    await request(() => knex('reports').insert(JOB));
    const [report] = await knex('reports');
    is((await knex('reports').where({ trace_context: report.trace_context })).length, 1,
        'a table that a migration made has it too, and a row is found by it');

    await unsampledRequest(() => knex('jobs').insert(JOB));
    is((await recorded(pool))[0]?.slice(-2), '00',
        'an unsampled request\'s row says that it is not sampled');
}

async function withoutComments(knex, pool) {
    await request(() => knex.transaction(copy));
    is(await recorded(pool), [null, null], 'COPY has no comment');
    await request(() => knex.raw('INSERT INTO jobs (payload) VALUES (?) /* enqueue */', ['x']));
    is(await recorded(pool), [null], 'nor has a statement with a comment of its own');
    for (let i = 1; i <= 3; i++) {
        const span = await request(() => inTransaction(knex, async (trx) => {
            await copy(trx);
            await trx('jobs').insert(JOB);
            await trx.raw('INSERT INTO jobs (payload) VALUES (?) /* enqueue */', ['x']);
        }));
        is(await recorded(pool), Array(4).fill(traceparent(span)),
            `inTransaction(): COPY and statements have the request's span, request ${i}`);
    }
    await knex.raw("INSERT INTO jobs (payload) VALUES ('x') /* enqueue */");
    is(await recorded(pool), [null], 'nothing of a transaction is left on its connection');
    const insert = (payload) => inTransaction(knex,
        (trx) => trx.raw('INSERT INTO jobs (payload) VALUES (?) /* enqueue */', [payload]));
    is(await wrongContexts(pool, insert), 0,
        '20 requests at once on 2 connections: each has its own context');
}

// The hook that the page warns of.
async function wrongHook(pool) {
    const knex = connect({ pool: {
        min: 0, max: 2,
        afterCreate(connection, done) {
            const carrier = {};
            propagation.inject(context.active(), carrier);
            connection.query('SELECT otel.set_trace_context($1, $2, false)',
                [carrier.traceparent, carrier.tracestate], (error) => done(error, connection));
        },
    } });
    const insert = (payload) =>
        knex.raw('INSERT INTO jobs (payload) VALUES (?) /* enqueue */', [payload]);
    is(await wrongContexts(pool, insert) >= 18, true,
        'pool.afterCreate: 18 of 20 requests have another\'s context or none');
    await knex.destroy();
}

async function main() {
    const pool = new Pool({ max: 1, options: '-c client_min_messages=warning' });
    const knex = connect({ pool: { min: 0, max: 2 } });
    await migrate(knex, pool);
    await withComments(knex, pool);
    await withoutComments(knex, pool);
    await wrongHook(pool);
    await knex.destroy();
    await pool.end();
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
