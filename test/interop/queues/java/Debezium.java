// Debezium's outbox: its engine and event router, reading what the table's default recorded.
import io.debezium.embedded.Connect;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.context.Context;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;

public class Debezium {
    static final String INSERT =
        "INSERT INTO outboxevent (aggregatetype, aggregateid, type, payload) VALUES ";
    static final Map<String, SourceRecord> events = new ConcurrentHashMap<>();

    static DebeziumEngine<ChangeEvent<SourceRecord, SourceRecord>> engine(String table,
            Map<String, String> more, Consumer<SourceRecord> consumer) {
        Properties properties = new Properties();
        properties.putAll(more);
        properties.put("name", table);
        properties.put("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
        properties.put("offset.storage",
            "org.apache.kafka.connect.storage.MemoryOffsetBackingStore");
        properties.put("database.hostname", "127.0.0.1");
        properties.put("database.port", System.getenv("PGPORT"));
        properties.put("database.user", System.getenv("PGUSER"));
        properties.put("database.password", "");
        properties.put("database.dbname", System.getenv("PGDATABASE"));
        properties.put("plugin.name", "pgoutput");
        properties.put("slot.name", table);
        properties.put("publication.name", table);
        properties.put("publication.autocreate.mode", "filtered");
        properties.put("table.include.list", "public." + table);
        properties.put("topic.prefix", "test");
        properties.put("tombstones.on.delete", "false");
        return DebeziumEngine.create(Connect.class).using(properties)
            .notifying(event -> consumer.accept(event.value()))
            .using((success, message, error) -> {
                if (!success) System.err.println(message);
            }).build();
    }

    // The header that a consumer of the topic gets.
    static String traceparent(String id) throws Exception {
        Harness.until(() -> events.containsKey(id), "the event of " + id);
        Header header = events.get(id).headers().lastWithName("traceparent");
        return header == null ? null : String.valueOf(header.value());
    }

    static String stored(String id) throws Exception {
        return Harness.sql("SELECT otel.extract(tracingspancontext)::text FROM outboxevent "
            + "WHERE aggregateid = '" + id + "'");
    }

    interface Work {
        void run(Statement statement) throws Exception;
    }

    // The application sends its context in the transaction: where Debezium runs, there are no
    // comments.
    static SpanContext request(Work work) throws Exception {
        return Harness.request(() -> {
            try (Connection connection = DriverManager.getConnection(Harness.url());
                 Statement statement = connection.createStatement()) {
                Map<String, String> carrier = new HashMap<>();
                GlobalOpenTelemetry.getPropagators().getTextMapPropagator()
                    .inject(Context.current(), carrier, Map::put);
                connection.setAutoCommit(false);
                statement.execute("SELECT otel.set_trace_context('" + carrier.get("traceparent")
                    + "')");
                work.run(statement);
                connection.commit();
            }
        });
    }

    static String row(String id) {
        return INSERT + "('order', '" + id + "', 'placed', '{}')";
    }

    static void captured(String id, SpanContext request, String how) throws Exception {
        Harness.row(stored(id), request, how + ": the row");
        Harness.row(traceparent(id), request,
            how + ": the event's header is a span of Debezium's in the request's trace");
    }

    // What a connector without the router says of columns of either type.
    static void eventsOfATable() throws Exception {
        Harness.sql("CREATE TABLE jobs (id int PRIMARY KEY)");
        Harness.sql("SELECT otel.add_trace_context('jobs')");
        Harness.sql("SELECT otel.add_trace_context('jobs', 'context', 'text')");
        SpanContext request = request(statement ->
            statement.execute("INSERT INTO jobs (id) VALUES (1)"));
        BlockingQueue<SourceRecord> events = new LinkedBlockingQueue<>();
        ExecutorService thread = Executors.newSingleThreadExecutor();
        DebeziumEngine<ChangeEvent<SourceRecord, SourceRecord>> engine =
            engine("jobs", Map.of(), events::add);
        thread.execute(engine);
        Struct row = ((Struct) events.poll(30, TimeUnit.SECONDS).value()).getStruct("after");
        Harness.row(row.getString("context"), request, "a column of text is in a table's events");
        Harness.is(row.schema().field("trace_context"), null, "one of our type is not");
        engine.close();
        thread.shutdown();
    }

    static void test() throws Exception {
        Harness.sql("CREATE TABLE outboxevent (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "
            + "aggregatetype text NOT NULL, aggregateid text NOT NULL, type text NOT NULL, "
            + "payload jsonb)");
        ExecutorService thread = Executors.newSingleThreadExecutor();
        DebeziumEngine<ChangeEvent<SourceRecord, SourceRecord>> engine = engine("outboxevent",
            Map.of("transforms", "outbox", "transforms.outbox.type",
                "io.debezium.transforms.outbox.EventRouter"),
            event -> events.put(String.valueOf(event.key()), event));
        thread.execute(engine);
        Harness.sql(row("before"));
        traceparent("before");
        Harness.sql(Harness.documented("capture.sql"));

        List<SpanContext> requests = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            String id = "order " + i;
            requests.add(request(statement -> statement.execute(row(id))));
            captured(id, requests.get(i), "an engine that runs, " + id);
        }
        requests.add(request(statement -> {
            for (String id : List.of("bulk 1", "bulk 2", "bulk 3")) statement.addBatch(row(id));
            statement.executeBatch();
        }));
        captured("bulk 1", requests.get(10), "a batch, the first");
        captured("bulk 3", requests.get(10), "a batch, the last");
        SpanContext deleted = request(statement -> {
            statement.execute(row("deleted"));
            statement.execute("DELETE FROM outboxevent WHERE aggregateid = 'deleted'");
        });
        Harness.row(traceparent("deleted"), deleted,
            "a row that its own transaction deletes again: the event has the context");
        Harness.sql("DELETE FROM outboxevent WHERE aggregateid = 'before'");
        Harness.batch(requests);

        Harness.sql("SELECT otel.remove_capture('outboxevent', 'tracingspancontext')");
        Harness.is(Harness.shape("outboxevent").contains("otel."), false,
            "taken off, nothing of ours is in the table");
        request(statement -> statement.execute(row("after")));
        Harness.is(traceparent("after"), null, "an event without a context has no header");
        Harness.is(stored("after"), null, "and nothing is recorded");
        engine.close();
        thread.shutdown();
        eventsOfATable();
    }

    public static void main(String[] arguments) {
        Harness.main(Debezium::test);
    }
}
