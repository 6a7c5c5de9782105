-- A user searches several times; at the end one span sums the session up, linked to every search.
-- The searches ran here, in this database session: their contexts are not remote.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET otel.traces_exporter = none;

CREATE TABLE search_log (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_session   text NOT NULL,
    query          text NOT NULL,
    trace_context  otel.trace_context DEFAULT otel.current_trace_context()
);

CREATE PROCEDURE search(user_session text, query text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM otel.start_span('search', attributes => jsonb_build_object('search.query', query));
    INSERT INTO search_log (user_session, query) VALUES (user_session, query);
    PERFORM otel.end_span('ok');
END $$;
CALL search('anna', 'red shoes');
CALL search('anna', 'red shoes 39');
CALL search('bert', 'hat');
CALL search('anna', 'red boots 39');
-- one search came from another service, which passed on a context of its own
INSERT INTO search_log (user_session, query) VALUES ('anna', 'boots')
    /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;

SELECT otel.record_span('search session', start_time => clock_timestamp() - interval '10 min',
        links => otel.link_agg(trace_context,
            jsonb_build_object('link.type', 'aggregated_from', 'search.query', query) ORDER BY id),
        attributes => jsonb_build_object('session.id', user_session, 'search.count', count(*)))
            IS NOT NULL AS recorded
  FROM search_log WHERE user_session = 'anna' GROUP BY user_session \gset

-- Told by another database session, all of them are remote.
\connect
SET otel.traces_exporter = none;
SELECT otel.record_span('search session, later', now(),
    links => otel.link_agg(trace_context ORDER BY id)) IS NOT NULL AS recorded
  FROM search_log WHERE user_session = 'anna' \gset

SELECT plan(6);
SELECT is(attributes, '{"session.id": "anna", "search.count": 4}', 'one span for the session')
  FROM otel.span_queue WHERE name = 'search session';
SELECT results_eq(
    $$SELECT s.attributes ->> 'search.query', l.attributes
        FROM otel.span_queue AS q, otel.span_links(q.links) AS l JOIN otel.span_queue AS s
          ON l.trace_id = otel.trace_id(s.context) AND l.span_id = otel.span_id(s.context)
       WHERE q.name = 'search session' ORDER BY s.start_time$$,
    $$VALUES ('red shoes', '{"link.type": "aggregated_from", "search.query": "red shoes"}'::jsonb),
             ('red shoes 39', '{"link.type": "aggregated_from", "search.query": "red shoes 39"}'),
             ('red boots 39', '{"link.type": "aggregated_from", "search.query": "red boots 39"}')$$,
    'it is linked to the spans of anna''s searches, and to none of bert''s');
SELECT is(cardinality(links::otel.span_link[]), 4,
    'it is linked to the span that another service began')
  FROM otel.span_queue WHERE name = 'search session';
SELECT is(jsonb_path_query_array(links::jsonb, '$[*].context.isRemote'),
          '[false, false, false, true]',
    'the searches of this database session are not remote, that one is')
  FROM otel.span_queue WHERE name = 'search session';

SELECT is(jsonb_path_query_array(links::jsonb, '$[*].context.isRemote'),
          '[true, true, true, true]', 'in another database session every link is remote')
  FROM otel.span_queue WHERE name = 'search session, later';
SELECT ok(bool_and(is_remote), 'a link that a client rebuilds is always remote')
  FROM otel.span_queue, otel.span_links(links) WHERE name LIKE 'search session%';
SELECT * FROM finish();
