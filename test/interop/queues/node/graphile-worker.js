// graphile-worker: a column of its table of jobs.  Prints TAP lines.
'use strict';

const {
    documented, is, linkedInSql, main, newPool, ODD_PAYLOADS, request, shape, tracesOf, until,
} = require('./harness');

const JOBS = 'graphile_worker._private_jobs';
const attempts = [];
let quiet;
let pool;
let utils;
let worker;

// The contexts of jobs, NULL as null, undefined for a job that is gone.
async function contexts(...ids) {
    const { rows } = await pool.query(
        `SELECT id, otel.traceparent(otel_context) AS context FROM ${JOBS} WHERE id = ANY ($1)`,
        [ids]);
    const found = new Map(rows.map(({ id, context }) => [id, context]));
    return ids.map((id) => found.get(id));
}

const stored = async (...ids) => tracesOf(await contexts(...ids));

const taskList = {
    // keeps what a worker sees of its job's context; fails as often as it is told to
    report: async (payload, { job, withPgClient }) => {
        const { rows } = await withPgClient((client) => client.query(
            `SELECT otel.traceparent(otel_context) AS context FROM ${JOBS} WHERE id = $1`,
            [job.id]));
        attempts.push({ attempt: job.attempts, context: rows[0].context });
        if (job.attempts <= (payload.fails ?? 0)) throw new Error('as the test wants it');
    },
    nothing: async () => {},
    item: async () => {},
};

// Works on what there is, and on what failed until it has no attempts left.
async function work() {
    const workerPool = newPool();
    for (let i = 0; i < 3; i++) {
        await pool.query(`UPDATE ${JOBS} SET run_at = now() WHERE run_at > now()`);
        await worker.runOnce(
            { pgPool: workerPool, taskList, logger: quiet, noHandleSignals: true });
    }
    await workerPool.end();
}

async function testMigrations() {
    const old = await import('graphile-worker-0.16');
    const ownPool = newPool();
    await old.runMigrations({ pgPool: ownPool, logger: new old.Logger(() => () => {}) });
    await pool.query(documented('capture.sql'));
    const migrations = async () =>
        (await pool.query('SELECT max(id) AS last FROM graphile_worker.migrations')).rows[0].last;
    const before = await migrations();
    utils = await worker.makeWorkerUtils({ pgPool: ownPool, logger: quiet });
    is([before, await migrations()], [18, 20], 'the migrations from 0.16 run over the column');
    const { traceId, result: job } = await request(() => utils.addJob('nothing', {}));
    is(await stored(job.id), [traceId], 'and addJob() records the context after them');
    await work();
    await ownPool.end();
    await pool.query(`SELECT otel.remove_capture('${JOBS}', 'otel_context')`);
    await pool.query(`ALTER TABLE ${JOBS} DROP COLUMN otel_context`);
}

// A worker that runs while the column is added has prepared statements that return whole jobs.
async function testRunningWorker() {
    const oldPool = newPool();
    const { trace } = console;
    console.trace = () => {};
    const old = await worker.run(
        { pgPool: oldPool, taskList, logger: quiet, pollInterval: 100, noHandleSignals: true });
    const done = [];
    const errors = [];
    old.events.on('job:success', ({ job }) => done.push(job.id));
    old.events.on('worker:getJob:error', ({ error }) => errors.push(error.message));
    const before = await utils.addJob('nothing', {});
    await until(() => done.includes(before.id));

    await pool.query(documented('capture.sql'));
    const { traceId, result: job } = await request(() => utils.addJob('report', { fails: 1 }));
    is(await stored(job.id), [traceId], 'addJob in a request: the row has the request\'s trace');
    await until(() => errors.length > 0);
    is([errors[0], attempts], ['cached plan must not change result type', []],
        'a worker that was running gets no more jobs');
    await old.stop().catch(() => {});
    await oldPool.end();
    console.trace = trace;

    await work();
    is([attempts.map(({ attempt }) => attempt), await tracesOf(attempts.map((a) => a.context))],
        [[1, 2], [traceId, traceId]],
        'a worker that is started again sees the context at the first and at the second attempt');
    is((await contexts(job.id))[0], undefined, 'the job is done');
}

async function testRows() {
    const many = await request(() => utils.addJobs(
        [1, 2, 3].map(() => ({ identifier: 'nothing', payload: {} }))));
    is(await stored(...many.result.map(({ id }) => id)), Array(3).fill(many.traceId),
        'each job that addJobs() adds has the trace of the request');

    const first = await request(() => utils.addJob('nothing', {}, { jobKey: 'key' }));
    const second = await request(() => utils.addJob('nothing', { n: 2 }, { jobKey: 'key' }));
    is(first.result.id, second.result.id, 'a job key makes one job of two');
    is(await stored(first.result.id), [first.traceId],
        'a job whose key is added again keeps the context of the first request');
    await pool.query(`SELECT otel.capture_into('${JOBS}', 'otel_context', 'replace',
        update_of => '{payload}')`);
    const third = await request(() => utils.addJob('nothing', { n: 3 }, { jobKey: 'key' }));
    is(await stored(first.result.id), [third.traceId],
        'with capture_into(… replace) a job whose key is added again has the last context');

    const sql = await request(async () => {
        const { rows } = await pool.query("SELECT id FROM graphile_worker.add_job('nothing')");
        return rows[0].id;
    });
    is(await stored(sql.result), [sql.traceId], 'add_job() in SQL');
    await work();
    const dead = await request(() => utils.addJob('report', { fails: 9 }, { maxAttempts: 2 }));
    await work();
    is(await stored(dead.result.id), [dead.traceId],
        'a job that failed for good keeps its context');
}

async function testOddPayloads() {
    for (const [name, payload] of Object.entries(ODD_PAYLOADS)) {
        const { traceId, result: job } = await request(() => utils.addJob('nothing', payload));
        const { rows } = await pool.query(`SELECT payload FROM ${JOBS} WHERE id = $1`, [job.id]);
        is([await stored(job.id), rows[0].payload], [[traceId], payload ?? {}],
            `a payload that is ${name}`);
    }
    await work();
    is((await pool.query(`SELECT id FROM ${JOBS} WHERE is_available`)).rows, [],
        'and they are worked on');
}

main('graphile-worker', async (testPool) => {
    pool = testPool;
    worker = await import('graphile-worker');
    quiet = new worker.Logger(() => () => {});
    await testMigrations();
    utils = await worker.makeWorkerUtils({ pgPool: pool, logger: quiet });
    const before = await shape(JOBS);
    await testRunningWorker();
    await testRows();
    await testOddPayloads();

    const traces = [];
    for (let i = 0; i < 10; i++) {
        traces.push((await request(() => utils.addJob('item', {}))).traceId);
    }
    is((await linkedInSql('batch.sql')).sort(), traces.sort(),
        'the batch span is linked to every job\'s request');

    await pool.query(`SELECT otel.remove_capture('${JOBS}', 'otel_context')`);
    const after = await request(() => utils.addJob('nothing', {}));
    is(await stored(after.result.id), [null], 'after remove_capture() nothing is captured');
    await pool.query(`ALTER TABLE ${JOBS} DROP COLUMN otel_context`);
    is(await shape(JOBS), before, 'and without the column the table is as it was');
    await utils.release();
});
