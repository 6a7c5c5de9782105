// What the queues in Java share: requests in spans, a look at the rows, and lines for java_test.py,
// which compares them with the spans that the agent exported.
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.context.Scope;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;

final class Harness {
    static final String QUEUE = System.getenv("QUEUE");

    interface Work {
        void run() throws Exception;
    }

    // A test's main(): whatever threads a library leaves behind, the program ends.
    static void main(Work test) {
        int status = 1;
        try {
            test.run();
            status = 0;
        } catch (Throwable e) {
            e.printStackTrace();
        }
        System.exit(status);
    }

    static void is(Object got, Object expected, String name) {
        boolean same = Objects.equals(got, expected);
        say((same ? "ok" : "not ok") + " - " + QUEUE + ": " + name);
        if (!same) say("# got " + got + ", expected " + expected);
    }

    private static void say(String line) {
        System.out.println(line.replace('\n', ' '));
        System.out.flush();
    }

    static SpanContext request(Work work) throws Exception {
        Span span = GlobalOpenTelemetry.getTracer("app").spanBuilder("request")
            .setNoParent().startSpan();
        try (Scope scope = span.makeCurrent()) {
            work.run();
        } finally {
            span.end();
        }
        return span.getSpanContext();
    }

    // The row's context must be that of a span which was exported, in the request's trace.
    static void row(String context, SpanContext request, String name) {
        say("row\t" + request.getTraceId() + "\t" + context + "\t" + QUEUE + ": " + name);
    }

    // Runs the documented statement that starts a span; its links must be spans that were exported,
    // of these requests and no others.
    static void batch(List<SpanContext> requests) throws Exception {
        String span;
        try (Connection connection = connect();
             Statement statement = connection.createStatement()) {
            connection.setAutoCommit(false);
            span = first(statement, documented("batch.sql"));
            first(statement, "SELECT otel.end_span()");
            connection.commit();
            connection.setAutoCommit(true);
            first(statement, "SELECT otel.force_flush()");
        }
        say("batch\t" + requests.stream().map(SpanContext::getTraceId)
            .collect(Collectors.joining(",")) + "\t" + span + "\t" + QUEUE
            + ": a batch span is linked to every job");
    }

    static String documented(String name) throws Exception {
        return Files.readString(Path.of("documented", QUEUE, name));
    }

    static String url() {
        return String.format("jdbc:postgresql://127.0.0.1:%s/%s?user=%s", System.getenv("PGPORT"),
            System.getenv("PGDATABASE"), System.getenv("PGUSER"));
    }

    static HikariDataSource pool() {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(url());
        config.setMaximumPoolSize(6);
        return new HikariDataSource(config);
    }

    private static Connection connect() throws SQLException {
        return DriverManager.getConnection(url());
    }

    private static String first(Statement statement, String sql) throws SQLException {
        boolean rows = statement.execute(sql);
        if (!rows) return null;
        try (ResultSet result = statement.getResultSet()) {
            return result.next() ? result.getString(1) : null;
        }
    }

    // The first column of the first row, or null; on a connection of its own.
    static String sql(String sql) throws SQLException {
        try (Connection connection = connect();
             Statement statement = connection.createStatement()) {
            return first(statement, sql);
        }
    }

    // What a table is made of.
    static String shape(String table) throws SQLException {
        return sql("SELECT concat((SELECT string_agg(concat_ws(' ', attname, atttypid::regtype, "
            + "attnotnull, pg_get_expr(adbin, adrelid)), ', ' ORDER BY attnum) "
            + "FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
            + "WHERE attrelid = c AND attnum > 0 AND NOT attisdropped), "
            + "(SELECT string_agg(pg_get_triggerdef(oid), ', ') FROM pg_trigger "
            + "WHERE tgrelid = c)) FROM CAST('" + table + "' AS regclass) AS c");
    }

    // Inserts a copy of a row in SQL, as somebody does who has no other way in: with another key,
    // and without our column.
    static void copy(String table, String key, String value, String row) throws SQLException {
        String others = sql("SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute "
            + "WHERE attrelid = '" + table + "'::regclass AND attnum > 0 AND NOT attisdropped "
            + "AND attname NOT IN ('" + key + "', 'otel_context')");
        sql(String.format("INSERT INTO %1$s (%2$s, %3$s) SELECT '%4$s', %3$s FROM %1$s "
            + "WHERE %5$s LIMIT 1", table, key, others, value, row));
    }

    // Takes the column off again, as the page says.
    static void takeOff(String table, String before) throws SQLException {
        sql("SELECT otel.remove_capture('" + table + "', 'otel_context')");
        sql("ALTER TABLE " + table + " DROP COLUMN otel_context");
        is(shape(table), before, table + ": taken off, the table is as it was");
    }

    // A condition that comes true within a minute.
    static void until(Callable<Boolean> condition, String what) throws Exception {
        for (int i = 0; i < 1200; i++) {
            if (condition.call()) return;
            Thread.sleep(50);
        }
        throw new IllegalStateException("in vain: " + what);
    }
}
