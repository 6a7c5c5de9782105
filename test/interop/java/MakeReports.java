import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.common.AttributesBuilder;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.api.trace.TraceStateBuilder;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A job in Java: claims the pending report requests, makes the reports, and exports one span that
 * is linked to the trace of every request.
 *
 * <p>The database is named by PGHOST, PGPORT, PGUSER and PGDATABASE, the collector by
 * OTEL_EXPORTER_OTLP_ENDPOINT.
 */
public class MakeReports {
    // One statement claims the rows and gives their links: no row can be claimed and not linked.
    static final String CLAIM_AND_LINK = """
        WITH claimed AS (
            UPDATE report_request SET state = 'done'
             WHERE id IN (SELECT id FROM report_request WHERE state = 'pending'
                           ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)
            RETURNING id, trace_context, attributes),
        batch AS (
            SELECT count(*) AS requests,
                   otel.link_agg(trace_context,
                                 attributes || jsonb_build_object('report.id', id)
                                 ORDER BY id) AS links
              FROM claimed)
        SELECT batch.requests, link.*
          FROM batch LEFT JOIN otel.span_links(batch.links) AS link ON true
        """;

    static final ObjectMapper JSON = new ObjectMapper();

    /** A row of otel.span_links() as a link of the span. */
    static void addLink(SpanBuilder span, ResultSet row) throws Exception {
        var traceFlags = TraceFlags.fromByte((byte) row.getInt("trace_flags"));
        var traceState = traceState(row.getString("trace_state"));
        // createFromRemoteParent: the context came from another process, is_remote is always true.
        var context = SpanContext.createFromRemoteParent(
            row.getString("trace_id"), row.getString("span_id"), traceFlags, traceState);
        span.addLink(context, attributes(row.getString("attributes")));
    }

    /** Its members one by one, the last one first: each is put before those that are there. */
    static TraceState traceState(String header) {
        TraceStateBuilder builder = TraceState.builder();
        if (header != null) {
            String[] members = header.split(",");
            for (int i = members.length - 1; i >= 0; i--) {
                int equals = members[i].indexOf('=');
                builder.put(members[i].substring(0, equals), members[i].substring(equals + 1));
            }
        }
        return builder.build();
    }

    static Attributes attributes(String json) throws Exception {
        AttributesBuilder builder = Attributes.builder();
        for (Map.Entry<String, JsonNode> entry : JSON.readTree(json).properties()) {
            JsonNode value = entry.getValue();
            if (value.isTextual()) {
                builder.put(entry.getKey(), value.textValue());
            } else if (value.isBoolean()) {
                builder.put(entry.getKey(), value.booleanValue());
            } else if (value.isIntegralNumber()) {
                builder.put(entry.getKey(), value.longValue());
            } else if (value.isNumber()) {
                builder.put(entry.getKey(), value.doubleValue());
            } else if (value.isArray() && value.path(0).isIntegralNumber()) {
                List<Long> numbers = new ArrayList<>();
                value.forEach(element -> numbers.add(element.longValue()));
                builder.put(AttributeKey.longArrayKey(entry.getKey()), numbers);
            } else if (value.isArray()) {
                List<String> texts = new ArrayList<>();
                value.forEach(element -> texts.add(element.asText()));
                builder.put(AttributeKey.stringArrayKey(entry.getKey()), texts);
            }
        }
        return builder.build();
    }

    /** libpq's variables as a URL.  JDBC knows no Unix sockets, so a folder means this machine. */
    static Connection connect() throws Exception {
        String host = System.getenv().getOrDefault("PGHOST", "localhost");
        return DriverManager.getConnection(
            "jdbc:postgresql://%s:%s/%s?user=%s".formatted(
                host.startsWith("/") ? "127.0.0.1" : host,
                System.getenv().getOrDefault("PGPORT", "5432"),
                System.getenv("PGDATABASE"),
                System.getenv("PGUSER")));
    }

    public static void main(String[] args) throws Exception {
        OpenTelemetrySdk sdk = AutoConfiguredOpenTelemetrySdk.initialize().getOpenTelemetrySdk();
        try (Connection connection = connect();
                Statement statement = connection.createStatement()) {
            connection.setAutoCommit(false);
            SpanBuilder builder = sdk.getTracer("make_reports").spanBuilder("make_reports")
                .setNoParent().setSpanKind(SpanKind.CONSUMER);
            try (ResultSet rows = statement.executeQuery(CLAIM_AND_LINK)) {
                while (rows.next()) {
                    builder.setAttribute("messaging.batch.message_count", rows.getLong("requests"));
                    if (rows.getString("trace_id") != null) {
                        addLink(builder, rows);
                    }
                }
            }
            Span span = builder.startSpan();
            // … make the reports …
            connection.commit();
            span.end();
        }
        // The SDK exports what it has as the virtual machine shuts down.
    }
}
