-- Export as SQL sees it: what there is, who may do what, and what needs no collector.
BEGIN;
SELECT plan(46);

SELECT has_table('otel', t, 'otel.' || t || ' is a table')
  FROM unnest(ARRAY['span_queue', 'failed_spans', 'exported_spans', 'exporter_state']) t;
SELECT has_view('otel', v, 'otel.' || v || ' is a view')
  FROM unnest(ARRAY['export_status', 'export_metrics']) v;
SELECT is((SELECT relreplident FROM pg_class WHERE oid = ('otel.' || t)::regclass), 'n',
    'otel.' || t || ' has nothing to tell a subscriber')
  FROM unnest(ARRAY['span_queue', 'failed_spans', 'exported_spans', 'exporter_state']) t;
SELECT is((SELECT count(*) FROM pg_index WHERE indrelid = ('otel.' || t)::regclass), 0::bigint,
    'otel.' || t || ' has no index')
  FROM unnest(ARRAY['span_queue', 'failed_spans', 'exported_spans', 'exporter_state']) t;
SELECT is(
    (SELECT array_agg(attname || ' ' || atttypid::regtype ORDER BY attnum) FROM pg_attribute
      WHERE attrelid = ('otel.' || t)::regclass AND attnum BETWEEN 1 AND 17),
    (SELECT array_agg(attname || ' ' || atttypid::regtype ORDER BY attnum) FROM pg_attribute
      WHERE attrelid = 'otel.span_queue'::regclass AND attnum > 0),
    'otel.' || t || ' begins with the columns of the queue')
  FROM unnest(ARRAY['failed_spans', 'exported_spans']) t;

SELECT function_returns('otel', 'force_flush', ARRAY['integer'], 'bigint');
SELECT volatility_is('otel', 'force_flush', ARRAY['integer'], 'volatile');
SELECT is_strict('otel', 'force_flush', ARRAY['integer'], 'force_flush() is NULL for NULL');
SELECT is((SELECT proparallel FROM pg_proc WHERE oid = 'otel.force_flush'::regproc), 'u',
    'force_flush() is for the leader alone');
SELECT function_returns('otel', 'retry_failed', '{}'::name[], 'bigint');
SELECT volatility_is('otel', 'retry_failed', '{}'::name[], 'volatile');

CREATE ROLE somebody;
SELECT ok(has_function_privilege('somebody', 'otel.force_flush(integer)', 'EXECUTE'),
    'anybody may flush');
SELECT ok(NOT has_function_privilege('somebody', 'otel.retry_failed()', 'EXECUTE'),
    'not anybody may queue again what was refused');
SELECT ok(NOT has_any_column_privilege('somebody', 'otel.' || t, 'SELECT'),
    'not anybody may read otel.' || t)
  FROM unnest(ARRAY['span_queue', 'failed_spans', 'exported_spans', 'exporter_state',
      'export_status', 'export_metrics']) t;
SELECT ok(NOT has_sequence_privilege('somebody', 'otel.' || s, 'USAGE, SELECT, UPDATE'),
    'nor use otel.' || s)
  FROM unnest(ARRAY['dropped_spans', 'not_sampled_spans', 'exporter_start_failures',
      'exporter_starting']) s;
SELECT ok(has_table_privilege('pg_monitor', 'otel.' || v, 'SELECT'),
    'pg_monitor may read otel.' || v)
  FROM unnest(ARRAY['export_status', 'export_metrics']) v;
SELECT ok(has_function_privilege('somebody', 'otel.estimate_spans(name)', 'EXECUTE'),
    'anybody may ask how many spans there are, so that a grant on the view is enough');
SELECT ok(NOT has_any_column_privilege('pg_monitor', 'otel.span_queue', 'SELECT'),
    'who may ask how many there are may not read the spans');

-- Nothing is exported in here: what is recorded stays in the transaction, or is held back
SET LOCAL otel.traces_exporter = 'none';
SELECT is(otel.force_flush(), 0::bigint,
    'force_flush() has nothing to wait for while spans are held back');
SELECT is(otel.force_flush(NULL), NULL, 'force_flush(NULL)');
SELECT is(otel.retry_failed(), 0::bigint, 'retry_failed() with nothing that failed');
SELECT is((SELECT count(*) FROM otel.export_status), 1::bigint,
    'the status has one row, also before anything was exported');
SELECT is(oldest_age, NULL, 'nothing pending has no age') FROM otel.export_status;
SELECT is((SELECT count(*) FROM otel.export_metrics), 1::bigint, 'export_metrics has one row');
SELECT is(
    (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
      WHERE attrelid = 'otel.export_status'::regclass AND attname <> 'not_running_because'
        AND attname <> ALL (SELECT attname FROM pg_attribute
                             WHERE attrelid = 'otel.export_metrics'::regclass)),
    NULL, 'the metrics have every number of the status');
SET TRANSACTION READ ONLY;
SELECT throws_ok('SELECT otel.retry_failed()', '25006', NULL, 'retry_failed() writes');

SELECT * FROM finish();
ROLLBACK;
