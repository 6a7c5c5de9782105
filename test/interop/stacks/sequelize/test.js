// Sequelize as docs/stacks.md sets it up.  Prints TAP lines.
'use strict';

const {
    is, traceparent, request, unsampledRequest, recorded, eachIsAClientSpan, wrongContexts,
} = require('./support');
require('./tracing');
const { Pool } = require('pg');
const { context, propagation } = require('@opentelemetry/api');
const { DataTypes, Sequelize } = require('sequelize');
const defineJob = require('./job');
const migration = require('./migrations/2_trace_context');
const { sendTraceContext } = require('./hook');

const { PGUSER, PGPORT, PGDATABASE } = process.env;
const url = `postgres://${PGUSER}@127.0.0.1:${PGPORT}/${PGDATABASE}`;
const ENQUEUE = 'INSERT INTO jobs (payload) VALUES ($1) /* enqueue */';

function connect() {
    return new Sequelize(url, { dialect: 'postgres', logging: false, pool: { max: 2 } });
}

function enqueue(db, payload) {
    return db.query(ENQUEUE, { bind: [payload] });
}

async function column(pool) {
    const { rows } = await pool.query(
        "SELECT format_type(atttypid, atttypmod) AS type, pg_get_expr(adbin, adrelid) AS default " +
        'FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum ' +
        "WHERE attrelid = 'jobs'::regclass AND attname = 'trace_context'");
    return rows[0];
}

async function migrations(db, pool) {
    const attributes = { payload: { type: DataTypes.TEXT, allowNull: false } };
    const Before = db.define('Before', attributes, { tableName: 'jobs', timestamps: false });
    const captured = { type: 'otel.trace_context', default: 'otel.current_trace_context()' };
    await Before.sync();
    await request(() => Before.create({ payload: 'old' }));
    const queryInterface = db.getQueryInterface();
    await request(() => migration.up(queryInterface));
    is(await recorded(pool), [null], 'the migration leaves the rows that are there alone');
    await Before.sync({ alter: true });
    is(await column(pool), undefined,
        'sync({ alter: true }) of a model without the attribute drops the column');
    const Job = defineJob(db);
    await request(() => Before.create({ payload: 'old' }));
    await request(() => Job.sync({ alter: true }));
    is([await column(pool), await recorded(pool)], [captured, [null]],
        'of the page\'s model it makes the column, and leaves the rows that are there alone');
    const request1 = await request(() => Job.create({ payload: 'x' }));
    await Job.sync({ alter: true });
    is([await column(pool), (await recorded(pool))[0].slice(3, 35)],
        [captured, request1.traceId], 'and leaves the column alone the next time');
    await migration.down(queryInterface);
    is(await column(pool), undefined, 'the migration can be undone');
    await migration.up(queryInterface);
    return Job;
}

async function withComments(db, Job, pool) {
    for (let i = 1; i <= 3; i++) {
        await eachIsAClientSpan(pool, `create, request ${i}`, () => Job.create({ payload: 'x' }));
    }
    await eachIsAClientSpan(pool, 'bulkCreate',
        () => Job.bulkCreate(Array(300).fill({ payload: 'x' })), 300);
    await eachIsAClientSpan(pool, 'upsert', () => Job.upsert({ id: 7777, payload: 'x' }));
    await eachIsAClientSpan(pool, 'findOrCreate',
        () => Job.findOrCreate({ where: { payload: 'x' } }));
    await eachIsAClientSpan(pool, 'a transaction', () => db.transaction(async (transaction) => {
        await Job.create({ payload: 'x' }, { transaction });
        await Job.create({ payload: 'y' }, { transaction });
    }), 2);
    const job = await Job.create({ payload: 'x' });
    const found = await Job.findOne({ where: { traceContext: job.traceContext } });
    is([found.id, /^00-/.test(job.traceContext)], [job.id, true],
        'create() returns the context, and a job is found by it');
    await request(async () => { found.payload = 'z'; await found.save(); });
    is((await recorded(pool)), [job.traceContext],
        'saved again, a job keeps the context that it was created with');
    await unsampledRequest(() => Job.create({ payload: 'x' }));
    is((await recorded(pool))[0]?.slice(-2), '00',
        'an unsampled request\'s row says that it is not sampled');
    await request(() => enqueue(db, 'x'));
    is(await recorded(pool), [null], 'a statement with a comment of its own gets none');
}

async function withoutComments(pool) {
    const db = connect();
    sendTraceContext(db);
    for (let i = 1; i <= 3; i++) {
        const span = await request(() => enqueue(db, 'x'));
        is(await recorded(pool), [traceparent(span)], `sendTraceContext(): request ${i}`);
    }
    is(await wrongContexts(pool, (payload) => enqueue(db, payload)), 0,
        'sendTraceContext(): 20 requests at once on 2 connections: each has its own context');
    await enqueue(db, 'x');
    is(await recorded(pool), [null],
        'sendTraceContext(): without a span, nothing of the last request is left');
    await db.close();

    const wrong = connect();
    wrong.addHook('afterConnect', (connection) => {
        const carrier = {};
        propagation.inject(context.active(), carrier);
        return connection.query('SELECT otel.set_trace_context($1, $2, false)',
            [carrier.traceparent, carrier.tracestate]);
    });
    is(await wrongContexts(pool, (payload) => enqueue(wrong, payload)) >= 18, true,
        'afterConnect: 18 of 20 requests have another\'s context');
    await wrong.close();
}

async function main() {
    const pool = new Pool({ max: 1, options: '-c client_min_messages=warning' });
    const db = connect();
    const Job = await migrations(db, pool);
    await withComments(db, Job, pool);
    await withoutComments(pool);
    await db.close();
    await pool.end();
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
