// The application that test.py runs: each request inserts jobs in another way.
import com.zaxxer.hikari.HikariDataSource;
import java.io.StringReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.commons.dbcp2.BasicDataSource;
import org.flywaydb.core.Flyway;
import org.postgresql.copy.CopyManager;
import org.postgresql.core.BaseConnection;
import requests.Requests;

public class Client {
    static final String INSERT = "INSERT INTO jobs (payload) VALUES (?)";

    static void insert(PreparedStatement statement, String payload) throws SQLException {
        statement.setString(1, payload);
        statement.executeUpdate();
    }

    static void batch(PreparedStatement statement, String payload, int count) throws SQLException {
        for (int i = 0; i < count; i++) {
            statement.setString(1, payload);
            statement.addBatch();
        }
        statement.executeBatch();
    }

    static void insertOnce(Connection connection, String payload) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
            insert(statement, payload);
        }
    }

    static void eight(Connection connection, String payload) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
            for (int i = 0; i < 8; i++) insert(statement, payload);
        }
    }

    static void copy(Connection connection, String payload) throws SQLException {
        try {
            new CopyManager(connection.unwrap(BaseConnection.class))
                .copyIn("COPY jobs (payload) FROM STDIN", new StringReader(payload + "\n"));
        } catch (java.io.IOException e) {
            throw new SQLException(e);
        }
    }

    static void migrate() throws Exception {
        for (int expected : new int[] {2, 0}) {
            Requests.request("a migration", name -> Requests.is(Flyway.configure()
                .dataSource(Requests.url(), null, null).locations("filesystem:migration").load()
                .migrate().migrationsExecuted, expected,
                "Flyway runs " + expected + " migrations"));
        }
    }

    static void statements(Connection connection) throws Exception {
        for (int i = 1; i <= 8; i++) {
            Requests.request("a statement for each request, " + i,
                name -> insertOnce(connection, name));
        }
        Requests.unsampled("an unsampled request", name -> insertOnce(connection, name));
        Requests.request("a batch", name -> {
            try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
                batch(statement, name, 3);
            }
        });
        Requests.request("a Statement", name -> {
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("INSERT INTO jobs (payload) VALUES ('" + name + "')");
            }
        });
        Requests.request("a semicolon at the end", name -> {
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("INSERT INTO jobs (payload) VALUES ('" + name + "');");
            }
        });
        Requests.request("a query with a semicolon", name -> {
            String error = null;
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery("SELECT 1;");
            } catch (SQLException e) {
                error = e.getMessage();
            }
            Requests.is(error, "Multiple ResultSets were returned by the query.",
                "a comment behind a query's semicolon is an error of pgjdbc's, as the page says");
        });
        Requests.request("generated keys", name -> {
            try (PreparedStatement statement =
                     connection.prepareStatement(INSERT, Statement.RETURN_GENERATED_KEYS)) {
                insert(statement, name);
            }
        });
        Requests.request("eight executions, each a transaction", name -> eight(connection, name));
        connection.setAutoCommit(false);
        Requests.request("eight executions in a transaction", name -> eight(connection, name));
        connection.commit();
        connection.setAutoCommit(true);
    }

    static String found(Connection connection, String condition, String context) {
        try (PreparedStatement statement =
                 connection.prepareStatement("SELECT count(*) FROM jobs WHERE " + condition)) {
            statement.setString(1, context);
            try (ResultSet result = statement.executeQuery()) {
                result.next();
                return result.getString(1);
            }
        } catch (SQLException e) {
            return e.getSQLState();
        }
    }

    static void parameters(Connection connection) throws Exception {
        String context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        try (PreparedStatement statement = connection.prepareStatement(
                 "INSERT INTO jobs (payload, trace_context) VALUES ('sent', ?)")) {
            insert(statement, context);
        }
        Requests.is(found(connection, "trace_context = CAST(? AS otel.trace_context)", context),
            "1", "an INSERT may send a string, and CAST of a parameter finds it");
        Requests.is(found(connection, "trace_context = ?", context), "42883",
            "without the CAST there is no operator, as the page says");
    }

    static void inTransaction(Connection connection) throws Exception {
        try (PreparedStatement kept = connection.prepareStatement(INSERT)) {
            for (int i = 1; i <= 8; i++) {
                Requests.request("InTransaction, " + i, name ->
                    InTransaction.run(connection, () -> {
                        insert(kept, name);
                        batch(kept, name, 1);
                        copy(connection, name);
                    }));
            }
        }
        copy(connection, "after InTransaction");
    }

    static void kept(Connection connection) throws Exception {
        PreparedStatement[] kept = new PreparedStatement[1];
        for (int i = 1; i <= 2; i++) {
            Requests.request("a statement kept over requests, " + i, name -> {
                if (kept[0] == null) kept[0] = connection.prepareStatement(INSERT);
                insert(kept[0], name);
            });
        }
    }

    // Twenty requests at once, over four connections.
    static void pool() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(20);
        try (HikariDataSource pool = Pool.open(Requests.url())) {
            List<Future<?>> requests = new ArrayList<>();
            for (int i = 1; i <= 20; i++) {
                String name = "a pool, " + i;
                requests.add(threads.submit(() -> {
                    Requests.request(name, n -> {
                        for (int k = 0; k < 8; k++) {
                            try (Connection connection = pool.getConnection()) {
                                eight(connection, n);
                            }
                        }
                    });
                    return null;
                }));
            }
            for (Future<?> request : requests) request.get();
        }
        threads.shutdown();
    }

    // A pool that keeps statements as well as connections.
    static void keepingPool() throws Exception {
        try (BasicDataSource pool = new BasicDataSource()) {
            pool.setUrl(Requests.url());
            pool.setMaxTotal(1);
            pool.setPoolPreparedStatements(true);
            for (int i = 1; i <= 8; i++) {
                Requests.request("a pool of statements, " + i, name -> {
                    try (Connection connection = pool.getConnection()) {
                        insertOnce(connection, name);
                    }
                });
            }
            for (int i = 1; i <= 8; i++) {
                Requests.request("a pool of statements, InTransaction, " + i, name -> {
                    try (Connection connection = pool.getConnection()) {
                        InTransaction.run(connection, () -> insertOnce(connection, name));
                    }
                });
            }
        }
    }

    static void test(String argument) throws Exception {
        migrate();
        try (Connection connection = DriverManager.getConnection(Requests.url())) {
            statements(connection);
            parameters(connection);
            inTransaction(connection);
            kept(connection);
        }
        pool();
        keepingPool();
    }

    public static void main(String[] arguments) {
        Requests.main(Client::test, null);
    }
}
