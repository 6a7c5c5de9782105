import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.postgresql.util.PGobject;

/** What pgjdbc does with otel.trace_context. Prints TAP lines. */
public class Client {
    static final String SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    static final String STATE =
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03;rojo=1,congo=2";

    static void is(Object got, Object expected, String name) {
        boolean ok = Objects.equals(got, expected);
        System.out.println((ok ? "ok" : "not ok") + " - pgjdbc: " + name);
        if (!ok) {
            System.out.println("# got " + got + ", expected " + expected);
        }
    }

    static List<String> strings(Connection connection, String query) throws SQLException {
        List<String> result = new ArrayList<>();
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(query)) {
            while (rows.next()) {
                result.add(rows.getString(1));
            }
        }
        return result;
    }

    static String stateOf(PreparedStatement statement) {
        try {
            statement.executeUpdate();
            return null;
        } catch (SQLException e) {
            return e.getSQLState();
        }
    }

    static Connection connect() throws SQLException {
        String host = System.getenv().getOrDefault("PGHOST", "127.0.0.1");
        String user = System.getenv().getOrDefault("PGUSER", "postgres");
        return DriverManager.getConnection(
                String.format("jdbc:postgresql://%s:%s/%s",
                        host.startsWith("/") ? "127.0.0.1" : host,
                        System.getenv().getOrDefault("PGPORT", "5432"),
                        System.getenv().getOrDefault("PGDATABASE", user)),
                user, System.getenv("PGPASSWORD"));
    }

    static void write(Connection connection) throws SQLException {
        try (PreparedStatement insert =
                connection.prepareStatement("INSERT INTO items VALUES (?, ?)")) {
            insert.setInt(1, 1);
            insert.setString(2, SAMPLED);
            insert.executeUpdate();
            insert.setInt(1, 2);
            insert.setObject(2, STATE);
            insert.executeUpdate();
            insert.setInt(1, 3);
            insert.setNull(2, Types.VARCHAR);
            insert.executeUpdate();
            insert.setInt(1, 4);
            insert.setObject(2, null);
            insert.executeUpdate();
            insert.setInt(1, 5);
            insert.setNull(2, Types.OTHER);
            insert.executeUpdate();
            insert.setInt(1, 6);
            insert.setObject(2, SAMPLED, Types.OTHER);
            insert.executeUpdate();
            PGobject object = new PGobject();
            object.setType("otel.trace_context");
            object.setValue(STATE);
            insert.setInt(1, 7);
            insert.setObject(2, object);
            insert.executeUpdate();
            // past the threshold the server has the statement prepared
            for (int id = 8; id < 16; id++) {
                insert.setInt(1, id);
                insert.setString(2, SAMPLED);
                insert.addBatch();
                insert.executeBatch();
            }
            insert.setInt(1, 20);
            insert.setString(2, "nope");
            is(stateOf(insert), "22P02", "an invalid String raises 22P02");
        }
    }

    static void read(Connection connection) throws SQLException {
        List<String> expected = new ArrayList<>(
                Arrays.asList(SAMPLED, STATE, null, null, null, SAMPLED, STATE));
        for (int id = 8; id < 16; id++) {
            expected.add(SAMPLED);
        }
        is(strings(connection, "SELECT context FROM items ORDER BY id"), expected,
                "setString, setObject, setNull (VARCHAR and OTHER) and PGobject write; "
                        + "getString reads");
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(
                        "SELECT context FROM items WHERE id IN (2, 3) ORDER BY id")) {
            rows.next();
            Object value = rows.getObject(1);
            is(value instanceof PGobject, true, "getObject reads a PGobject");
            is(((PGobject) value).getValue(), STATE, "whose value is the text form");
            // with the schema, and quoted, until the driver has looked the name up for a
            // setObject()
            is(((PGobject) value).getType().replace("\"", "").replace("otel.", ""),
                    "trace_context", "the type of that PGobject is trace_context");
            rows.next();
            is(rows.getObject(1), null, "getObject reads null");
        }
        try (PreparedStatement query = connection.prepareStatement(
                "SELECT id FROM items WHERE context = ?::otel.trace_context AND id < 4")) {
            query.setString(1, SAMPLED);
            try (ResultSet rows = query.executeQuery()) {
                is(rows.next() && rows.getInt(1) == 1 && !rows.next(), true,
                        "setString compares, with a cast");
            }
        }
    }

    static void arrays(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(
                        "SELECT array_agg(context ORDER BY id) FROM items WHERE id < 4")) {
            rows.next();
            Object[] elements = (Object[]) rows.getArray(1).getArray();
            List<String> got = new ArrayList<>();
            for (Object element : elements) {
                got.add(element == null ? null : element.toString());
            }
            is(got, Arrays.asList(SAMPLED, STATE, null), "getArray reads an array, of PGobject");
        }
        try (PreparedStatement query =
                connection.prepareStatement("SELECT otel.span_id(c) FROM unnest(?) c")) {
            Array array =
                    connection.createArrayOf("otel.trace_context", new String[] {SAMPLED, STATE});
            query.setArray(1, array);
            List<String> got = new ArrayList<>();
            try (ResultSet rows = query.executeQuery()) {
                while (rows.next()) {
                    got.add(rows.getString(1));
                }
            }
            is(got, Arrays.asList("00f067aa0ba902b7", "b7ad6b7169203331"),
                    "createArrayOf(\"otel.trace_context\", …) writes an array");
        }
    }

    public static void main(String[] args) throws SQLException {
        try (Connection connection = connect()) {
            try (Statement statement = connection.createStatement()) {
                statement.execute(
                        "CREATE TEMPORARY TABLE items (id int, context otel.trace_context)");
            }
            write(connection);
            read(connection);
            arrays(connection);
        }
    }
}
