// The application that test.py runs: each request inserts jobs in another way.
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.context.Scope;
import java.io.StringReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.Statement;
import org.postgresql.copy.CopyManager;
import org.postgresql.core.BaseConnection;

public class Client {
    static final String INSERT = "INSERT INTO jobs (how) VALUES (?)";

    interface Work {
        void run(String how) throws Exception;
    }

    static void request(String how, Work work) throws Exception {
        Span span = GlobalOpenTelemetry.getTracer("app").spanBuilder("request: " + how)
                .setNoParent().startSpan();
        try (Scope scope = span.makeCurrent()) {
            work.run(how);
        } finally {
            span.end();
        }
    }

    static void insert(PreparedStatement statement, String how) throws Exception {
        statement.setString(1, how);
        statement.executeUpdate();
    }

    static void batch(PreparedStatement statement, String how, int count) throws Exception {
        for (int i = 0; i < count; i++) {
            statement.setString(1, how);
            statement.addBatch();
        }
        statement.executeBatch();
    }

    static void eight(Connection connection, String how) throws Exception {
        try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
            for (int i = 0; i < 8; i++) insert(statement, how);
        }
    }

    static void copy(Connection connection, String how) throws Exception {
        new CopyManager(connection.unwrap(BaseConnection.class))
            .copyIn("COPY jobs (how) FROM STDIN", new StringReader(how + "\n"));
    }

    static void checked(Connection connection, PreparedStatement kept, String how)
            throws Exception {
        InTransaction.run(connection, () -> {
            try {
                insert(kept, how);
                batch(kept, how, 1);
                copy(connection, how);
            } catch (java.sql.SQLException e) {
                throw e;
            } catch (Exception e) {
                throw new java.sql.SQLException(e);
            }
        });
    }

    public static void main(String[] arguments) throws Exception {
        String url = String.format("jdbc:postgresql://127.0.0.1:%s/%s?user=%s",
            System.getenv("PGPORT"), System.getenv("PGDATABASE"), System.getenv("PGUSER"));
        try (Connection connection = DriverManager.getConnection(url)) {
            for (int i = 1; i <= 8; i++) {
                request("a statement for each request, " + i, how -> {
                    try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
                        insert(statement, how);
                    }
                });
            }
            request("a batch", how -> {
                try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
                    batch(statement, how, 3);
                }
            });
            request("a Statement", how -> {
                try (Statement statement = connection.createStatement()) {
                    statement.executeUpdate("INSERT INTO jobs (how) VALUES ('" + how + "')");
                }
            });
            request("generated keys", how -> {
                try (PreparedStatement statement =
                         connection.prepareStatement(INSERT, Statement.RETURN_GENERATED_KEYS)) {
                    insert(statement, how);
                }
            });
            request("eight executions, each a transaction", how -> eight(connection, how));
            connection.setAutoCommit(false);
            request("eight executions in a transaction", how -> eight(connection, how));
            connection.commit();
            connection.setAutoCommit(true);
            try (PreparedStatement kept = connection.prepareStatement(INSERT)) {
                for (int i = 1; i <= 8; i++) {
                    request("InTransaction, " + i, how -> checked(connection, kept, how));
                }
            }
            copy(connection, "after InTransaction");
            PreparedStatement[] kept = new PreparedStatement[1];
            for (int i = 1; i <= 2; i++) {
                request("a statement kept over requests, " + i, how -> {
                    if (kept[0] == null) kept[0] = connection.prepareStatement(INSERT);
                    insert(kept[0], how);
                });
            }
        }
    }
}
