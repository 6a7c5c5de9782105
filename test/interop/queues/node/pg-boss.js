// pg-boss 12: has a column trace_context of type jsonb, and fills it when its own telemetry
// propagates. Prints TAP lines.
'use strict';

const { documented, is, linkedInSdk, main, ODD_PAYLOADS, request, shape } =
    require('./harness');
const support = require('./boss');

const { fail } = support;

async function testRetries(pool, boss, how) {
    const stored = async (id) => (await support.stored(pool, [id], 'trace_context'))[0];
    const { traceId, result: id } = await request(() => boss.send('work', { n: 1 }));
    is(await stored(id), traceId, `${how}: send in a request`);
    await request(() => boss.update('work', { n: 2 }, { id }));
    is(await stored(id), traceId, `${how}: update() by another request leaves the first one's`);
    let [job] = await boss.fetch('work');
    is(job.data, { n: 2 }, `${how}: the data is untouched`);
    await request(() => fail(boss, 'work', id));
    [job] = await boss.fetch('work');
    is([job.id, await stored(id)], [id, traceId],
        `${how}: a retry, by another request, keeps the context of the first`);
    await request(() => fail(boss, 'work', id));
    const [dead] = await boss.fetch('dead');
    is([dead.data, await stored(dead.id)], [{ n: 2 }, traceId],
        `${how}: the dead letter has the context of its job`);
    const traces = await support.requests(boss, 'items', 10);
    is((await linkedInSdk('links.sql')).sort(), traces,
        `${how}: the worker's own batch span is linked to every job's request`);
}

async function testOddPayloads(pool, boss, without) {
    for (const [name, payload] of Object.entries(ODD_PAYLOADS)) {
        const { traceId, result: id } =
            await request(() => boss.send('before', payload).catch(() => null));
        if (!id) {
            is(typeof without[name], 'string', `a payload that is ${name}: refused by the library`);
            continue;
        }
        const { rows } = await pool.query('SELECT data FROM pgboss.job WHERE id = $1', [id]);
        is([rows[0].data, await support.stored(pool, [id], 'trace_context')],
            [without[name], [traceId]], `a payload that is ${name}`);
    }
}

main('pg-boss 12', async (pool) => {
    for (const propagateContext of [true, false]) {
        const how = propagateContext ? 'openTelemetry.propagateContext' : 'the trigger';
        const boss = await support.startedAnew(pool, 'pg-boss',
            { openTelemetry: { propagateContext } });
        for (const queue of ['before', 'items', 'dead']) await boss.createQueue(queue);
        await boss.createQueue('work', { deadLetter: 'dead', retryLimit: 1 });
        const before = await shape('pgboss.job');
        const odd = await support.withoutTrigger(pool, boss, 'before');
        if (!propagateContext) {
            await support.testRunningWorker(pool, boss, 'before', 'trace_context');
            await support.testSends(pool, boss, 'before', 'trace_context');
            await testOddPayloads(pool, boss, odd);
        }
        await testRetries(pool, boss, how);
        const refused = await pool.query("SELECT otel.add_trace_context('pgboss.job')")
            .then(() => null, (error) => error.code);
        is(refused, '42804', `${how}: otel.add_trace_context() does not touch its column`);
        if (!propagateContext) {
            await support.testRemoved(pool, boss, 'trace_context', before);
        }
        await boss.stop({ graceful: false });
    }
});
