-- The storm's tables, on the publisher and on the subscriber.
CREATE EXTENSION otel_links;

-- expected: the context that the client sent, in the same statement
CREATE TABLE work (
	id text PRIMARY KEY,
	expected text,
	context otel.trace_context DEFAULT otel.current_trace_context()
);
ALTER TABLE work REPLICA IDENTITY FULL;

-- rows that everybody updates
CREATE TABLE hot (
	id int PRIMARY KEY,
	n bigint NOT NULL DEFAULT 0,
	expected text,
	context otel.trace_context
);
INSERT INTO hot SELECT i FROM generate_series(1, 8) i;
CREATE TRIGGER capture BEFORE UPDATE ON hot FOR EACH ROW
	EXECUTE FUNCTION otel.capture_trace_context('context', 'replace');

-- a deferred trigger with a span of its own, whose row belongs to that span; it fails for ids that
-- say so
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	mine otel.trace_context := otel.start_span(NEW.id || ' later');
BEGIN
	INSERT INTO work VALUES (NEW.id || ' later', mine::text);
	PERFORM otel.end_span();
	IF NEW.id LIKE '% fails' THEN
		RAISE EXCEPTION 'the deferred trigger fails';
	END IF;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON work DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (NEW.id LIKE '% deferred%' AND NEW.id NOT LIKE '% later') EXECUTE FUNCTION later();

-- A job in steps: .1 and .2 are committed, .3 and .4 are undone, .5 and .6 are committed in turn.
-- The span JOB lasts from the first commit to the last but one.
CREATE PROCEDURE steps(job text, given text) LANGUAGE plpgsql AS $$
DECLARE
	mine text;
BEGIN
	INSERT INTO work VALUES (job || '.1', given);
	mine := otel.start_span(job)::text;
	INSERT INTO work VALUES (job || '.2', mine);
	COMMIT;
	INSERT INTO work VALUES (job || '.3', mine);
	ROLLBACK;
	BEGIN
		INSERT INTO work VALUES (job || '.4', mine);
		PERFORM 1 / 0;
	EXCEPTION WHEN division_by_zero THEN
		PERFORM otel.record_exception(SQLSTATE, SQLERRM);
	END;
	INSERT INTO work VALUES (job || '.5', mine);
	PERFORM otel.end_span();
	COMMIT;
	INSERT INTO work VALUES (job || '.6', given);
END $$;

-- Exceptions in each other: of the spans JOB, JOB inner and JOB deep the last two are undone, of
-- the rows .1 to .4 the second and the third.
CREATE PROCEDURE exceptions(job text, given text) LANGUAGE plpgsql AS $$
DECLARE
	outer_span text;
	inner_span text;
BEGIN
	INSERT INTO work VALUES (job || '.1', given);
	outer_span := otel.start_span(job)::text;
	BEGIN
		inner_span := otel.start_span(job || ' inner')::text;
		INSERT INTO work VALUES (job || '.2', inner_span);
		BEGIN
			PERFORM otel.record_span(job || ' deep', clock_timestamp());
			INSERT INTO work VALUES (job || '.3', inner_span);
			RAISE EXCEPTION 'deep';
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
	EXCEPTION WHEN raise_exception THEN
		PERFORM otel.end_span('error', SQLERRM);
	END;
	INSERT INTO work VALUES (job || '.4', outer_span);
	PERFORM otel.end_span();
END $$;
