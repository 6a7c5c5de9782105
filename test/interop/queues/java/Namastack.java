// Namastack Outbox, over JDBC: a column of its table, or the context that it keeps itself.
import com.fasterxml.jackson.databind.ObjectMapper;
import io.namastack.outbox.Outbox;
import io.namastack.outbox.annotation.OutboxHandler;
import io.namastack.outbox.handler.OutboxRecordMetadata;
import io.opentelemetry.api.trace.SpanContext;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.scheduling.annotation.EnableScheduling;
import org.springframework.transaction.support.TransactionTemplate;

public class Namastack {
    // what the handler found at each attempt, by mail: in the row and in the library's context
    static final Map<String, List<String>> seen = new ConcurrentHashMap<>();
    static final Map<String, List<String>> contexts = new ConcurrentHashMap<>();
    static volatile boolean installed;

    public record Mail(String id, int fails) {
    }

    public static class Handler {
        @OutboxHandler
        public void handle(Mail mail, OutboxRecordMetadata metadata) throws Exception {
            contexts.computeIfAbsent(mail.id(), id -> new CopyOnWriteArrayList<>())
                .add(String.valueOf(metadata.getContext().get("traceparent")));
            List<String> attempts =
                seen.computeIfAbsent(mail.id(), id -> new CopyOnWriteArrayList<>());
            attempts.add(installed ? row("otel_context", metadata.getKey()) : "");
            if (attempts.size() <= mail.fails()) {
                throw new IllegalStateException("as the test wants it");
            }
        }
    }

    @Configuration(proxyBeanMethods = false)
    @EnableAutoConfiguration(excludeName = {
        "org.springframework.modulith.events.jdbc.JdbcEventPublicationAutoConfiguration",
        "org.springframework.modulith.events.config.EventPublicationAutoConfiguration",
        "org.springframework.modulith.events.config.EventExternalizationAutoConfiguration"
    })
    @EnableScheduling
    @Import(Handler.class)
    public static class Application {
    }

    @Configuration(proxyBeanMethods = false)
    @Import({Application.class, TraceContextProvider.class})
    public static class WithProvider {
    }

    static String row(String column, String key) throws Exception {
        return Harness.sql("SELECT " + column + "::text FROM outbox_record WHERE record_key = '"
            + key + "'");
    }

    static void status(String key, String status) throws Exception {
        Harness.until(() -> status.equals(row("status", key)), key + ": " + status);
    }

    static ConfigurableApplicationContext start(Class<?> configuration) {
        SpringApplication application = new SpringApplication(configuration);
        Map<String, Object> properties = new HashMap<>();
        properties.put("spring.datasource.url", Harness.url());
        properties.put("spring.main.web-application-type", "none");
        properties.put("spring.main.banner-mode", "off");
        properties.put("namastack.outbox.poll-interval", "100");
        properties.put("namastack.outbox.retry.policy", "fixed");
        properties.put("namastack.outbox.retry.fixed.delay", "100");
        properties.put("namastack.outbox.retry.max-retries", "2");
        properties.put("namastack.outbox.jdbc.schema-initialization.enabled", "true");
        application.setDefaultProperties(properties);
        return application.run();
    }

    static void schedule(ConfigurableApplicationContext context, int fails, String... mails) {
        Outbox outbox = context.getBean(Outbox.class);
        context.getBean(TransactionTemplate.class).executeWithoutResult(transaction -> {
            for (String mail : mails) outbox.schedule(new Mail(mail, fails), mail);
        });
    }

    static void running(ConfigurableApplicationContext context) throws Exception {
        SpanContext request = Harness.request(() -> schedule(context, 1, "retry"));
        status("retry", "COMPLETED");
        Harness.is(seen.get("retry").size(), 2, "an application that runs goes on, and retries");
        Harness.row(seen.get("retry").get(0), request, "the handler finds the context by the key");
        Harness.row(seen.get("retry").get(1), request, "and again when it retries");
        Harness.row(row("otel_context", "retry"), request, "a record that is done keeps it");

        List<SpanContext> requests = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            String mail = "fails " + i;
            requests.add(Harness.request(() -> schedule(context, 99, mail)));
        }
        requests.add(Harness.request(() -> schedule(context, 99, "bulk 1", "bulk 2")));
        for (int i = 0; i < 10; i++) {
            status("fails " + i, "FAILED");
            Harness.row(row("otel_context", "fails " + i), requests.get(i),
                "schedule, " + i + ", and after it failed for good");
        }
        status("bulk 2", "FAILED");
        Harness.row(row("otel_context", "bulk 1"), requests.get(10), "two in a transaction, one");
        Harness.row(row("otel_context", "bulk 2"), requests.get(10), "and the other");
        requests.add(Harness.request(() ->
            Harness.copy("outbox_record", "id", "by SQL", "status = 'FAILED'")));
        Harness.row(Harness.sql("SELECT otel_context::text FROM outbox_record WHERE id = 'by SQL'"),
            requests.get(11), "a record that SQL adds");
        Harness.batch(requests);
    }

    static void provided(ConfigurableApplicationContext context) throws Exception {
        SpanContext request = Harness.request(() -> schedule(context, 1, "provided"));
        status("provided", "COMPLETED");
        Harness.row(row("otel.extract(context)", "provided"), request,
            "with a provider, otel.extract() reads the library's own context");
        Harness.row(contexts.get("provided").get(1), request,
            "and the handler gets it, also when it retries");
        Harness.is(new ObjectMapper().readTree(row("context", "provided")).isObject(), true,
            "it is an object of JSON");
    }

    static void test() throws Exception {
        ConfigurableApplicationContext context = start(Application.class);
        // beyond pgjdbc's prepareThreshold, so that its statements have names
        for (int i = 0; i < 12; i++) schedule(context, 0, "before " + i);
        for (int i = 0; i < 12; i++) status("before " + i, "COMPLETED");
        String before = Harness.shape("outbox_record");
        Harness.sql(Harness.documented("capture.sql"));
        installed = true;
        running(context);
        installed = false;
        Harness.takeOff("outbox_record", before);
        schedule(context, 0, "after");
        status("after", "COMPLETED");
        context.close();
        try (ConfigurableApplicationContext other = start(WithProvider.class)) {
            provided(other);
        }
    }

    public static void main(String[] arguments) {
        Harness.main(Namastack::test);
    }
}
