// node-postgres, pg-promise and postgres.js with statements that carry a comment. Prints TAP lines.
'use strict';
const { Client } = require('pg');
const pgPromise = require('pg-promise');
const postgres = require('postgres');

const connection = {
    host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER,
    database: process.env.PGDATABASE,
};
const TAKE = 'SELECT take_recorded() AS recorded';

function comment(request) {
    return `/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e473${request}-00f067aa0ba902b7-01'*/`;
}

function insert(request) {
    return `INSERT INTO prepared_jobs (how) VALUES ($1) ${comment(request)}`;
}

function is(got, expected, what) {
    console.log(`${got === expected ? 'ok' : 'not ok'} - ${what}: ${expected}`);
    if (got !== expected) console.log(`# got ${got}`);
}

async function tryNodePostgres() {
    const client = new Client(connection);
    await client.connect();
    const recorded = async () => (await client.query(TAKE)).rows[0].recorded;

    for (let i = 0; i < 3; i++) {
        await client.query({ name: 'kept', text: insert(1), values: ['x'] });
    }
    is(await recorded(), '1--', 'node-postgres, a named statement, three requests');
    for (const request of [1, 2, 3]) await client.query(insert(request), ['x']);
    is(await recorded(), '123', 'node-postgres, a text for each request');
    await client.query(`INSERT INTO prepared_jobs (how) VALUES ('a');
        INSERT INTO prepared_jobs (how) VALUES ('b') ${comment(4)}`);
    is(await recorded(), '44', 'node-postgres, two statements in one call');
    await client.query(`BEGIN; INSERT INTO prepared_jobs (how) VALUES ('a'); COMMIT ${comment(5)}`);
    is(await recorded(), '5', 'node-postgres, BEGIN, INSERT and COMMIT in one call');
    await client.end();
}

async function tryPgPromise() {
    const pgp = pgPromise();
    const db = pgp(connection);
    const recorded = async () => (await db.one(TAKE)).recorded;

    await db.task(async (task) => {
        const kept = new pgp.PreparedStatement({ name: 'kept', text: insert(1) });
        for (let i = 0; i < 3; i++) await task.none(kept, ['x']);
    });
    is(await recorded(), '1--', 'pg-promise, PreparedStatement, three requests');
    const rows = [1, 2, 3, 4, 5].map((n) => (
        { query: 'INSERT INTO prepared_jobs (how) VALUES (${n})', values: { n } }));
    await db.none(`${pgp.helpers.concat(rows)} ${comment(2)}`);
    is(await recorded(), '22222', 'pg-promise, concat, one comment for five statements');
    pgp.end();
}

async function tryPostgresJs() {
    const sql = postgres({ ...connection, max: 1, onnotice: () => {} });
    const recorded = async () => (await sql.unsafe(TAKE))[0].recorded;

    for (let i = 0; i < 3; i++) await sql.unsafe(insert(1), ['x'], { prepare: true });
    is(await recorded(), '1--', 'postgres.js, prepare, three requests');
    for (const request of [2, 3, 4]) {
        await sql.unsafe(insert(request), ['x'], { prepare: true });
    }
    is(await recorded(), '234', 'postgres.js, prepare, a text for each request');
    await sql.begin(async (transaction) => {
        await Promise.all([1, 2, 3].map(
            () => transaction.unsafe(insert(5), ['x'], { prepare: true })));
    });
    is(await recorded(), '555', 'postgres.js, three rows of one transaction, in a pipeline');
    await sql.end();
}

(async () => {
    await tryNodePostgres();
    await tryPgPromise();
    await tryPostgresJs();
})().catch((error) => {
    console.error(error);
    process.exit(1);
});
