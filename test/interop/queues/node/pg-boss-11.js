// pg-boss 11 and 12 before 12.36, as pg-boss 10: the context travels in the job's data.  Then the
// upgrades to the present release, over the trigger.  Prints TAP lines.
'use strict';

const { documented, is, linkedInSdk, main, request, shape, traceOf } = require('./harness');
const support = require('./boss');

const { fail, stored } = support;

// What writes the data of a waiting job anew.
async function testUpdate(pool, boss) {
    const { result: id } = await request(() => boss.send('work', { n: 1 }));
    await request(() => boss.update('work', { n: 2 }, { id }));
    is(await stored(pool, [id]), [null], 'update() replaces the data, and the context in it');
    await pool.query("SELECT otel.capture_into('pgboss.job', 'data', update_of => '{data}')");
    for (const method of ['update', 'upsert']) {
        const { traceId } = await request(() => boss[method]('work', { n: 3 }, { id }));
        is(await stored(pool, [id]), [traceId],
            `with update_of, ${method}() records the context of its request`);
    }
    const { traceId } = await request(() => boss.update('work', { n: 4 }, { id }));
    await request(() => boss.update('work', undefined, { id, priority: 7 }));
    is(await stored(pool, [id]), [traceId], 'and one without data keeps it');
    await pool.query(documented('capture.sql'));
    await pool.query('DELETE FROM pgboss.job WHERE id = $1', [id]);
}

async function test(pool, version) {
    const boss = await support.startedAnew(pool, version);
    for (const queue of ['before', 'items', 'dead']) await boss.createQueue(queue);
    await boss.createQueue('work', { deadLetter: 'dead', retryLimit: 1 });
    const before = await shape('pgboss.job');
    const odd = await support.withoutTrigger(pool, boss, 'before');

    await support.testRunningWorker(pool, boss, 'before', 'data');
    await boss.createQueue('part', { partition: true });
    for (const queue of ['before', 'part']) await support.testSends(pool, boss, queue);

    if (boss.update) await testUpdate(pool, boss);
    const { traceId } = await request(() => boss.send('work', { n: 1 }));
    let [job] = await boss.fetch('work');
    is(await traceOf(job.data.traceparent), traceId, `${version}: a worker has it in the data`);
    await request(() => fail(boss, 'work', job.id));
    [job] = await boss.fetch('work');
    is(await traceOf(job.data.traceparent), traceId,
        `${version}: a retry keeps the context of the first request`);
    await request(() => fail(boss, 'work', job.id));
    const [dead] = await boss.fetch('dead');
    is(await traceOf(dead.data.traceparent), traceId, `${version}: the dead letter has it`);

    await support.testOddPayloads(pool, boss, odd);
    const traces = await support.requests(boss, 'items', 10);
    is((await linkedInSdk('batch.sql')).sort(), traces,
        `${version}: the worker's own batch span is linked to every job's request`);
    await boss.deleteQueue('part');
    await support.testRemoved(pool, boss, 'data', before);
    await pool.query(documented('capture.sql'));
    await boss.stop({ graceful: false });
}

main('pg-boss 11', async (pool) => {
    await test(pool, 'pg-boss-11');
    await test(pool, 'pg-boss-12.35');

    await (await support.startedAnew(pool, 'pg-boss-11')).stop({ graceful: false });
    await pool.query(documented('capture.sql'));
    for (const version of ['pg-boss-12.35', 'pg-boss']) {
        const boss = await support.started(version);
        const { rows } = await pool.query('SELECT version FROM pgboss.version');
        await boss.createQueue('items');
        const { traceId, result } = await request(() => boss.send('items', { n: 4 }));
        is([rows[0].version, await stored(pool, [result])],
            [version === 'pg-boss' ? 46 : 43, [traceId]],
            `the trigger goes on after the upgrade to ${version}`);
        await boss.stop({ graceful: false });
    }
});
