// pg-boss 11 and 12 before 12.36, as pg-boss 10: the context travels in the job's data.  Then the
// upgrade to the present release, over the trigger.  Prints TAP lines.
'use strict';

const { documented, is, main, request } = require('./harness');

const options = {
    host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER,
    database: process.env.PGDATABASE, supervise: false, schedule: false,
};
const fail = new Error('as the test wants it');

async function started(name) {
    const module = await import(name);
    const PgBoss = module.PgBoss ?? module.default;
    const boss = new PgBoss(options);
    boss.on('error', (error) => console.error(error));
    await boss.start();
    return boss;
}

async function test(pool, version) {
    const traceOf = async (id) => (await pool.query(
        'SELECT otel.trace_id(otel.extract(data)) AS id FROM pgboss.job WHERE id = $1',
        [id])).rows[0].id;

    await pool.query('DROP SCHEMA IF EXISTS pgboss CASCADE');
    const boss = await started(version);
    await boss.createQueue('before');
    await pool.query(documented('capture.sql'));
    await boss.createQueue('dead');
    await boss.createQueue('work', { deadLetter: 'dead', retryLimit: 1 });
    await boss.createQueue('part', { partition: true });

    for (const queue of ['before', 'work', 'part']) {
        const { traceId, result: id } = await request(() => boss.send(queue, { n: 1 }));
        is(await traceOf(id), traceId, `${version}: send to the queue "${queue}"`);
    }
    let [job] = await boss.fetch('work');
    const first = job.data.traceparent;
    await request(() => boss.fail('work', job.id, fail));
    [job] = await boss.fetch('work');
    is(job.data.traceparent, first, `${version}: a retry keeps the context of the first request`);
    await request(() => boss.fail('work', job.id, fail));
    const [dead] = await boss.fetch('dead');
    is(dead.data.traceparent, first, `${version}: the dead letter has it`);

    const bulk = await request(
        () => boss.insert('work', [{ data: { n: 2 } }, { data: { n: 3 } }]));
    const { rows } = await pool.query(documented('batch.sql'));
    is(rows[0].links.map((link) => link.context.traceId), [bulk.traceId],
        `${version}: jobs that insert() adds can be linked to`);
    await boss.stop({ graceful: false });
    return traceOf;
}

main('pg-boss 11', async (pool) => {
    await test(pool, 'pg-boss-11');
    const traceOf = await test(pool, 'pg-boss-12.35');

    const boss = await started('pg-boss');
    const { traceId, result: id } = await request(() => boss.send('work', { n: 4 }));
    is(await traceOf(id), traceId, 'the trigger goes on after the upgrade from 12.35 to 12.38');
    await pool.query("SELECT otel.remove_capture('pgboss.job', 'data')");
    await request(() => boss.send('part', { n: 5 }));
    await boss.fetch('part');
    const [job] = await boss.fetch('part');
    is(job?.data, { n: 5 }, 'taken off, the data is as it was sent');
    await boss.stop({ graceful: false });
});
