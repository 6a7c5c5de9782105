// Prisma as docs/stacks.md sets it up.  Prints TAP lines.
'use strict';

const { execFileSync } = require('child_process');
const fs = require('fs');
const {
    is, traceparent, request, unsampledRequest, recorded, wrongContexts, finishedSpans,
} = require('./support');
const { connect } = require('./client');
const { inTransaction } = require('./in_transaction');
const { context, propagation } = require('@opentelemetry/api');
const { PrismaPg } = require('@prisma/adapter-pg');
const { Pool } = require('pg');
const { PrismaClient } = require('./generated');

const url = process.env.DATABASE_URL;
const JOB = { payload: 'x' };
const FIELD = /^ *trace_context .*$/m;
const schema = fs.readFileSync('schema.prisma', 'utf8');

// Runs db push with what stands in the place of the page's field.
function push(field) {
    fs.writeFileSync('push.prisma', schema.replace(FIELD, field)
        .replace('"prisma-client-js"', '$&\n  engineType = "client"')
        .replace('"postgresql"', '"postgresql"\n  url = env("DATABASE_URL")'));
    return execFileSync('node', ['node_modules/prisma-6/build/index.js', 'db', 'push',
        '--config', 'push.config.ts', '--skip-generate', '--accept-data-loss'],
    { encoding: 'utf8', env: { ...process.env, PUSH_SCHEMA: 'push.prisma' }, stdio: 'pipe' });
}

async function column(pool) {
    const { rows } = await pool.query(
        'SELECT format_type(atttypid, atttypmod) AS type, pg_get_expr(adbin, adrelid) AS default ' +
        'FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum ' +
        "WHERE attrelid = 'jobs'::regclass AND attname = 'trace_context'");
    return rows[0];
}

async function migrations(pool) {
    const own = '  trace_context Unsupported("otel.trace_context")? ' +
        '@default(dbgenerated("otel.current_trace_context()"))';
    push(own);
    const made = await column(pool);
    const again = push(own);
    is([made, await column(pool), /already in sync/.test(again)],
        [...Array(2).fill(
            { type: 'otel.trace_context', default: 'otel.current_trace_context()' }), true],
        'db push makes a column of the type\'s own, and has nothing to do again');
    push('');
    is(await column(pool), undefined, 'from a schema without the field it drops the column');
    await pool.query("INSERT INTO jobs (payload) VALUES ('old')");
    const [field] = schema.match(FIELD);
    push(field);
    is(await recorded(pool), [null], 'it leaves the rows that are there alone');
    const second = push(field);
    is([await column(pool), /already in sync/.test(second)],
        [{ type: 'text', default: 'otel.traceparent(otel.current_trace_context())' }, true],
        'of the page\'s schema it makes a column of text, and has nothing to do again');
}

// Each row has a span that Prisma's tracing exported, of the trace of the request that runs work.
async function eachIsASpan(pool, name, work, rows = 1) {
    finishedSpans();
    const { traceId } = await request(work);
    const exported = finishedSpans().filter((span) => span.name.startsWith('prisma:'))
        .map((span) => traceparent(span.spanContext()));
    const contexts = await recorded(pool);
    const strange = contexts.filter((c) => !exported.includes(c));
    const traces = [...new Set(contexts.map((c) => c?.slice(3, 35)))];
    is([contexts.length, strange, traces], [rows, [], [traceId]],
        `${name}: each row is a span of Prisma's in its request's trace`);
}

async function withComments(prisma, pool) {
    for (let i = 1; i <= 6; i++) {
        await eachIsASpan(pool, `create, request ${i}`, () => prisma.job.create({ data: JOB }));
    }
    await eachIsASpan(pool, 'createMany',
        () => prisma.job.createMany({ data: Array(300).fill(JOB) }), 300);
    await eachIsASpan(pool, 'createManyAndReturn',
        () => prisma.job.createManyAndReturn({ data: [JOB, JOB] }), 2);
    await eachIsASpan(pool, 'upsert',
        () => prisma.job.upsert({ where: { id: 7777 }, create: JOB, update: JOB }));
    await eachIsASpan(pool, '$transaction([])', () => prisma.$transaction(
        [prisma.job.create({ data: JOB }), prisma.job.create({ data: JOB })]), 2);
    await eachIsASpan(pool, '$transaction(fn)', () => prisma.$transaction(async (tx) => {
        await tx.job.create({ data: JOB });
        await tx.$executeRaw`INSERT INTO jobs (payload) VALUES (${'x'})`;
    }), 2);

    let job;
    await request(async () => { job = await prisma.job.create({ data: JOB }); });
    const where = { trace_context: job.trace_context };
    await request(() => prisma.job.update({ where: { id: job.id }, data: { payload: 'y' } }));
    const { rows } = await pool.query(
        'SELECT otel.links_json(otel.link_agg(otel.from_traceparent(trace_context))) AS links ' +
        'FROM jobs');
    is([await prisma.job.count({ where }), rows[0].links.length, await recorded(pool)],
        [1, 1, [job.trace_context]],
        'it is read and found by, updates keep it, and a worker\'s link comes from it');

    await unsampledRequest(() => prisma.job.create({ data: JOB }));
    is(await recorded(pool), [null], 'an unsampled request sends no comment');
}

async function withoutComments(pool) {
    const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 2 }) });
    await request(() => prisma.job.create({ data: JOB }));
    is(await recorded(pool), [null], 'without the plugin there is no comment');
    const span = await request(() => inTransaction(prisma, async (tx) => {
        await tx.job.create({ data: JOB });
        await tx.job.createMany({ data: [JOB, JOB] });
    }));
    is(await recorded(pool), Array(3).fill(traceparent(span)),
        'inTransaction(): all have the request\'s span');
    await prisma.job.create({ data: JOB });
    is(await recorded(pool), [null], 'nothing of a transaction is left on its connection');
    is(await wrongContexts(pool,
        (payload) => inTransaction(prisma, (tx) => tx.job.create({ data: { payload } }))), 0,
    '20 requests at once on 2 connections: each has its own context');

    const extended = prisma.$extends({ query: { async $allOperations({ args, query, model }) {
        if (!model) return query(args);
        const carrier = {};
        propagation.inject(context.active(), carrier);
        await prisma.$queryRaw`
            SELECT otel.set_trace_context(${carrier.traceparent}, NULL, false)::text`;
        return query(args);
    } } });
    is(await wrongContexts(pool, (payload) => extended.job.create({ data: { payload } })) > 0,
        true, '$extends: rows have another\'s context');
    await prisma.$disconnect();
}

async function main() {
    const pool = new Pool({ max: 1, options: '-c client_min_messages=warning' });
    await migrations(pool);
    const prisma = connect(url);
    await withComments(prisma, pool);
    await prisma.$disconnect();
    await withoutComments(pool);
    await pool.end();
}

main().catch((error) => {
    console.error(error.stderr ?? error);
    process.exitCode = 1;
});
