// The application that test.py runs, with comments or with the documented listener, traced by the
// agent or by the starter.
package jobs;

import io.opentelemetry.api.OpenTelemetry;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.StreamSupport;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.core.simple.JdbcClient;
import org.springframework.transaction.support.TransactionTemplate;
import requests.Requests;

public class Client {
    @Configuration(proxyBeanMethods = false)
    @EnableAutoConfiguration
    static class Application {
    }

    @Configuration(proxyBeanMethods = false)
    @Import({Application.class, SendTraceContext.class})
    static class WithListener {
    }

    static void insert(ConfigurableApplicationContext application, String how) throws Exception {
        JpaJobs jpa = application.getBean(JpaJobs.class);
        JdbcJobs jdbc = application.getBean(JdbcJobs.class);
        JdbcTemplate template = application.getBean(JdbcTemplate.class);
        JdbcClient client = application.getBean(JdbcClient.class);
        TransactionTemplate transaction = application.getBean(TransactionTemplate.class);
        String insert = "INSERT INTO jobs (payload) VALUES (?)";

        for (int i = 1; i <= 8; i++) {
            Requests.request(how + ", JPA, save, " + i, name -> jpa.save(new Job(name)));
            Requests.request(how + ", JDBC, save, " + i, name -> jdbc.save(new JdbcJob(name)));
        }
        Requests.request(how + ", JPA, saveAll", name -> {
            List<Job> jobs = new ArrayList<>();
            for (int i = 0; i < 25; i++) jobs.add(new Job(name));
            jpa.saveAll(jobs);
        });
        Requests.request(how + ", JDBC, saveAll", name -> {
            List<JdbcJob> jobs = new ArrayList<>();
            for (int i = 0; i < 25; i++) jobs.add(new JdbcJob(name));
            jdbc.saveAll(jobs);
        });
        Requests.request(how + ", JdbcTemplate", name -> transaction.executeWithoutResult(
            status -> template.update(insert, name)));
        Requests.request(how + ", JdbcTemplate, batchUpdate", name ->
            transaction.executeWithoutResult(status -> template.batchUpdate(insert,
                List.of(new Object[] {name}, new Object[] {name}, new Object[] {name}))));
        Requests.request(how + ", JdbcClient", name -> transaction.executeWithoutResult(
            status -> client.sql(insert).param(name).update()));
        Requests.request(how + ", JdbcTemplate outside of a transaction", name ->
            template.update(insert, name));
        template.update(insert, how + ", outside of a request");
    }

    static void read(ConfigurableApplicationContext application, String how) throws Exception {
        String context = Requests.sql("SELECT trace_context::text FROM jobs WHERE payload = '"
            + how + ", JPA, save, 1'");
        Requests.is(application.getBean(JpaJobs.class)
            .findByContext(context.substring(0, 36) + "%").get(0).getTraceContext(), context,
            how + ", JPA reads the column");
        Requests.is(StreamSupport.stream(
            application.getBean(JdbcJobs.class).findAll().spliterator(), false)
            .filter(job -> job.traceContext != null && context.equals(job.traceContext.getValue()))
            .count(), 1L, how + ", JDBC reads the column");
        JdbcJob job = application.getBean(JdbcJobs.class).findById(Long.valueOf(Requests.sql(
            "SELECT id FROM jobs WHERE payload = '" + how + ", JPA, save, 1'"))).get();
        application.getBean(JdbcJobs.class).save(job);
        Requests.is(Requests.sql("SELECT trace_context::text FROM jobs WHERE payload = '" + how
            + ", JPA, save, 1'"), context, how + ", JDBC, an UPDATE leaves it");
    }

    static void test(String how) throws Exception {
        Requests.sql("CREATE SEQUENCE IF NOT EXISTS jobs_seq INCREMENT 50");
        Requests.sql("CREATE TABLE IF NOT EXISTS jobs (id bigint PRIMARY KEY "
            + "DEFAULT -nextval('jobs_seq'), payload varchar(255))");
        Requests.sql("SELECT otel.add_trace_context('jobs')");
        SpringApplication application = new SpringApplication(
            how.endsWith("listener") ? WithListener.class : Application.class);
        Map<String, Object> properties = new HashMap<>();
        properties.put("spring.datasource.url", Requests.url());
        properties.put("spring.main.web-application-type", "none");
        properties.put("spring.main.banner-mode", "off");
        properties.put("spring.jpa.hibernate.ddl-auto", "validate");
        properties.put("spring.jpa.properties.hibernate.jdbc.batch_size", "10");
        properties.put("spring.data.jpa.repositories.bootstrap-mode", "default");
        application.setDefaultProperties(properties);
        try (ConfigurableApplicationContext context = application.run()) {
            // the starter's; the agent has none
            Requests.openTelemetry =
                context.getBeanProvider(OpenTelemetry.class).getIfAvailable();
            insert(context, how);
            read(context, how);
        }
    }

    public static void main(String[] arguments) {
        Requests.main(Client::test, arguments[0]);
    }
}
