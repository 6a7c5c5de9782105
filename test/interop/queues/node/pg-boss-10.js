// pg-boss 10: retries and archives by DELETE and INSERT, so the context travels in the job's
// data.  Prints TAP lines.
'use strict';

const { documented, is, main, request, until } = require('./harness');

main('pg-boss 10', async (pool) => {
    const PgBoss = require('pg-boss-10');
    await pool.query('DROP SCHEMA IF EXISTS pgboss CASCADE');
    const boss = new PgBoss({
        host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER,
        database: process.env.PGDATABASE, supervise: false, schedule: false,
    });
    await boss.start();
    await boss.createQueue('before');

    await pool.query(documented('capture.sql'));
    await pool.query("SELECT otel.add_trace_context('pgboss.job', 'otel_context')");
    await boss.createQueue('dead');
    await boss.createQueue('work', { deadLetter: 'dead', retryLimit: 1 });

    const traceOf = (data) => data?.traceparent?.slice(3, 35);
    const fetchOne = async (queue) => (await boss.fetch(queue))[0];

    const early = await request(() => boss.send('before', { n: 0 }));
    is(traceOf((await fetchOne('before')).data), early.traceId,
        'jobs of a queue that is older than the trigger have a context as well');

    const { traceId, result: id } = await request(() => boss.send('work', { n: 1 }));
    let job = await fetchOne('work');
    is([job.id, job.data.n, traceOf(job.data)], [id, 1, traceId],
        'send in a request: the job has the trace of the request');

    const other = await request(() => boss.fail('work', id, new Error('as the test wants it')));
    job = await fetchOne('work');
    is([job.id, traceOf(job.data)], [id, traceId],
        'a retry, by another request, keeps the context of the first');
    const column = await pool.query(
        'SELECT otel.trace_id(otel_context) AS id FROM pgboss.job WHERE id = $1', [id]);
    is(column.rows[0].id, other.traceId,
        'a column would have the trace of the request that failed');

    await request(() => boss.fail('work', id, new Error('as the test wants it')));
    const dead = await fetchOne('dead');
    is([dead.data.n, traceOf(dead.data)], [1, traceId], 'the dead letter has it');

    const nothing = await request(() => boss.send('work'));
    job = await fetchOne('work');
    is([job.id, traceOf(job.data)], [nothing.result, nothing.traceId],
        'a job without data gets data');
    await request(() => boss.complete('work', job.id));
    await pool.query(
        "UPDATE pgboss.job SET completed_on = now() - interval '2 days' WHERE id = $1", [job.id]);
    await request(() => boss.maintain());
    const archived = await until(async () =>
        (await pool.query('SELECT data FROM pgboss.archive WHERE id = $1', [nothing.result]))
            .rows[0]);
    is(traceOf(archived.data), nothing.traceId, 'a job in the archive keeps its context');

    const own = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    await request(() => boss.send('work', { traceparent: own }));
    job = await fetchOne('work');
    is(job.data, { traceparent: own }, 'a context that the application put there stays');

    const batch = await request(() => boss.insert(
        [{ name: 'work', data: { n: 1 } }, { name: 'work', data: { n: 2 } }]));
    const jobs = await boss.fetch('work', { batchSize: 10 });
    is(jobs.map(({ data }) => traceOf(data)), [batch.traceId, batch.traceId],
        'each job that insert() adds has the trace of the request');
    const { rows } = await pool.query(
        'SELECT otel.links_json(otel.link_agg(otel.extract(data))) AS links FROM pgboss.job ' +
        'WHERE id = ANY ($1)', [jobs.map((one) => one.id)]);
    is(rows[0].links.map((link) => link.context.traceId), [batch.traceId],
        'the jobs of a batch can be linked to');

    await pool.query("SELECT otel.remove_capture('pgboss.job', 'data')");
    await request(() => boss.send('work', { n: 9 }));
    is((await fetchOne('work')).data, { n: 9 }, 'taken off, the data is as it was sent');
    await boss.stop({ graceful: false });
});
