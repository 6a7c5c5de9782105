// Drizzle as docs/stacks.md sets it up.  Prints TAP lines.
'use strict';

const { execFileSync } = require('child_process');
const fs = require('fs');
const { is, traceparent, request, recorded, eachIsAClientSpan } = require('./support');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
registerInstrumentations({
    instrumentations: [new PgInstrumentation({ addSqlCommenterCommentToQueries: true })],
});
const { eq, sql } = require('drizzle-orm');
const { drizzle } = require('drizzle-orm/node-postgres');
const { Pool } = require('pg');
const { jobs } = require('./schema');
const { inTransaction } = require('./in_transaction');

const { PGUSER, PGPORT, PGDATABASE } = process.env;
const url = `postgres://${PGUSER}@127.0.0.1:${PGPORT}/${PGDATABASE}`;
fs.writeFileSync('drizzle.config.js', `module.exports = {
    dialect: 'postgresql', schema: './schema.js', out: './out',
    dbCredentials: { url: '${url}' } };`);

// What drizzle-kit says it does.
function kit(...args) {
    return execFileSync('node_modules/.bin/drizzle-kit', args,
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

async function main() {
    const pool = new Pool({ max: 2 });
    const db = drizzle(pool);
    fs.rmSync('out', { recursive: true, force: true });
    kit('generate');
    kit('migrate');
    is(/No changes detected/.test(kit('push', '--force')), true,
        'generate and migrate make the column, and push leaves it alone');
    is(/No schema changes/.test(kit('generate')), true,
        'after migrate, generate has nothing to add');

    const insert = () => db.insert(jobs).values({ payload: 'x' });
    for (let i = 1; i <= 3; i++) {
        await eachIsAClientSpan(pool, `insert, request ${i}`, () => insert());
    }
    await eachIsAClientSpan(pool, 'many rows',
        () => db.insert(jobs).values(Array(300).fill({ payload: 'x' })), 300);
    await eachIsAClientSpan(pool, 'a transaction', () => db.transaction(async (tx) => {
        await tx.insert(jobs).values({ payload: 'x' });
        await tx.insert(jobs).values({ payload: 'y' });
    }), 2);
    await eachIsAClientSpan(pool, 'an upsert',
        () => insert().onConflictDoUpdate({ target: jobs.id, set: { payload: 'y' } }));

    const values = { payload: sql.placeholder('payload') };
    const prepared = db.insert(jobs).values(values).prepare('insert_job');
    await request(() => prepared.execute({ payload: 'x' }));
    is(await recorded(pool), [null], 'a query that was prepared with a name has no comment');
    const span = await request(() => inTransaction(db, async (tx) => {
        const named = tx.insert(jobs).values(values).prepare('insert_job');
        await named.execute({ payload: 'x' });
        await tx.insert(jobs).values({ payload: 'y' });
    }));
    const found = await db.select().from(jobs).where(eq(jobs.traceContext, traceparent(span)));
    is(found.length, 2,
        'inTransaction(): both kinds have the request\'s span, and are found by it');
    const { rows } = await pool.query(
        'SELECT otel.links_json(otel.link_agg(otel.from_traceparent(trace_context))) AS links ' +
        'FROM jobs');
    is(rows[0].links.map((link) => link.context.spanId), [span.spanId],
        'a worker\'s link comes from the text');
    await pool.end();
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
