-- On the subscriber: the apply worker records a span for each row that it inserts.
CREATE FUNCTION applied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM otel.record_span('applied ' || NEW.id, clock_timestamp());
	RETURN NULL;
END $$;
CREATE TRIGGER applied AFTER INSERT ON work FOR EACH ROW EXECUTE FUNCTION applied();
ALTER TABLE work ENABLE ALWAYS TRIGGER applied;
