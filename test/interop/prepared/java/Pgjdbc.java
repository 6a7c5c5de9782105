import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Properties;

/** pgjdbc with statements that carry a comment, in its query modes. Prints TAP lines. */
public class Pgjdbc {
    static String recorded(Connection connection) throws SQLException {
        try (var statement = connection.createStatement();
             var rows = statement.executeQuery(Request.TAKE)) {
            rows.next();
            return rows.getString(1);
        }
    }

    static void execute(PreparedStatement statement, int times) throws SQLException {
        for (int i = 0; i < times; i++) {
            statement.setString(1, "x");
            statement.executeUpdate();
        }
    }

    static void tryMode(String mode, int threshold, String kept) throws SQLException {
        var properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("preferQueryMode", mode);
        properties.setProperty("prepareThreshold", String.valueOf(threshold));
        var url = "jdbc:postgresql://127.0.0.1:" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE");
        var name = "pgjdbc, " + mode + ", prepareThreshold " + threshold;

        try (var connection = DriverManager.getConnection(url, properties)) {
            try (var statement = connection.prepareStatement(Request.insert("?", 1))) {
                execute(statement, 8);
            }
            Request.is(recorded(connection), kept,
                name + ", one PreparedStatement in eight requests");
            for (int request = 2; request <= 4; request++) {
                try (var statement = connection.prepareStatement(Request.insert("?", request))) {
                    execute(statement, 1);
                }
            }
            Request.is(recorded(connection), "234", name + ", a text for each request");
            try (var statement = connection.prepareStatement(Request.insert("?", 5))) {
                for (int i = 0; i < 8; i++) {
                    statement.setString(1, "x");
                    statement.addBatch();
                }
                statement.executeBatch();
            }
            Request.is(recorded(connection), "55555555", name + ", a batch");
            connection.setAutoCommit(false);
            try (var statement = connection.prepareStatement(Request.insert("?", 6))) {
                execute(statement, 8);
            }
            connection.commit();
            Request.is(recorded(connection), "66666666", name + ", eight rows of one transaction");
            connection.commit();
        }
    }

    public static void main(String[] arguments) throws SQLException {
        tryMode("simple", 5, "11111111");
        var modes = new String[] {"extended", "extendedForPrepared", "extendedCacheEverything"};
        for (var mode : modes) {
            // the JDBC commenter's kept statements: up to the threshold no server can tell
            tryMode(mode, 5, "11111---");
            tryMode(mode, 1, "1-------");
            tryMode(mode, 0, "11111111");
        }
    }
}
