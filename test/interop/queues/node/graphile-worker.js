// graphile-worker: a column of its table of jobs.  Prints TAP lines.
'use strict';

const { documented, is, main, newPool, request, until } = require('./harness');

main('graphile-worker', async (pool) => {
    const { Logger, makeWorkerUtils, run, runOnce } = await import('graphile-worker');
    const quiet = new Logger(() => () => {});
    await pool.query('DROP SCHEMA IF EXISTS graphile_worker CASCADE');
    const utils = await makeWorkerUtils({ pgPool: pool, logger: quiet });
    await utils.migrate();

    const stored = async (id) => (await pool.query(
        'SELECT otel.trace_id(otel_context) AS id FROM graphile_worker._private_jobs WHERE id = $1',
        [id])).rows[0]?.id;
    const attempts = [];
    const taskList = {
        // keeps what a worker sees of its job's context; fails once when it is told to
        report: async (payload, { job, withPgClient }) => {
            const { rows } = await withPgClient((client) => client.query(
                'SELECT otel.trace_id(otel_context) AS id ' +
                'FROM graphile_worker._private_jobs WHERE id = $1', [job.id]));
            attempts.push({ attempt: job.attempts, id: rows[0].id });
            if (job.attempts <= (payload.fails ?? 0)) throw new Error('as the test wants it');
        },
        nothing: async () => {},
    };
    // a worker that runs while the column is added has prepared statements that return whole jobs
    const oldPool = newPool();
    const trace = console.trace;
    console.trace = () => {};
    const old = await run(
        { pgPool: oldPool, taskList, logger: quiet, pollInterval: 100, noHandleSignals: true });
    const done = [];
    const errors = [];
    old.events.on('job:success', ({ job }) => done.push(job.id));
    old.events.on('worker:getJob:error', ({ error }) => errors.push(error.message));
    const before = await utils.addJob('nothing', {});
    await until(() => done.includes(before.id));

    await pool.query(documented('capture.sql'));
    const { traceId, result: job } = await request(() => utils.addJob('report', { fails: 1 }));
    is(await stored(job.id), traceId, 'addJob in a request: the row has the trace of the request');
    await until(() => errors.length > 0);
    is([errors[0], attempts], ['cached plan must not change result type', []],
        'a worker that was running gets no more jobs');
    await old.stop().catch(() => {});
    await oldPool.end();
    console.trace = trace;

    const newPgPool = newPool();
    const work = async () => {
        for (let i = 0; i < 3; i++) {
            await pool.query(
                'UPDATE graphile_worker._private_jobs SET run_at = now() WHERE run_at > now()');
            await runOnce({ pgPool: newPgPool, taskList, logger: quiet, noHandleSignals: true });
        }
    };
    await work();
    is(attempts, [{ attempt: 1, id: traceId }, { attempt: 2, id: traceId }],
        'a worker that is started again sees the context at the first and at the second attempt');
    is(await stored(job.id), undefined, 'the job is done');

    const many = await request(() => utils.addJobs(
        [1, 2, 3].map(() => ({ identifier: 'nothing', payload: {} }))));
    is(await Promise.all(many.result.map(({ id }) => stored(id))), Array(3).fill(many.traceId),
        'each job that addJobs() adds has the trace of the request');

    const first = await request(() => utils.addJob('nothing', {}, { jobKey: 'key' }));
    const second = await request(() => utils.addJob('nothing', { n: 2 }, { jobKey: 'key' }));
    is(first.result.id, second.result.id, 'a job key makes one job of two');
    is(await stored(first.result.id), first.traceId,
        'a job whose key is added again keeps the context of the first request');

    await pool.query(`SELECT otel.capture_into(
        'graphile_worker._private_jobs', 'otel_context', 'replace',
        update_of => '{payload}')`);
    const third = await request(() => utils.addJob('nothing', { n: 3 }, { jobKey: 'key' }));
    is(await stored(first.result.id), third.traceId,
        'with capture_into(… replace) a job whose key is added again has the last context');
    await work();

    const { traceId: sqlTrace, result: sql } = await request(async () => {
        const { propagation, context } = require('@opentelemetry/api');
        const carrier = {};
        propagation.inject(context.active(), carrier);
        const client = await pool.connect();
        try {
            await client.query('BEGIN');
            await client.query('SELECT otel.set_trace_context($1, $2)',
                [carrier.traceparent, carrier.tracestate]);
            const { rows } = await client.query(
                { name: 'add', text: "SELECT id FROM graphile_worker.add_job('nothing')" });
            await client.query('COMMIT');
            return rows[0].id;
        } finally {
            client.release();
        }
    });
    is(await stored(sql), sqlTrace, 'add_job() in SQL, after set_trace_context()');

    const dead = await request(() => utils.addJob('report', { fails: 9 }, { maxAttempts: 2 }));
    await work();
    is(await stored(dead.result.id), dead.traceId, 'a job that failed for good keeps its context');
    const { rows } = await pool.query(
        'SELECT otel.links_json(otel.link_agg(otel_context)) AS links ' +
        'FROM graphile_worker._private_jobs');
    is(rows[0].links.map((link) => link.context.traceId), [dead.traceId],
        'a job that failed for good can be linked to');
    await pool.query("SELECT otel.remove_capture('graphile_worker._private_jobs', 'otel_context')");
    const after = await request(() => utils.addJob('nothing', {}));
    is(await stored(after.result.id), null, 'after remove_capture() nothing is captured');
    await newPgPool.end();
    await utils.release();
});
