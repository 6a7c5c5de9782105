// JobRunr: a column of its table of jobs, which an older release made and the newer one migrates.
import com.zaxxer.hikari.HikariDataSource;
import io.opentelemetry.api.trace.SpanContext;
import java.io.File;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jobrunr.configuration.JobRunr;
import org.jobrunr.scheduling.JobScheduler;
import org.jobrunr.server.BackgroundJobServerConfiguration;
import org.jobrunr.server.runner.ThreadLocalJobContext;
import org.jobrunr.storage.sql.common.SqlStorageProviderFactory;

public class Jobrunr {
    static volatile boolean installed;
    static final Instant LATER = Instant.now().plusSeconds(3600);

    public static class Jobs {
        static final Map<String, List<String>> seen = new ConcurrentHashMap<>();

        @org.jobrunr.jobs.annotations.Job(retries = 1)
        public void report(String name, int fails) throws Exception {
            UUID id = ThreadLocalJobContext.getJobContext().getJobId();
            List<String> attempts = seen.computeIfAbsent(name, n -> new CopyOnWriteArrayList<>());
            attempts.add(installed ? stored(id) : "");
            if (attempts.size() <= fails) throw new IllegalStateException("as the test wants it");
        }
    }

    static String stored(UUID id) throws Exception {
        return Harness.sql("SELECT otel_context::text FROM jobrunr_jobs WHERE id = '" + id + "'");
    }

    static String state(UUID id) throws Exception {
        return Harness.sql("SELECT state FROM jobrunr_jobs WHERE id = '" + id + "'");
    }

    // The tables as an older release makes them, which must not see the newer one's migrations.
    static void createOldTables() throws Exception {
        String libraries = Stream.of(new File("lib").listFiles()).map(File::getPath)
            .filter(path -> !path.contains("jobrunr")).collect(Collectors.joining(":"));
        new ProcessBuilder("java", "-cp", "old/*:" + libraries,
            "org.jobrunr.storage.sql.common.DatabaseCreator", Harness.url(),
            System.getenv("PGUSER"), "").redirectErrorStream(true)
            .redirectOutput(new File("jobrunr-old.log")).start().waitFor();
    }

    static String migrations() throws Exception {
        return Harness.sql("SELECT count(*) FROM jobrunr_migrations");
    }

    static JobScheduler start(HikariDataSource pool) {
        return JobRunr.configure().useStorageProvider(SqlStorageProviderFactory.using(pool))
            .useBackgroundJobServer(BackgroundJobServerConfiguration
                .usingStandardBackgroundJobServerConfiguration().andWorkerCount(2)
                .andPollInterval(Duration.ofSeconds(5)))
            .initialize().getJobScheduler();
    }

    static void running(JobScheduler scheduler) throws Exception {
        UUID[] ids = new UUID[2];
        SpanContext request = Harness.request(() ->
            ids[0] = scheduler.<Jobs>enqueue(jobs -> jobs.report("retry", 1)).asUUID());
        SpanContext failed = Harness.request(() ->
            ids[1] = scheduler.<Jobs>enqueue(jobs -> jobs.report("fails", 99)).asUUID());
        Harness.until(() -> state(ids[0]).equals("SUCCEEDED"), "a retry");
        List<String> attempts = Jobs.seen.get("retry");
        Harness.is(attempts.size(), 2, "a server that runs goes on, and retries");
        Harness.row(attempts.get(0), request, "the worker sees the context by its job's id");
        Harness.row(attempts.get(1), request, "and again when it retries");
        Harness.row(stored(ids[0]), request, "a job that succeeded keeps it");
        Harness.until(() -> state(ids[1]).equals("FAILED"), "a failure");
        Harness.row(stored(ids[1]), failed, "a job that failed for good keeps it");
    }

    static void rows(JobScheduler scheduler) throws Exception {
        List<SpanContext> requests = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            UUID[] id = new UUID[1];
            requests.add(Harness.request(() -> id[0] =
                scheduler.<Jobs>schedule(LATER, jobs -> jobs.report("later", 0)).asUUID()));
            Harness.row(stored(id[0]), requests.get(i), "schedule, " + i);
        }
        UUID copy = UUID.randomUUID();
        requests.add(Harness.request(() ->
            Harness.copy("jobrunr_jobs", "id", copy.toString(), "state = 'SCHEDULED'")));
        Harness.row(stored(copy), requests.get(10), "a job that SQL adds");
        Harness.batch(requests);

        SpanContext bulk = Harness.request(() -> scheduler.<Jobs, Integer>enqueue(
            IntStream.range(0, 5).boxed(), (jobs, n) -> jobs.report("bulk", 0)));
        String bulks = "SELECT %s FROM jobrunr_jobs WHERE jobasjson LIKE '%%bulk%%'";
        Harness.until(() -> Harness.sql(String.format(bulks, "count(*)")).equals("5"),
            "five jobs of a stream");
        for (String context : Harness.sql(String.format(bulks,
                 "string_agg(coalesce(otel_context::text, 'NULL'), ' ')")).split(" ")) {
            Harness.row(context, bulk, "enqueue of a stream, each of five jobs");
        }
    }

    static void test() throws Exception {
        try (HikariDataSource pool = Harness.pool()) {
            createOldTables();
            Harness.sql("SELECT otel.add_trace_context('jobrunr_jobs', 'otel_context')");
            String migrations = migrations();
            JobScheduler scheduler = start(pool);
            Harness.is(migrations.equals(migrations()), false,
                "the newer one migrates them, with the column in them, and starts");
            Harness.sql("SELECT otel.remove_capture('jobrunr_jobs', 'otel_context')");
            Harness.sql("ALTER TABLE jobrunr_jobs DROP COLUMN otel_context");
            // beyond pgjdbc's prepareThreshold, so that its statements have names
            for (int i = 0; i < 12; i++) {
                String name = "before " + i;
                scheduler.<Jobs>enqueue(jobs -> jobs.report(name, 0));
            }
            Harness.until(() -> Jobs.seen.size() == 12, "jobs before the column");
            String before = Harness.shape("jobrunr_jobs");
            Harness.sql(Harness.documented("capture.sql"));
            installed = true;
            running(scheduler);
            rows(scheduler);
            JobRunr.destroy();
            JobScheduler restarted = start(pool);
            UUID[] id = new UUID[1];
            SpanContext request = Harness.request(() -> id[0] =
                restarted.<Jobs>schedule(LATER, jobs -> jobs.report("later", 0)).asUUID());
            Harness.row(stored(id[0]), request,
                "it starts again, as its check of the tables does not mind the column");
            JobRunr.destroy();
            Harness.takeOff("jobrunr_jobs", before);
        }
    }

    public static void main(String[] arguments) {
        Harness.main(Jobrunr::test);
    }
}
