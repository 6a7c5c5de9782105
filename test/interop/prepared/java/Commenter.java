import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.ContextPropagators;
import io.opentelemetry.instrumentation.jdbc.datasource.JdbcTelemetry;
import io.opentelemetry.instrumentation.jdbc.datasource.internal.Experimental;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.HashMap;
import javax.sql.DataSource;
import org.apache.commons.dbcp2.DataSourceConnectionFactory;
import org.apache.commons.dbcp2.PoolableConnection;
import org.apache.commons.dbcp2.PoolableConnectionFactory;
import org.apache.commons.dbcp2.PoolingDataSource;
import org.apache.commons.pool2.impl.GenericObjectPool;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * OpenTelemetry's JDBC instrumentation with its SQL commenter, over pgjdbc. Each row says which
 * trace its request had, and is compared with the context that was recorded. Prints TAP lines.
 */
public class Commenter {
    static final String INSERT = "INSERT INTO prepared_jobs (how) VALUES (?)";
    static final int REQUESTS = 8;

    final OpenTelemetrySdk otel = OpenTelemetrySdk.builder()
        .setTracerProvider(SdkTracerProvider.builder().build())
        .setPropagators(ContextPropagators.create(W3CTraceContextPropagator.getInstance()))
        .build();
    final Tracer tracer = otel.getTracer("test");

    interface Work {
        void run(String trace) throws SQLException;
    }

    void request(Work work) throws SQLException {
        var span = tracer.spanBuilder("request").startSpan();
        try (var scope = span.makeCurrent()) {
            work.run(span.getSpanContext().getTraceId());
        } finally {
            span.end();
        }
    }

    static DataSource plain(String options) {
        var source = new PGSimpleDataSource();
        source.setUrl("jdbc:postgresql://127.0.0.1:" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE") + "?user=" + System.getenv("PGUSER") + options);
        return source;
    }

    /** What an application makes of a data source: comments in front of or after its statements. */
    DataSource commented(DataSource source, boolean prepend) {
        var builder = JdbcTelemetry.builder(otel);
        Experimental.setSqlCommenterEnabled(builder, true);
        Experimental.setSqlCommenterPropagator(builder, W3CTraceContextPropagator.getInstance());
        Experimental.setSqlCommenterPrepend(builder, prepend);
        return builder.build().wrap(source);
    }

    /** The rows since the last call: + its request's trace, - none, X another request's. */
    static String recorded(Connection connection) throws SQLException {
        try (var statement = connection.createStatement();
             var rows = statement.executeQuery(
                 "WITH gone AS (DELETE FROM prepared_jobs RETURNING id, how, trace_context)"
                 + " SELECT string_agg(CASE WHEN trace_context IS NULL THEN '-'"
                 + " WHEN otel.trace_id(trace_context) = how THEN '+' ELSE 'X' END, ''"
                 + " ORDER BY id) FROM gone")) {
            rows.next();
            return rows.getString(1);
        }
    }

    static void insert(PreparedStatement statement, String trace) throws SQLException {
        statement.setString(1, trace);
        statement.executeUpdate();
    }

    void tryNew(Connection connection, Connection watcher, String name) throws SQLException {
        for (int i = 0; i < REQUESTS; i++) {
            request(trace -> {
                try (var statement = connection.prepareStatement(INSERT)) {
                    insert(statement, trace);
                }
            });
        }
        Request.is(recorded(watcher), "++++++++", name + ", a statement for each request");
        request(trace -> {
            try (var statement = connection.prepareStatement(INSERT)) {
                for (int i = 0; i < REQUESTS; i++) {
                    statement.setString(1, trace);
                    statement.addBatch();
                }
                statement.executeBatch();
            }
        });
        Request.is(recorded(watcher), "++++++++", name + ", a batch");
        connection.setAutoCommit(false);
        request(trace -> {
            try (var statement = connection.prepareStatement(INSERT)) {
                for (int i = 0; i < REQUESTS; i++) {
                    insert(statement, trace);
                }
            }
        });
        connection.commit();
        connection.setAutoCommit(true);
        Request.is(recorded(watcher), "++++++++", name + ", a loop in a transaction");
    }

    /** One statement in all requests, with the comment of the first. */
    void keep(Connection connection) throws SQLException {
        var kept = new PreparedStatement[1];
        for (int i = 0; i < REQUESTS; i++) {
            request(trace -> {
                if (kept[0] == null) {
                    kept[0] = connection.prepareStatement(INSERT);
                }
                insert(kept[0], trace);
            });
        }
        kept[0].close();
    }

    /** Sends the context once for each transaction, whatever comment the statement has. */
    void keepAndSend(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        var kept = new PreparedStatement[2];
        for (int i = 0; i < REQUESTS; i++) {
            request(trace -> {
                if (kept[0] == null) {
                    kept[0] = connection.prepareStatement(INSERT);
                    kept[1] = connection.prepareStatement("SELECT otel.set_trace_context(?)");
                }
                var carrier = new HashMap<String, String>();
                otel.getPropagators().getTextMapPropagator()
                    .inject(Context.current(), carrier, HashMap::put);
                kept[1].setString(1, carrier.get("traceparent"));
                kept[1].execute();
                insert(kept[0], trace);
                connection.commit();
            });
        }
        connection.setAutoCommit(true);
    }

    void tryKept(Connection watcher) throws SQLException {
        try (var connection = commented(plain(""), false).getConnection()) {
            keep(connection);
            Request.is(recorded(watcher), "+XXXX---",
                "JDBC commenter, a kept statement: no server can tell up to prepareThreshold");
            keepAndSend(connection);
            Request.is(recorded(watcher), "++++++++",
                "JDBC commenter, a kept statement, cured by set_trace_context()");
        }
        try (var connection = commented(plain("&prepareThreshold=1"), false).getConnection()) {
            keep(connection);
            Request.is(recorded(watcher), "+-------",
                "JDBC commenter, a kept statement, cured by prepareThreshold=1");
        }
        var sources = "&options=-c%20otel.context_sources=transaction,session";
        try (var connection = commented(plain(sources), false).getConnection()) {
            keep(connection);
            Request.is(recorded(watcher), "--------",
                "JDBC commenter, a kept statement, cured by otel.context_sources");
        }
    }

    /** A pool that keeps statements, as DBCP's poolPreparedStatements does. */
    static DataSource pooled(DataSource source) {
        var factory = new PoolableConnectionFactory(new DataSourceConnectionFactory(source), null);
        factory.setPoolStatements(true);
        var connections = new GenericObjectPool<PoolableConnection>(factory);
        connections.setMaxTotal(1);
        factory.setPool(connections);
        return new PoolingDataSource<>(connections);
    }

    void tryPool(DataSource source, Connection watcher, String expected, String name)
            throws SQLException {
        for (int i = 0; i < REQUESTS; i++) {
            request(trace -> {
                try (var connection = source.getConnection();
                     var statement = connection.prepareStatement(INSERT)) {
                    insert(statement, trace);
                }
            });
        }
        Request.is(recorded(watcher), expected, name);
    }

    void tryPools(Connection watcher) throws SQLException {
        tryPool(pooled(commented(plain(""), false)), watcher, "+XXXX---",
            "JDBC commenter below DBCP's pool of statements: they are kept");
        tryPool(pooled(commented(plain("&prepareThreshold=1"), false)), watcher, "+-------",
            "JDBC commenter below DBCP's pool of statements, cured by prepareThreshold=1");
        tryPool(commented(pooled(plain("")), false), watcher, "++++++++",
            "JDBC commenter above DBCP's pool of statements, as the agent is: no text is kept");
    }

    public static void main(String[] arguments) throws SQLException {
        var commenter = new Commenter();
        try (var watcher = plain("").getConnection()) {
            var modes = new String[] {"", "&prepareThreshold=1", "&prepareThreshold=0",
                "&preferQueryMode=simple"};
            for (var options : modes) {
                for (var prepend : new boolean[] {false, true}) {
                    var source = commenter.commented(plain(options), prepend);
                    try (var connection = source.getConnection()) {
                        commenter.tryNew(connection, watcher, "JDBC commenter"
                            + options.replace("&", ", ") + (prepend ? ", prepended" : ""));
                    }
                }
            }
            commenter.tryKept(watcher);
            commenter.tryPools(watcher);
        }
    }
}
