import io.r2dbc.postgresql.PostgresqlConnectionConfiguration;
import io.r2dbc.postgresql.PostgresqlConnectionFactory;
import io.r2dbc.postgresql.api.PostgresqlConnection;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.pgclient.PgConnectOptions;
import io.vertx.pgclient.PgConnection;
import io.vertx.sqlclient.Tuple;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import reactor.core.publisher.Mono;

/** Vert.x and r2dbc-postgresql with statements that carry a comment. Prints TAP lines. */
public class Reactive {
    static final String INSERT_LITERAL = "INSERT INTO prepared_jobs (how) VALUES ('x')";

    static <T> T await(Future<T> future) throws Exception {
        return future.toCompletionStage().toCompletableFuture().get(30, TimeUnit.SECONDS);
    }

    // ---- Vert.x ----

    static String recorded(PgConnection connection) throws Exception {
        return await(connection.query(Request.TAKE).execute()).iterator().next().getString(0);
    }

    static Future<?> insert(PgConnection connection, int request) {
        return connection.preparedQuery(Request.insert("$1", request)).execute(Tuple.of("x"));
    }

    /** Executions that are sent at once. */
    static void insertTogether(PgConnection connection, int request, int rows) throws Exception {
        await(Future.all(IntStream.range(0, rows)
            .mapToObj(row -> insert(connection, request)).toList()));
    }

    static void tryVertx(Vertx vertx, PgConnectOptions options, boolean cached) throws Exception {
        var connection = await(
            PgConnection.connect(vertx, options.setCachePreparedStatements(cached)));
        var name = "Vert.x, " + (cached ? "cached statements" : "no cache");

        for (int i = 0; i < 3; i++) {
            await(insert(connection, 1));
        }
        Request.is(recorded(connection), cached ? "1--" : "111",
            name + ", the same text in three requests");
        for (int request = 2; request <= 4; request++) {
            await(insert(connection, request));
        }
        Request.is(recorded(connection), "234", name + ", a text for each request");
        await(connection.preparedQuery(Request.insert("$1", 5))
            .executeBatch(Collections.nCopies(5, Tuple.of("x"))));
        Request.is(recorded(connection), "55555", name + ", executeBatch");
        var transaction = await(connection.begin());
        insertTogether(connection, 6, 4);
        await(transaction.commit());
        Request.is(recorded(connection), "6666", name + ", a pipeline in a transaction");

        var kept = await(connection.prepare(Request.insert("$1", 7)));
        for (int i = 0; i < 3; i++) {
            await(kept.query().execute(Tuple.of("x")));
        }
        Request.is(recorded(connection), "7--", name + ", prepare(), three requests");
        var early = await(connection.prepare(Request.insert("$1", 8)));
        await(connection.query("SELECT pg_sleep(1.1)").execute());
        await(early.query().execute(Tuple.of("x")));
        Request.is(recorded(connection), "-", name + ", prepared when the program started");
        await(connection.query(INSERT_LITERAL + "; " + INSERT_LITERAL + Request.comment(9))
            .execute());
        Request.is(recorded(connection), "99", name + ", two statements in one call");
        await(connection.close());
    }

    // ---- r2dbc-postgresql ----

    static String recorded(PostgresqlConnection connection) {
        return connection.createStatement(Request.TAKE).execute()
            .flatMap(result -> result.map((row, data) -> row.get(0, String.class))).blockLast();
    }

    static Mono<Long> insert(PostgresqlConnection connection, int request) {
        return connection.createStatement(Request.insert("$1", request)).bind("$1", "x").execute()
            .flatMap(result -> result.getRowsUpdated()).last();
    }

    /** Four rows of one statement; each is a transaction of its own, unless one is open. */
    static void insertTogether(PostgresqlConnection connection, int request) {
        var many = connection.createStatement(Request.insert("$1", request)).bind("$1", "x");
        for (int i = 1; i < 4; i++) {
            many.add().bind("$1", "x");
        }
        many.execute().flatMap(result -> result.getRowsUpdated()).blockLast();
    }

    /** Statements that are kept: -1 keeps all, as is the default, 0 none. */
    static void tryR2dbc(PostgresqlConnectionConfiguration.Builder options, int cached,
            String kept) {
        var connection = new PostgresqlConnectionFactory(
            options.preparedStatementCacheQueries(cached).build()).create().block();
        var name = "r2dbc, preparedStatementCacheQueries " + cached;

        for (int i = 0; i < 3; i++) {
            insert(connection, 1).block();
        }
        Request.is(recorded(connection), kept, name + ", the same text in three requests");
        for (int request = 2; request <= 4; request++) {
            insert(connection, request).block();
        }
        Request.is(recorded(connection), "234", name + ", a text for each request");
        insertTogether(connection, 5);
        Request.is(recorded(connection), cached == 0 ? "5555" : "5---", name + ", add()");
        connection.beginTransaction().block();
        insertTogether(connection, 8);
        connection.commitTransaction().block();
        Request.is(recorded(connection), "8888", name + ", add() in a transaction");
        connection.beginTransaction().block();
        for (int i = 0; i < 4; i++) {
            insert(connection, 6).block();
        }
        connection.commitTransaction().block();
        Request.is(recorded(connection), "6666", name + ", four rows of one transaction");
        connection.createBatch().add(INSERT_LITERAL).add(INSERT_LITERAL + Request.comment(7))
            .execute().flatMap(result -> result.getRowsUpdated()).blockLast();
        Request.is(recorded(connection), "77", name + ", a batch of two statements");
        connection.close().block();
    }

    public static void main(String[] arguments) throws Exception {
        var port = Integer.parseInt(System.getenv("PGPORT"));
        var user = System.getenv("PGUSER");
        var database = System.getenv("PGDATABASE");
        var vertx = Vertx.vertx();
        var options = new PgConnectOptions().setHost("127.0.0.1").setPort(port).setUser(user)
            .setDatabase(database);
        for (var cached : List.of(false, true)) {
            tryVertx(vertx, options, cached);
        }
        await(vertx.close());
        var configuration = PostgresqlConnectionConfiguration.builder().host("127.0.0.1")
            .port(port).username(user).database(database);
        tryR2dbc(configuration, -1, "1--");
        tryR2dbc(configuration, 0, "111");
    }
}
