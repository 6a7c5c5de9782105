// db-scheduler: a column of its table, with either way of polling.
import com.github.kagkarlsson.scheduler.Scheduler;
import com.github.kagkarlsson.scheduler.SchedulerBuilder;
import com.github.kagkarlsson.scheduler.task.FailureHandler;
import com.github.kagkarlsson.scheduler.task.TaskInstanceId;
import com.github.kagkarlsson.scheduler.task.helper.OneTimeTask;
import com.github.kagkarlsson.scheduler.task.helper.RecurringTask;
import com.github.kagkarlsson.scheduler.task.helper.Tasks;
import com.github.kagkarlsson.scheduler.task.schedule.FixedDelay;
import com.zaxxer.hikari.HikariDataSource;
import io.opentelemetry.api.trace.SpanContext;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

public class DbScheduler {
    // as db-scheduler's documentation had it before there were priorities
    static final String TABLE = "CREATE TABLE scheduled_tasks (task_name text NOT NULL, "
        + "task_instance text NOT NULL, task_data bytea, execution_time timestamptz NOT NULL, "
        + "picked boolean NOT NULL, picked_by text, last_success timestamptz, "
        + "last_failure timestamptz, consecutive_failures int, last_heartbeat timestamptz, "
        + "version bigint NOT NULL, PRIMARY KEY (task_name, task_instance))";
    static final Instant LATER = Instant.now().plusSeconds(3600);

    // what the handler found at each attempt, by instance
    static final Map<String, List<String>> seen = new ConcurrentHashMap<>();
    static boolean installed;

    static String stored(String instance) throws Exception {
        return Harness.sql("SELECT otel_context::text FROM scheduled_tasks WHERE task_instance = '"
            + instance + "'");
    }

    static boolean gone(String instance) throws Exception {
        return Harness.sql("SELECT 1 FROM scheduled_tasks WHERE task_instance = '" + instance + "'")
            == null;
    }

    static void handle(String instance, int fails) {
        List<String> attempts = seen.computeIfAbsent(instance, i -> new CopyOnWriteArrayList<>());
        try {
            attempts.add(installed ? String.valueOf(stored(instance)) : "");
        } catch (Exception e) {
            attempts.add(e.getMessage());
        }
        if (attempts.size() <= fails) throw new IllegalStateException("as the test wants it");
    }

    static final OneTimeTask<Integer> REPORT = Tasks.oneTime("report", Integer.class)
        .onFailure(new FailureHandler.MaxRetriesFailureHandler<>(2,
            new FailureHandler.OnFailureRetryLater<>(Duration.ZERO)))
        .execute((instance, context) -> handle(instance.getId(), instance.getData()));

    static final RecurringTask<Void> TICK = Tasks.recurring("tick", FixedDelay.ofHours(1))
        .execute((instance, context) -> { });

    static Scheduler scheduler(HikariDataSource pool, boolean lockAndFetch, boolean priority) {
        SchedulerBuilder builder = Scheduler.create(pool, REPORT).startTasks(TICK).threads(2)
            .pollingInterval(Duration.ofMillis(100)).enableImmediateExecution();
        if (lockAndFetch) builder.pollUsingLockAndFetch(0.5, 1.0);
        if (priority) builder.enablePriority();
        Scheduler scheduler = builder.build();
        scheduler.start();
        return scheduler;
    }

    static void running(HikariDataSource pool, boolean lockAndFetch) throws Exception {
        String how = lockAndFetch ? "lock-and-fetch" : "fetch";
        Harness.sql("DROP TABLE IF EXISTS scheduled_tasks");
        Harness.sql(TABLE);
        installed = false;
        Scheduler scheduler = scheduler(pool, lockAndFetch, false);
        // beyond pgjdbc's prepareThreshold, so that its statements have names
        for (int i = 0; i < 12; i++) {
            String instance = how + " before " + i;
            scheduler.schedule(REPORT.instance(instance, 0), Instant.now());
            Harness.until(() -> seen.containsKey(instance) && gone(instance), instance);
        }
        String before = Harness.shape("scheduled_tasks");
        Harness.sql(Harness.documented("capture.sql"));
        installed = true;

        String retry = how + " retry";
        SpanContext request = Harness.request(() ->
            scheduler.schedule(REPORT.instance(retry, 1), Instant.now()));
        Harness.until(() -> seen.containsKey(retry) && gone(retry), retry);
        List<String> attempts = seen.get(retry);
        Harness.is(attempts.size(), 2, how + ": a scheduler that runs goes on, and retries");
        Harness.row(attempts.get(0), request, how + ": the handler sees the context");
        Harness.row(attempts.get(1), request, how + ": and again when it retries");

        String fails = how + " fails";
        request = Harness.request(() ->
            scheduler.schedule(REPORT.instance(fails, 99), Instant.now()));
        Harness.until(() -> seen.containsKey(fails) && gone(fails), fails);
        attempts = seen.get(fails);
        Harness.row(attempts.get(attempts.size() - 1), request,
            how + ": the last attempt of a task that fails for good sees it too");
        scheduler.stop();
        Harness.takeOff("scheduled_tasks", before);
    }

    static void rows(HikariDataSource pool) throws Exception {
        Harness.sql(Harness.documented("capture.sql"));
        Harness.sql("ALTER TABLE scheduled_tasks ADD COLUMN priority smallint");
        Scheduler scheduler = scheduler(pool, true, true);
        List<SpanContext> requests = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            String instance = "later " + i;
            requests.add(Harness.request(() ->
                scheduler.schedule(REPORT.instance(instance, 0), LATER)));
            Harness.row(stored(instance), requests.get(i),
                "schedule, " + i + ", with the column for priorities added after ours");
        }
        Harness.request(() -> scheduler.reschedule(TaskInstanceId.of("report", "later 0"),
            LATER.plusSeconds(1)));
        Harness.row(stored("later 0"), requests.get(0),
            "reschedule by another request leaves the first one's");
        requests.add(Harness.request(() -> scheduler.scheduleBatch(
            List.of(REPORT.instance("bulk 1", 0), REPORT.instance("bulk 2", 0)), LATER)));
        Harness.row(stored("bulk 1"), requests.get(10), "scheduleBatch, the first");
        Harness.row(stored("bulk 2"), requests.get(10), "scheduleBatch, the last");
        requests.add(Harness.request(() -> Harness.sql("INSERT INTO scheduled_tasks "
            + "(task_name, task_instance, execution_time, picked, version) "
            + "VALUES ('report', 'by SQL', now() + interval '1 hour', false, 1)")));
        Harness.row(stored("by SQL"), requests.get(11), "a task that SQL adds");
        Harness.batch(requests);
        Harness.is(Harness.sql("SELECT concat(count(*), ' ', count(otel_context)) "
            + "FROM scheduled_tasks WHERE task_name = 'tick'"), "1 0",
            "a recurring task, which the scheduler inserts, has none");
        scheduler.stop();
    }

    static void test() throws Exception {
        try (HikariDataSource pool = Harness.pool()) {
            running(pool, false);
            running(pool, true);
            rows(pool);
        }
    }

    public static void main(String[] arguments) {
        Harness.main(DbScheduler::test);
    }
}
