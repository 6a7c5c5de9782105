// The application that test.py runs, with the agent's comments or with the documented inspector.
import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.GeneratedValue;
import jakarta.persistence.GenerationType;
import jakarta.persistence.Id;
import jakarta.persistence.SequenceGenerator;
import jakarta.persistence.Table;
import java.util.List;
import jobs.Job;
import jobs.TraceComment;
import org.hibernate.SessionFactory;
import org.hibernate.annotations.ColumnDefault;
import org.hibernate.annotations.Generated;
import org.hibernate.cfg.Configuration;
import requests.Requests;

public class Client {
    // as somebody would write it who does not read the page
    @Entity(name = "Bare")
    @Table(name = "bare_jobs")
    public static class Bare {
        @Id
        Long id;
        @Column(name = "trace_context")
        String traceContext;
    }

    // one that does not know the column
    @Entity(name = "Unaware")
    @Table(name = "jobs")
    public static class Unaware {
        @Id
        @GeneratedValue(strategy = GenerationType.SEQUENCE, generator = "jobs_seq")
        @SequenceGenerator(name = "jobs_seq", allocationSize = 50)
        Long id;
        String payload;
    }

    // one that reads the value back after the INSERT
    @Entity(name = "ReadBack")
    @Table(name = "jobs")
    public static class ReadBack {
        @Id
        @GeneratedValue(strategy = GenerationType.SEQUENCE, generator = "jobs_seq")
        @SequenceGenerator(name = "jobs_seq", allocationSize = 50)
        Long id;
        String payload;
        @Generated
        @Column(name = "trace_context", insertable = false, updatable = false,
            columnDefinition = "\"otel\".\"trace_context\"")
        String traceContext;
    }

    static SessionFactory factory(boolean inspector, String hbm2ddl, Class<?>... entities) {
        Configuration configuration = new Configuration();
        for (Class<?> entity : entities) configuration.addAnnotatedClass(entity);
        configuration.setProperty("hibernate.connection.url", Requests.url());
        configuration.setProperty("hibernate.hbm2ddl.auto", hbm2ddl);
        configuration.setProperty("hibernate.jdbc.batch_size", "10");
        if (inspector) {
            configuration.setProperty("hibernate.session_factory.statement_inspector",
                TraceComment.class.getName());
        }
        return configuration.buildSessionFactory();
    }

    static String column(String table) throws Exception {
        return Requests.sql("SELECT format_type(atttypid, atttypmod) || ' ' || "
            + "coalesce(pg_get_expr(adbin, adrelid), '') FROM pg_attribute "
            + "LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
            + "WHERE attrelid = '" + table + "'::regclass AND attname = 'trace_context'");
    }

    // The table is there, with a row, before Hibernate adds the column.
    static void update() throws Exception {
        Requests.sql("CREATE TABLE jobs (id bigint PRIMARY KEY, payload varchar(255))");
        Requests.sql("INSERT INTO jobs VALUES (-1, 'a row that is there already')");
        for (String hbm2ddl : List.of("update", "update", "validate")) {
            factory(false, hbm2ddl, Job.class).close();
            Requests.is(column("jobs"), "otel.trace_context otel.current_trace_context()",
                "hbm2ddl=" + hbm2ddl + " leaves the column its type and its default");
        }
        Requests.sql("CREATE TABLE bare_jobs (id bigint PRIMARY KEY)");
        Requests.sql("SELECT otel.add_trace_context('bare_jobs')");
        factory(false, "update", Bare.class).close();
        Requests.is(column("bare_jobs").startsWith("character varying"), true,
            "hbm2ddl=update turns that of a bare String into a varchar, as the page says");
    }

    static void insert(SessionFactory factory, String how) throws Exception {
        for (int i = 1; i <= 8; i++) {
            Requests.request(how + ", persist, " + i, name ->
                factory.inTransaction(session -> session.persist(new Job(name))));
        }
        Requests.request(how + ", a batch", name -> factory.inTransaction(session -> {
            for (int i = 0; i < 25; i++) session.persist(new Job(name));
        }));
        Requests.request(how + ", an entity that does not know the column", name ->
            factory.inTransaction(session -> {
                Unaware job = new Unaware();
                job.payload = name;
                session.persist(job);
            }));
        Requests.request(how + ", @Generated", name -> factory.inTransaction(session -> {
            ReadBack job = new ReadBack();
            job.payload = name;
            session.persist(job);
            session.flush();
            Requests.is(job.traceContext != null, true, how + ", @Generated reads it back");
        }));
        Requests.request(how + ", HQL", name -> factory.inTransaction(session ->
            session.createMutationQuery("insert into Unaware (payload) values (:payload)")
                .setParameter("payload", name).executeUpdate()));
        Requests.request(how + ", a stateless session", name ->
            factory.inStatelessTransaction(session -> session.insert(new Job(name))));
        Requests.request(how + ", native SQL", name -> factory.inTransaction(session ->
            session.createNativeMutationQuery("INSERT INTO jobs (id, payload) VALUES (?, ?)")
                .setParameter(1, -how.length()).setParameter(2, name).executeUpdate()));
    }

    static void query(SessionFactory factory, String how) throws Exception {
        String context = Requests.sql("SELECT trace_context::text FROM jobs WHERE payload = '"
            + how + ", persist, 1'");
        factory.inTransaction(session -> {
            Requests.is(session.createQuery("from Job where traceContext = '" + context + "'",
                Job.class).getResultCount(), 1L, how + ", HQL: = of a literal");
            Requests.is(session.createQuery("from Job where traceContext = :context", Job.class)
                .setParameter("context", context).list().get(0).getTraceContext(), context,
                how + ", HQL: = of a parameter");
            Requests.is(session.createQuery("from Job where traceContext like :pattern", Job.class)
                .setParameter("pattern", context.substring(0, 36) + "%").getResultCount(), 1L,
                how + ", HQL: LIKE");
            Requests.is(session.createQuery("select traceContext from Job group by traceContext "
                + "order by traceContext", String.class).list().size() > 8, true,
                how + ", HQL: group by, order by");
        });
    }

    static void test(String how) throws Exception {
        if (how.equals("comments")) update();
        try (SessionFactory factory = factory(how.equals("inspector"), "none", Job.class,
                 Unaware.class, ReadBack.class)) {
            insert(factory, how);
            query(factory, how);
        }
    }

    public static void main(String[] arguments) {
        Requests.main(Client::test, arguments[0]);
    }
}
