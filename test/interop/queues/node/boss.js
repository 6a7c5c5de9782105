// What the tests of pg-boss share.
'use strict';

const {
    documented, is, ODD_PAYLOADS, request, shape, traceOf, tracesOf, until,
} = require('./harness');

async function started(name, more) {
    const module = await import(name);
    const PgBoss = module.PgBoss ?? module.default;
    const boss = new PgBoss({
        host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER,
        database: process.env.PGDATABASE, supervise: false, schedule: false, ...more,
    });
    boss.on('error', (error) => console.error(error));
    await boss.start();
    return boss;
}

// An empty schema, without what an earlier test of the same database left.
async function startedAnew(pool, name, more) {
    await pool.query('SET client_min_messages = warning; DROP SCHEMA IF EXISTS pgboss CASCADE');
    return started(name, more);
}

const fail = (boss, queue, id) => boss.fail(queue, id, new Error('as the test wants it'));

// The contexts of jobs by their ids; column is data or trace_context.
async function contexts(pool, ids, column = 'data') {
    const { rows } = await pool.query(
        `SELECT id, otel.traceparent(otel.extract(${column})) AS context FROM pgboss.job
         WHERE id = ANY ($1)`, [ids]);
    const found = new Map(rows.map(({ id, context }) => [id, context]));
    return ids.map((id) => found.get(id));
}

const stored = async (pool, ids, column) => tracesOf(await contexts(pool, ids, column));

// A worker which runs while the trigger comes; the queue is there already.
async function testRunningWorker(pool, boss, queue, column) {
    const seen = [];
    await boss.work(queue, { pollingIntervalSeconds: 0.5 }, async ([job]) => {
        const { rows } = await pool.query(
            `SELECT otel.traceparent(otel.extract(${column})) AS context FROM pgboss.job
             WHERE id = $1`, [job.id]);
        seen.push([job.id, rows[0].context]);
    });
    const before = await boss.send(queue, { n: 0 });
    await until(() => seen.some(([id]) => id === before));
    await pool.query(documented('capture.sql'));
    const { traceId, result } = await request(() => boss.send(queue, { n: 1 }));
    const [, context] = await until(() => seen.find(([id]) => id === result));
    is(await traceOf(context), traceId,
        'a queue and a worker that are older than the trigger: the job has its request\'s trace');
    await boss.offWork(queue);
}

// What is in the row of a job with that payload, or the library's complaint.
async function outcome(pool, boss, queue, payload) {
    try {
        const id = await boss.send(queue, payload);
        const { rows } = await pool.query('SELECT data FROM pgboss.job WHERE id = $1', [id]);
        return { id, data: rows[0].data };
    } catch (error) {
        return { data: error.message };
    }
}

const ALSO_CAPTURED = ['nothing', 'one that is nested', 'a traceparent that is none',
    'a traceparent that is no text', 'ten megabytes'];

// Each payload is what it was, or is refused as it was, when the data is captured into.
async function testOddPayloads(pool, boss, without) {
    for (const [name, payload] of Object.entries(ODD_PAYLOADS)) {
        const { traceId, result } =
            await request(() => outcome(pool, boss, 'work', payload));
        const expected = without[name];
        if (ALSO_CAPTURED.includes(name)) {
            const { traceparent, tracestate, ...data } = result.data;
            const { traceparent: none, ...sent } = expected ?? {};
            is([await traceOf(traceparent), data], [traceId, sent],
                `a payload that is ${name}: the context, and the rest as it was sent`);
        } else {
            is(result.data, expected, `a payload that is ${name}: as without the trigger`);
        }
    }
    await pool.query("DELETE FROM pgboss.job WHERE name = 'work'");
}

async function withoutTrigger(pool, boss, queue) {
    const found = {};
    for (const [name, payload] of Object.entries(ODD_PAYLOADS)) {
        found[name] = (await outcome(pool, boss, queue, payload)).data;
    }
    await pool.query('DELETE FROM pgboss.job');
    return found;
}

// Single, bulk and in SQL.
async function testSends(pool, boss, queue, column, insert = (jobs) => boss.insert(queue, jobs)) {
    const sent = await request(() => boss.send(queue, { n: 1 }));
    is(await stored(pool, [sent.result], column), [sent.traceId], `${queue}: send`);
    const highest = new Set((await pool.query('SELECT id FROM pgboss.job')).rows.map((r) => r.id));
    const bulk = await request(
        () => insert([{ name: queue, data: { n: 2 } }, { name: queue, data: { n: 3 } }]));
    const added = (await pool.query('SELECT id FROM pgboss.job')).rows
        .map(({ id }) => id).filter((id) => !highest.has(id));
    is(await stored(pool, added, column), [bulk.traceId, bulk.traceId], `${queue}: insert`);
    const sql = await request(() => pool.query(
        'INSERT INTO pgboss.job (name, data) VALUES ($1, $2) RETURNING id', [queue, { n: 4 }]));
    is(await stored(pool, [sql.result.rows[0].id], column), [sql.traceId],
        `${queue}: an INSERT in SQL`);
    await pool.query('DELETE FROM pgboss.job WHERE name = $1', [queue]);
}

// As many jobs as that, each of a request of its own; their traces.
async function requests(boss, queue, count) {
    const traces = [];
    for (let n = 0; n < count; n++) {
        traces.push((await request(() => boss.send(queue, { n }))).traceId);
    }
    return traces.sort();
}

// Takes the trigger off again: the table and the data are as without it.
async function testRemoved(pool, boss, column, before) {
    await pool.query("SELECT otel.remove_capture('pgboss.job', $1)", [column]);
    is(await shape('pgboss.job'), before, 'taken off, the table is as it was');
    const { result } = await request(() => boss.send('work', { n: 9 }));
    const { rows } = await pool.query('SELECT data FROM pgboss.job WHERE id = $1', [result]);
    is([rows[0].data, await stored(pool, [result], column)], [{ n: 9 }, [null]],
        'and the data as it was sent');
}

module.exports = {
    fail, requests, started, startedAnew, stored, testOddPayloads, testRemoved, testRunningWorker,
    testSends, withoutTrigger,
};
