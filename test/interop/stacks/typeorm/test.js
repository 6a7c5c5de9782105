// TypeORM as docs/stacks.md sets it up.  Prints TAP lines.
'use strict';

require('reflect-metadata');
const {
    is, traceparent, request, unsampledRequest, recorded, eachIsAClientSpan, wrongContexts,
} = require('./support');
require('./tracing');
const { Pool } = require('pg');
const { context, propagation } = require('@opentelemetry/api');
const { DataSource, EntitySchema } = require('typeorm');
const Job = require('./job');
const Migration = require('./migration');
const { SendTraceContext } = require('./subscriber');

const Before = new EntitySchema({
    name: 'Before',
    tableName: 'jobs',
    columns: { id: Job.options.columns.id, payload: Job.options.columns.payload },
});
const ENQUEUE = 'INSERT INTO jobs (payload) VALUES ($1) /* enqueue */';

async function connect(options) {
    const dataSource = new DataSource({
        type: 'postgres', host: '127.0.0.1', port: Number(process.env.PGPORT),
        username: process.env.PGUSER, database: process.env.PGDATABASE, poolSize: 2,
        entities: [Job], extra: { options: '-c client_min_messages=warning' }, ...options,
    });
    return dataSource.initialize();
}

// What synchronize would do.
async function pending(dataSource) {
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    return upQueries.map(({ query }) => query);
}

async function migrations(pool) {
    const before = await connect({ entities: [Before], synchronize: true });
    await request(() => before.getRepository('Before').save({ payload: 'old' }));
    await before.destroy();

    const migrated = await connect({ migrations: [Migration] });
    await request(() => migrated.runMigrations());
    is(await recorded(pool), [null], 'the migration leaves the rows that are there alone');
    is(await pending(migrated), [], 'synchronize has nothing to add to the migration');
    await migrated.undoLastMigration();
    is((await pending(migrated)).length > 0, true, 'the migration can be undone');
    await migrated.destroy();

    await pool.query("INSERT INTO jobs (payload) VALUES ('old')");
    const first = await connect({ synchronize: true });
    is([await recorded(pool), await pending(first)], [[null], []],
        'synchronize makes the column, leaves the rows alone, and has nothing to do again');
    await first.destroy();
    const second = await connect({ synchronize: true });
    is(await pending(second), [], 'nor after the second synchronize');
    await second.destroy();

    const without = await connect({ entities: [Before] });
    is(await pending(without), ['ALTER TABLE "jobs" DROP COLUMN "trace_context"'],
        'for an entity without the property it would drop the column');
    await without.destroy();
}

async function withComments(pool) {
    const dataSource = await connect();
    const jobs = dataSource.getRepository('Job');
    for (let i = 1; i <= 3; i++) {
        await eachIsAClientSpan(pool, `save, request ${i}`, () => jobs.save({ payload: 'x' }));
    }
    await eachIsAClientSpan(pool, 'save, many',
        () => jobs.save(Array.from({ length: 300 }, () => ({ payload: 'x' }))), 300);
    await eachIsAClientSpan(pool, 'insert',
        () => jobs.insert([{ payload: 'x' }, { payload: 'y' }]), 2);
    await eachIsAClientSpan(pool, 'upsert', () => jobs.upsert({ id: 7777, payload: 'x' }, ['id']));
    await eachIsAClientSpan(pool, 'a transaction',
        () => dataSource.transaction((manager) => manager.save('Job', { payload: 'x' })));

    const job = jobs.create({ payload: 'x' });
    await request(() => jobs.save(job));
    const found = await jobs.findOneBy({ traceContext: job.traceContext });
    is([found?.id, /^00-/.test(job.traceContext)], [job.id, true],
        'the entity has its context after save(), and is found by it');
    await request(() => jobs.save({ ...job, payload: 'y' }));
    const links = await dataSource.query(
        'SELECT otel.links_json(otel.link_agg(otel.from_traceparent(trace_context))) AS links ' +
        'FROM jobs');
    is([await recorded(pool), links[0].links.length], [[job.traceContext], 1],
        'saved again, it keeps the context, and a worker\'s link comes from the text');

    await unsampledRequest(() => jobs.save({ payload: 'x' }));
    is((await recorded(pool))[0]?.slice(-2), '00',
        'an unsampled request\'s row says that it is not sampled');
    await request(() => dataSource.query(ENQUEUE, ['x']));
    is(await recorded(pool), [null], 'a statement with a comment of its own gets none');
    await dataSource.destroy();
}

async function withoutComments(pool) {
    const dataSource = await connect({ subscribers: [SendTraceContext] });
    const enqueue = (payload) =>
        dataSource.transaction((manager) => manager.query(ENQUEUE, [payload]));
    for (let i = 1; i <= 3; i++) {
        const span = await request(() => enqueue('x'));
        is(await recorded(pool), [traceparent(span)], `subscriber: request ${i}`);
    }
    const span = await request(() => dataSource.getRepository('Job').save({ payload: 'x' }));
    is(await recorded(pool), [traceparent(span)], 'subscriber: save()');
    is(await wrongContexts(pool, enqueue), 0,
        'subscriber: 20 requests at once on 2 connections: each has its own context');
    await enqueue('x');
    is(await recorded(pool), [null],
        'subscriber: nothing of a transaction is left on its connection');

    is(await wrongContexts(pool, async (payload) => {
        const carrier = {};
        propagation.inject(context.active(), carrier);
        await dataSource.query('SELECT otel.set_trace_context($1, $2, false)',
            [carrier.traceparent, carrier.tracestate]);
        await dataSource.query(ENQUEUE, [payload]);
    }) > 0, true, 'set_trace_context() by a query of its own: rows have another\'s context');
    await dataSource.destroy();
}

async function main() {
    const pool = new Pool({ max: 1, options: '-c client_min_messages=warning' });
    await migrations(pool);
    await withComments(pool);
    await withoutComments(pool);
    await pool.end();
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
