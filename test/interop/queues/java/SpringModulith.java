// Spring Modulith's registry of event publications, over JDBC: a column of its table.
import io.opentelemetry.api.trace.SpanContext;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.ApplicationEventPublisher;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.modulith.events.ApplicationModuleListener;
import org.springframework.modulith.events.IncompleteEventPublications;
import org.springframework.scheduling.annotation.EnableAsync;
import org.springframework.transaction.support.TransactionTemplate;

public class SpringModulith {
    @Configuration(proxyBeanMethods = false)
    @EnableAutoConfiguration(excludeName =
        "org.springframework.modulith.events.config.EventExternalizationAutoConfiguration")
    @EnableAsync
    @Import(Listener.class)
    public static class Application {
    }

    static final Set<String> failing = ConcurrentHashMap.newKeySet();
    static final Set<String> handled = ConcurrentHashMap.newKeySet();

    public record Ordered(String id) {
    }

    public static class Listener {
        @ApplicationModuleListener
        public void on(Ordered event) {
            if (failing.contains(event.id())) throw new IllegalStateException("as the test wants");
            handled.add(event.id());
        }
    }

    static String script(String version, String name) throws Exception {
        try (InputStream script = IncompleteEventPublications.class.getResourceAsStream(
                 "/org/springframework/modulith/events/jdbc/schemas/" + version + "/" + name)) {
            return new String(script.readAllBytes());
        }
    }

    static String column(String column, String event) throws Exception {
        return Harness.sql("SELECT " + column + "::text FROM event_publication "
            + "WHERE serialized_event LIKE '%\"" + event + "\"%'");
    }

    static ConfigurableApplicationContext start() {
        SpringApplication application = new SpringApplication(Application.class);
        Map<String, Object> properties = new HashMap<>();
        properties.put("spring.datasource.url", Harness.url());
        properties.put("spring.main.web-application-type", "none");
        properties.put("spring.main.banner-mode", "off");
        properties.put("spring.modulith.events.completion-mode", "archive");
        properties.put("namastack.outbox.enabled", "false");
        application.setDefaultProperties(properties);
        return application.run();
    }

    final ConfigurableApplicationContext application;

    SpringModulith(ConfigurableApplicationContext application) {
        this.application = application;
    }

    void publish(String... events) {
        ApplicationEventPublisher publisher = application;
        application.getBean(TransactionTemplate.class).executeWithoutResult(transaction -> {
            for (String event : events) publisher.publishEvent(new Ordered(event));
        });
    }

    void archived(String event) throws Exception {
        Harness.until(() -> Harness.sql("SELECT 1 FROM event_publication_archive "
            + "WHERE serialized_event LIKE '%\"" + event + "\"%'") != null, "archived: " + event);
    }

    SpanContext failed(String event) throws Exception {
        failing.add(event);
        SpanContext request = Harness.request(() -> publish(event));
        Harness.until(() -> "FAILED".equals(column("status", event)), "failed: " + event);
        return request;
    }

    void run() throws Exception {
        publish("first");
        archived("first");
        Harness.is(handled.contains("first"), true, "the new release runs over the old table");
        Harness.sql("SELECT otel.remove_capture('event_publication', 'otel_context')");
        Harness.sql("ALTER TABLE event_publication DROP COLUMN otel_context");
        // beyond pgjdbc's prepareThreshold, so that its statements have names
        for (int i = 0; i < 12; i++) {
            publish("before " + i);
            archived("before " + i);
        }
        String before = Harness.shape("event_publication");
        Harness.sql(Harness.documented("capture.sql"));
        Harness.request(() -> publish("while it runs"));
        archived("while it runs");

        SpanContext request = failed("retry");
        Harness.row(column("otel_context", "retry"), request,
            "an application that runs goes on; a publication has its request's context");
        String[] resubmitted = new String[1];
        Harness.request(() -> application.getBean(IncompleteEventPublications.class)
            .resubmitIncompletePublications(publication -> {
                try {
                    resubmitted[0] = Harness.sql("SELECT otel_context::text "
                        + "FROM event_publication WHERE id = '"
                        + publication.getIdentifier() + "'");
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
                return true;
            }));
        Harness.row(resubmitted[0], request, "who resubmits it finds the context by its id");
        Harness.until(() -> "2".equals(column("completion_attempts", "retry"))
            && "FAILED".equals(column("status", "retry")), "a second failure");
        Harness.row(column("otel_context", "retry"), request,
            "resubmitted by another request, and failed again, it keeps it");
        failing.clear();
        Harness.request(() -> application.getBean(IncompleteEventPublications.class)
            .resubmitIncompletePublications(publication -> true));
        archived("retry");
        Harness.is(column("id", "retry"), null, "once it is done the row is in the archive");
        linked();
        Harness.takeOff("event_publication", before);
        Harness.request(() -> publish("after"));
        archived("after");
    }

    void linked() throws Exception {
        List<SpanContext> requests = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            requests.add(failed("item " + i));
            Harness.row(column("otel_context", "item " + i), requests.get(i), "publishEvent, " + i);
        }
        failing.addAll(Set.of("bulk 1", "bulk 2"));
        requests.add(Harness.request(() -> publish("bulk 1", "bulk 2")));
        Harness.until(() -> "FAILED".equals(column("status", "bulk 1"))
            && "FAILED".equals(column("status", "bulk 2")), "two that fail");
        Harness.row(column("otel_context", "bulk 1"), requests.get(10),
            "two in a transaction, one");
        Harness.row(column("otel_context", "bulk 2"), requests.get(10), "and the other");
        String copy = "6a9a6c7e-6a5c-4e0e-8f0d-1d3c6d0e5b11";
        requests.add(Harness.request(() ->
            Harness.copy("event_publication", "id", copy, "status = 'FAILED'")));
        Harness.row(Harness.sql("SELECT otel_context::text FROM event_publication WHERE id = '"
            + copy + "'"), requests.get(11), "a publication that SQL adds");
        Harness.batch(requests);
    }

    static void test() throws Exception {
        Harness.sql(script("v1", "schema-postgresql.sql"));
        Harness.sql(Harness.documented("capture.sql"));
        // what 2.0 wants of a table of 1.x
        Harness.sql("ALTER TABLE event_publication ADD COLUMN status text, "
            + "ADD COLUMN completion_attempts int, ADD COLUMN last_resubmission_date timestamptz");
        Harness.sql(script("v2", "schema-postgresql-archive.sql"));
        new SpringModulith(start()).run();
    }

    public static void main(String[] arguments) {
        Harness.main(SpringModulith::test);
    }
}
