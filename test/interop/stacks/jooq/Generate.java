// Runs the changelog, and jOOQ's code generator with the documented part of its configuration.
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import liquibase.Liquibase;
import liquibase.database.Database;
import liquibase.database.DatabaseFactory;
import liquibase.database.jvm.JdbcConnection;
import liquibase.resource.DirectoryResourceAccessor;
import org.jooq.codegen.GenerationTool;
import requests.Requests;

public class Generate {
    static void update() throws Exception {
        try (Connection connection = DriverManager.getConnection(Requests.url())) {
            Database database = DatabaseFactory.getInstance()
                .findCorrectDatabaseImplementation(new JdbcConnection(connection));
            new Liquibase("changelog.yaml", new DirectoryResourceAccessor(Path.of(".")), database)
                .update("");
        }
    }

    static void test(String argument) throws Exception {
        update();
        update();
        Requests.is(Requests.sql("SELECT count(*) FROM databasechangelog"), "2",
            "Liquibase runs each change once");
        GenerationTool.generate("<configuration><jdbc><url>" + Requests.url() + "</url></jdbc>"
            + "<generator><database><inputSchema>public</inputSchema><includes>jobs</includes>"
            + Files.readString(Path.of("database.xml"))
            + "</database><generate><pojos>true</pojos></generate>"
            + "<target><packageName>jobs</packageName><directory>generated</directory></target>"
            + "</generator></configuration>");
    }

    public static void main(String[] arguments) {
        Requests.main(Generate::test, null);
    }
}
