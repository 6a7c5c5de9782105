// Quartz: a column of its table of triggers.
import io.opentelemetry.api.trace.SpanContext;
import java.io.InputStream;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.quartz.Job;
import org.quartz.JobBuilder;
import org.quartz.JobDetail;
import org.quartz.JobExecutionContext;
import org.quartz.JobExecutionException;
import org.quartz.JobKey;
import org.quartz.Scheduler;
import org.quartz.SimpleScheduleBuilder;
import org.quartz.Trigger;
import org.quartz.TriggerBuilder;
import org.quartz.TriggerKey;
import org.quartz.impl.StdSchedulerFactory;

public class Quartz {
    static final Date LATER = Date.from(Instant.now().plusSeconds(3600));
    static final Map<String, List<String>> seen = new ConcurrentHashMap<>();
    static volatile boolean installed;

    // what a job finds in the row of the trigger that fired it; "retry" fails once
    public static class Report implements Job {
        @Override
        public void execute(JobExecutionContext context) throws JobExecutionException {
            TriggerKey key = context.getTrigger().getKey();
            List<String> attempts =
                seen.computeIfAbsent(key.getName(), k -> new CopyOnWriteArrayList<>());
            try {
                attempts.add(installed ? String.valueOf(stored(key.getName())) : "");
            } catch (Exception e) {
                throw new JobExecutionException(e);
            }
            if (key.getName().equals("retry") && attempts.size() == 1) {
                throw new JobExecutionException("as the test wants it", true);
            }
            if (key.getName().equals("fails")) throw new JobExecutionException("for good");
        }
    }

    static String stored(String trigger) throws Exception {
        return Harness.sql("SELECT otel_context::text FROM qrtz_triggers WHERE trigger_name = '"
            + trigger + "'");
    }

    static JobDetail job(String name) {
        return JobBuilder.newJob(Report.class).withIdentity(name).build();
    }

    static Trigger trigger(String name, Date start) {
        return TriggerBuilder.newTrigger().withIdentity(name).startAt(start).build();
    }

    static Scheduler scheduler() throws Exception {
        Properties properties = new Properties();
        properties.put("org.quartz.scheduler.instanceName", "test");
        properties.put("org.quartz.threadPool.threadCount", "2");
        properties.put("org.quartz.jobStore.class", "org.quartz.impl.jdbcjobstore.JobStoreTX");
        properties.put("org.quartz.jobStore.driverDelegateClass",
            "org.quartz.impl.jdbcjobstore.PostgreSQLDelegate");
        properties.put("org.quartz.jobStore.dataSource", "test");
        properties.put("org.quartz.dataSource.test.provider", "hikaricp");
        properties.put("org.quartz.dataSource.test.driver", "org.postgresql.Driver");
        properties.put("org.quartz.dataSource.test.URL", Harness.url());
        properties.put("org.quartz.dataSource.test.user", System.getenv("PGUSER"));
        properties.put("org.quartz.dataSource.test.password", "");
        Scheduler scheduler = new StdSchedulerFactory(properties).getScheduler();
        scheduler.start();
        return scheduler;
    }

    static void fired(String name, int times) throws Exception {
        Harness.until(() -> seen.containsKey(name) && seen.get(name).size() >= times, name);
    }

    // by the trigger that triggerJob() makes
    static List<String> manual() {
        return seenBy("MT_");
    }

    // by the trigger that a scheduler makes for what another one left
    static List<String> recovered() {
        return seenBy("recover_");
    }

    static List<String> seenBy(String prefix) {
        return seen.entrySet().stream().filter(entry -> entry.getKey().startsWith(prefix))
            .map(Map.Entry::getValue).findFirst().orElse(null);
    }

    static void running(Scheduler scheduler) throws Exception {
        SpanContext request = Harness.request(() ->
            scheduler.scheduleJob(job("retry"), trigger("retry", new Date())));
        fired("retry", 2);
        Harness.row(seen.get("retry").get(0), request,
            "a scheduler that runs goes on, and a job sees the context by its trigger's name");
        Harness.row(seen.get("retry").get(1), request, "and again when it is fired anew");

        request = Harness.request(() ->
            scheduler.scheduleJob(job("fails"), trigger("fails", new Date())));
        Harness.until(() -> seen.containsKey("fails") && stored("fails") == null, "a failure");
        Harness.row(seen.get("fails").get(0), request,
            "so does a job that fails for good, whose trigger is deleted");

        request = Harness.request(() -> scheduler.scheduleJob(job("twice"),
            TriggerBuilder.newTrigger().withIdentity("twice").startNow()
                .withSchedule(SimpleScheduleBuilder.simpleSchedule()
                    .withIntervalInMilliseconds(200).withRepeatCount(1)).build()));
        fired("twice", 2);
        Harness.row(seen.get("twice").get(1), request, "so does the second run of a trigger");

        scheduler.addJob(JobBuilder.newJob(Report.class).withIdentity("durable").storeDurably()
            .build(), false);
        request = Harness.request(() -> scheduler.triggerJob(JobKey.jobKey("durable")));
        Harness.until(() -> manual() != null && !manual().isEmpty(), "triggerJob");
        Harness.row(manual().get(0), request, "so does a job that triggerJob fires");
    }

    static void rows(Scheduler scheduler) throws Exception {
        List<SpanContext> requests = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            String name = "later " + i;
            requests.add(Harness.request(() ->
                scheduler.scheduleJob(job(name), trigger(name, LATER))));
            Harness.row(stored(name), requests.get(i), "scheduleJob, " + i);
        }
        requests.add(Harness.request(() -> scheduler.scheduleJobs(Map.of(
            job("bulk 1"), Set.of(trigger("bulk 1", LATER)),
            job("bulk 2"), Set.of(trigger("bulk 2", LATER))), false)));
        Harness.row(stored("bulk 1"), requests.get(10), "scheduleJobs, one");
        Harness.row(stored("bulk 2"), requests.get(10), "scheduleJobs, the other");
        requests.add(Harness.request(() ->
            Harness.copy("qrtz_triggers", "trigger_name", "by SQL", "trigger_name = 'later 2'")));
        Harness.row(stored("by SQL"), requests.get(11), "a trigger that SQL adds");

        requests.set(0, Harness.request(() -> scheduler.rescheduleJob(
            TriggerKey.triggerKey("later 0"), trigger("later 0", LATER))));
        Harness.row(stored("later 0"), requests.get(0),
            "rescheduleJob makes a new trigger, which has the context of that request");
        SpanContext request = Harness.request(() -> {
            scheduler.pauseJob(JobKey.jobKey("later 1"));
            scheduler.resumeJob(JobKey.jobKey("later 1"));
        });
        Harness.row(stored("later 1"), requests.get(1),
            "a job that is paused and resumed keeps it");
        Harness.batch(requests);
    }

    public static class Crash implements Job {
        @Override
        public void execute(JobExecutionContext context) throws JobExecutionException {
            if (context.isRecovering()) {
                new Report().execute(context);
            } else {
                Runtime.getRuntime().halt(0);
            }
        }
    }

    // A scheduler whose process ends in the middle of a job; the next one runs that again.
    static void recover() throws Exception {
        new ProcessBuilder("java", "-cp", System.getProperty("java.class.path"), "Quartz", "crash")
            .inheritIO().start().waitFor();
        Scheduler scheduler = scheduler();
        Harness.until(() -> recovered() != null && !recovered().isEmpty(), "recovery");
        Harness.is(recovered().get(0), "null",
            "a job that is recovered has a trigger of the scheduler's, without a context");
        scheduler.shutdown(true);
    }

    static void crash() throws Exception {
        scheduler().scheduleJob(JobBuilder.newJob(Crash.class).withIdentity("crash")
            .requestRecovery().build(), trigger("crash", new Date()));
        Thread.sleep(60_000);
    }

    static void test() throws Exception {
        try (InputStream tables = Job.class.getResourceAsStream(
                 "/org/quartz/impl/jdbcjobstore/tables_postgres.sql")) {
            Harness.sql(new String(tables.readAllBytes()));
        }
        Scheduler scheduler = scheduler();
        // beyond pgjdbc's prepareThreshold, so that its statements have names
        for (int i = 0; i < 12; i++) {
            scheduler.scheduleJob(job("before " + i), trigger("before " + i, new Date()));
            fired("before " + i, 1);
        }
        String before = Harness.shape("qrtz_triggers");
        Harness.sql(Harness.documented("capture.sql"));
        installed = true;
        running(scheduler);
        rows(scheduler);
        scheduler.shutdown(true);
        recover();
        Harness.takeOff("qrtz_triggers", before);
        scheduler = scheduler();
        scheduler.scheduleJob(job("after"), trigger("after", LATER));
        scheduler.shutdown(true);
    }

    public static void main(String[] arguments) {
        Harness.main(arguments.length > 0 ? Quartz::crash : Quartz::test);
    }
}
