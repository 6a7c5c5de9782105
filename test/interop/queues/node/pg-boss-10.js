// pg-boss 10: retries and archives by DELETE and INSERT, so the context travels in the job's
// data.  Prints TAP lines.
'use strict';

const { documented, is, linkedInSql, main, request, shape, traceOf, until } =
    require('./harness');
const support = require('./boss');

const { fail } = support;

async function testRetries(pool, boss) {
    await pool.query("SELECT otel.add_trace_context('pgboss.job', 'otel_context')");
    const fetchOne = async (queue) => (await boss.fetch(queue))[0];
    const { traceId, result: id } = await request(() => boss.send('work', { n: 1 }));
    let job = await fetchOne('work');
    is([job.id, job.data.n, await traceOf(job.data.traceparent)], [id, 1, traceId],
        'a worker has it in the data');

    const other = await request(() => fail(boss, 'work', id));
    job = await fetchOne('work');
    is([job.id, await traceOf(job.data.traceparent)], [id, traceId],
        'a retry, by another request, keeps the context of the first');
    const column = await pool.query(
        'SELECT otel.traceparent(otel_context) AS context FROM pgboss.job WHERE id = $1', [id]);
    is(await traceOf(column.rows[0].context), other.traceId,
        'a column would have the trace of the request that failed');
    await request(() => fail(boss, 'work', id));
    const dead = await fetchOne('dead');
    is([dead.data.n, await traceOf(dead.data.traceparent)], [1, traceId],
        'the dead letter has it');

    const archived = await request(() => boss.send('work'));
    job = await fetchOne('work');
    await request(() => boss.complete('work', job.id));
    await pool.query(
        "UPDATE pgboss.job SET completed_on = now() - interval '2 days' WHERE id = $1", [job.id]);
    await request(() => boss.maintain());
    const { data } = await until(async () => (await pool.query(
        'SELECT data FROM pgboss.archive WHERE id = $1', [archived.result])).rows[0]);
    is(await traceOf(data.traceparent), archived.traceId,
        'a job in the archive keeps its context');
    await pool.query("SELECT otel.remove_capture('pgboss.job', 'otel_context')");
    await pool.query('ALTER TABLE pgboss.job DROP COLUMN otel_context');
}

const testSends = (pool, boss, queue) =>
    support.testSends(pool, boss, queue, 'data', (jobs) => boss.insert(jobs));

async function testUpgrade(pool) {
    const old = await support.startedAnew(pool, 'pg-boss-10.0');
    await old.createQueue('old');
    await pool.query(documented('capture.sql'));
    await old.stop({ graceful: false });
    const boss = await support.started('pg-boss-10');
    const { rows } = await pool.query('SELECT version FROM pgboss.version');
    is(rows[0].version, 24, 'the library migrates its tables of 10.0 with the trigger on them');
    await testSends(pool, boss, 'old');
    await boss.stop({ graceful: false });
}

main('pg-boss 10', async (pool) => {
    await testUpgrade(pool);
    const boss = await support.startedAnew(pool, 'pg-boss-10');
    for (const queue of ['before', 'items', 'dead']) await boss.createQueue(queue);
    await boss.createQueue('work', { deadLetter: 'dead', retryLimit: 1 });
    const before = await shape('pgboss.job');
    const odd = await support.withoutTrigger(pool, boss, 'before');

    await support.testRunningWorker(pool, boss, 'before', 'data');
    await boss.createQueue('later');
    for (const queue of ['before', 'later']) await testSends(pool, boss, queue);
    await testRetries(pool, boss);
    await support.testOddPayloads(pool, boss, odd);
    const traces = await support.requests(boss, 'items', 10);
    is((await linkedInSql('batch.sql')).sort(), traces,
        'the batch span is linked to every job\'s request');
    await boss.deleteQueue('later');
    await support.testRemoved(pool, boss, 'data', before);
    await boss.stop({ graceful: false });
});
