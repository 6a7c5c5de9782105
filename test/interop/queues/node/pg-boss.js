// pg-boss 12: has a column trace_context of type jsonb, and fills it when its own telemetry
// propagates. Prints TAP lines.
'use strict';

const { documented, is, main, request } = require('./harness');

main('pg-boss 12', async (pool) => {
    const { PgBoss } = await import('pg-boss');
    const options = {
        host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER,
        database: process.env.PGDATABASE, supervise: false, schedule: false,
    };
    const stored = async (id) => (await pool.query(
        'SELECT otel.trace_id(otel.extract(trace_context)) AS id FROM pgboss.job WHERE id = $1',
        [id])).rows[0]?.id ?? null;

    for (const propagateContext of [true, false]) {
        const how = propagateContext ? 'openTelemetry.propagateContext' : 'the trigger';
        await pool.query('DROP SCHEMA IF EXISTS pgboss CASCADE');
        const boss = new PgBoss({ ...options, openTelemetry: { propagateContext } });
        boss.on('error', (error) => console.error(error));
        await boss.start();
        if (!propagateContext) {
            await pool.query(documented('capture.sql'));
        }
        await boss.createQueue('dead');
        await boss.createQueue('work', { deadLetter: 'dead', retryLimit: 1 });

        const { traceId, result: id } = await request(() => boss.send('work', { n: 1 }));
        is(await stored(id), traceId, `${how}: send in a request`);
        let [job] = await boss.fetch('work');
        is(job.data, { n: 1 }, `${how}: the data is untouched`);
        await request(() => boss.fail('work', id, new Error('as the test wants it')));
        [job] = await boss.fetch('work');
        is([job.id, await stored(id)], [id, traceId],
            `${how}: a retry, by another request, keeps the context of the first`);
        await request(() => boss.fail('work', id, new Error('as the test wants it')));
        const [dead] = await boss.fetch('dead');
        is([dead.data, await stored(dead.id)], [{ n: 1 }, traceId],
            `${how}: the dead letter has the context of its job`);
        const batch = await request(
            () => boss.insert('work', [{ data: { n: 1 } }, { data: { n: 2 } }]));
        const { rows } = await pool.query(documented('links.sql'));
        is(rows[0].links.map((link) => link.context.traceId), [batch.traceId],
            `${how}: jobs that insert() adds can be linked to`);

        const refused = await pool.query("SELECT otel.add_trace_context('pgboss.job')")
            .then(() => null, (error) => error.code);
        is(refused, '42804', `${how}: otel.add_trace_context() does not touch its column`);
        await boss.stop({ graceful: false });
    }
});
