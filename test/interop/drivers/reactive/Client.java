import io.r2dbc.postgresql.PostgresqlConnectionConfiguration;
import io.r2dbc.postgresql.PostgresqlConnectionFactory;
import io.r2dbc.postgresql.api.PostgresqlConnection;
import io.r2dbc.spi.R2dbcException;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.pgclient.PgConnectOptions;
import io.vertx.pgclient.PgConnection;
import io.vertx.sqlclient.Tuple;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import reactor.core.publisher.Flux;

/** What Vert.x and r2dbc-postgresql do with otel.trace_context. Prints TAP lines. */
public class Client {
    static final String SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    static final String STATE =
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03;rojo=1,congo=2";
    static final String CREATE =
        "CREATE TEMPORARY TABLE items (id int, context otel.trace_context)";
    static final String INSERT = "INSERT INTO items VALUES ($1, $2)";

    static void is(Object got, Object expected, String name) {
        var outcome = Objects.equals(got, expected) ? "ok" : "not ok";
        System.out.println(outcome + " - " + name);
        if (!Objects.equals(got, expected)) {
            System.out.println("# got " + got + ", expected " + expected);
        }
    }

    // ---- Vert.x ----

    static <T> T await(Future<T> future) throws Exception {
        return future.toCompletionStage().toCompletableFuture().get(30, TimeUnit.SECONDS);
    }

    /** The first column of what a statement returns, as Vert.x makes it. */
    static List<Object> vertx(PgConnection connection, String sql, Object... values)
            throws Exception {
        var rows = await(connection.preparedQuery(sql).execute(Tuple.from(values)));
        var result = new ArrayList<Object>();
        rows.forEach(row -> result.add(row.getValue(0)));
        return result;
    }

    static String error(PgConnection connection, String sql, Object... values) {
        try {
            vertx(connection, sql, values);
        } catch (Exception e) {
            return e.getMessage();
        }
        return "";
    }

    static void tryVertx(String host, int port, String user, String database) throws Exception {
        var vertx = Vertx.vertx();
        var connection = await(PgConnection.connect(vertx, new PgConnectOptions().setHost(host)
            .setPort(port).setUser(user).setDatabase(database)));
        await(connection.query(CREATE).execute());
        vertx(connection, INSERT, 1, SAMPLED);
        vertx(connection, INSERT, 2, STATE);
        vertx(connection, INSERT, 3, null);
        is(vertx(connection, "SELECT context FROM items ORDER BY id"),
            Arrays.asList(SAMPLED, STATE, null), "Vert.x: String and null, written and read");
        is(error(connection, INSERT, 4, "nope").contains("22P02"), true, "Vert.x: 22P02");
        is(vertx(connection, "SELECT id FROM items WHERE context = $1 AND id < 4", SAMPLED),
            List.of(1), "Vert.x: a String is compared");
        is(vertx(connection, "SELECT otel.span_id(c::otel.trace_context) FROM unnest($1::text[]) c",
            (Object) new String[] {SAMPLED, STATE}),
            List.of("00f067aa0ba902b7", "b7ad6b7169203331"), "Vert.x: an array as text[]");
        await(connection.close());
        await(vertx.close());
    }

    // ---- r2dbc-postgresql ----

    /** The first column of what a statement returns, as a String. */
    static List<String> r2dbc(PostgresqlConnection connection, String sql, Object... values) {
        var statement = connection.createStatement(sql);
        for (int i = 0; i < values.length; i++) {
            if (values[i] == null) {
                statement.bindNull(i, String.class);
            } else {
                statement.bind(i, values[i]);
            }
        }
        return Flux.from(statement.execute())
            .flatMap(result -> result.map((row, data) ->
                Objects.requireNonNullElse(row.get(0, String.class), "NULL")))
            .collectList().block();
    }

    static void tryR2dbc(String host, int port, String user, String database) {
        var connection = new PostgresqlConnectionFactory(PostgresqlConnectionConfiguration.builder()
            .host(host).port(port).username(user).database(database).build()).create().block();
        connection.createStatement(CREATE).execute().flatMap(r -> r.getRowsUpdated()).blockLast();
        r2dbc(connection, INSERT, 1, SAMPLED);
        r2dbc(connection, INSERT, 2, STATE);
        r2dbc(connection, INSERT, 3, null);
        is(r2dbc(connection, "SELECT context FROM items ORDER BY id"),
            List.of(SAMPLED, STATE, "NULL"), "r2dbc: String and null, written and read");
        String state = null;
        try {
            r2dbc(connection, INSERT, 4, "nope");
        } catch (R2dbcException e) {
            state = e.getSqlState();
        }
        is(state, "22P02", "r2dbc: an invalid String raises 22P02");
        is(r2dbc(connection, "SELECT id::text FROM items WHERE id < 4"
            + " AND context = $1::otel.trace_context", SAMPLED), List.of("1"),
            "r2dbc: a String is compared, with a cast");
        is(r2dbc(connection, "SELECT otel.span_id(c::otel.trace_context) FROM unnest($1::text[]) c",
            (Object) new String[] {SAMPLED, STATE}),
            List.of("00f067aa0ba902b7", "b7ad6b7169203331"), "r2dbc: an array as text[]");
        connection.close().block();
    }

    public static void main(String[] arguments) throws Exception {
        var port = Integer.parseInt(System.getenv("PGPORT"));
        var user = System.getenv("PGUSER");
        var database = System.getenv("PGDATABASE");
        tryVertx("127.0.0.1", port, user, database);
        tryR2dbc("127.0.0.1", port, user, database);
    }
}
