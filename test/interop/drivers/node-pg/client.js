// What node-postgres does with otel.trace_context.  Prints TAP lines.
const { Client } = require('pg');
const { isDeepStrictEqual } = require('node:util');

const SAMPLED = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const STATE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03;rojo=1,congo=2';

function is(got, expected, name) {
    const ok = isDeepStrictEqual(got, expected);
    console.log(`${ok ? 'ok' : 'not ok'} - node-pg: ${name}`);
    if (!ok) {
        console.log(`# got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
    }
}

async function column(client, query, parameters) {
    const { rows } = await client.query({ text: query, values: parameters, rowMode: 'array' });
    return rows.map((row) => row[0]);
}

async function main() {
    const client = new Client();
    await client.connect();
    await client.query('CREATE TEMPORARY TABLE items (id int, context otel.trace_context)');
    const insert = 'INSERT INTO items VALUES ($1, $2)';
    await client.query(insert, [1, SAMPLED]);
    await client.query(insert, [2, STATE]);
    await client.query(insert, [3, null]);
    await client.query(insert, [4, undefined]);
    for (const id of [5, 6]) {
        await client.query({ name: 'insert', text: insert, values: [id, SAMPLED] });
    }
    is(await column(client, 'SELECT context FROM items ORDER BY id'),
        [SAMPLED, STATE, null, null, SAMPLED, SAMPLED],
        'string, null and undefined are written, and read as string and null');
    is(await client.query(insert, [7, 'nope']).catch((error) => error.code), '22P02',
        'an invalid string raises 22P02');
    is(await column(client, 'SELECT array_agg(context ORDER BY id) FROM items WHERE id < 4'),
        [`{${SAMPLED},"${STATE}",NULL}`], 'an array is read as string');
    is(await column(client, 'SELECT otel.span_id(c) FROM unnest($1::otel.trace_context[]) c',
        [[SAMPLED, STATE]]), ['00f067aa0ba902b7', 'b7ad6b7169203331'],
    'an array of string is written as an array, with a cast');
    is(await column(client, 'SELECT id FROM items WHERE context = $1 AND id < 4', [SAMPLED]), [1],
        'a string is compared with a column');
    is(await column(client, 'SELECT otel.inject(context) FROM items WHERE id = 2'),
        [{ traceparent: STATE.split(';')[0], tracestate: STATE.split(';')[1] }],
        'a carrier is read as object');
    await client.end();
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
