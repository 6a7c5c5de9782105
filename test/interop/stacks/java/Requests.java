// What the stacks in Java share: requests in spans, and SQL from outside.
package requests;

import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Objects;

public final class Requests {
    // where there is no agent
    public static OpenTelemetry openTelemetry;

    public interface Work {
        void run(String name) throws Exception;
    }

    // Whatever threads a library leaves behind, the program ends.
    public static void main(Work test, String argument) {
        int status = 1;
        try {
            test.run(argument);
            status = 0;
        } catch (Throwable e) {
            e.printStackTrace();
        }
        System.exit(status);
    }

    public static void is(Object got, Object expected, String name) {
        boolean same = Objects.equals(got, expected);
        System.out.println((same ? "ok" : "not ok") + " - " + System.getenv("STACK") + ": " + name);
        if (!same) System.out.println("# got " + got + ", expected " + expected);
    }

    // Work puts its rows where payload is the request's name.
    public static void request(String name, Work work) throws Exception {
        request(name, work, Context.root());
    }

    // As one whose caller decided not to sample it.
    public static void unsampled(String name, Work work) throws Exception {
        request(name, work, Context.root().with(Span.wrap(SpanContext.createFromRemoteParent(
            "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", TraceFlags.getDefault(),
            TraceState.getDefault()))));
    }

    private static void request(String name, Work work, Context parent) throws Exception {
        OpenTelemetry current = openTelemetry == null ? GlobalOpenTelemetry.get() : openTelemetry;
        Span span = current.getTracer("app").spanBuilder("request: " + name).setParent(parent)
            .startSpan();
        try (Scope scope = span.makeCurrent()) {
            work.run(name);
        } finally {
            span.end();
        }
    }

    public static String url() {
        return String.format("jdbc:postgresql://127.0.0.1:%s/%s?user=%s", System.getenv("PGPORT"),
            System.getenv("PGDATABASE"), System.getenv("PGUSER"));
    }

    // The first column of the first row, or null; on a connection of its own.
    public static String sql(String sql) throws SQLException {
        try (Connection connection = DriverManager.getConnection(url());
             Statement statement = connection.createStatement()) {
            if (!statement.execute(sql)) return null;
            try (ResultSet result = statement.getResultSet()) {
                return result.next() ? result.getString(1) : null;
            }
        }
    }
}
