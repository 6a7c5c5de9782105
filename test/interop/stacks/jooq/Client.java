// The application that test.py runs, with the agent's comments or with the documented listener.
import static jobs.tables.Jobs.JOBS;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.util.ArrayList;
import java.util.List;
import jobs.tables.records.JobsRecord;
import org.jooq.DSLContext;
import org.jooq.SQLDialect;
import org.jooq.impl.DSL;
import org.jooq.impl.DefaultConfiguration;
import requests.Requests;

public class Client {
    interface Work {
        void run(DSLContext dsl, String name);
    }

    static void request(DSLContext dsl, String name, Work work) throws Exception {
        Requests.request(name, n -> dsl.transaction(c -> work.run(c.dsl(), n)));
    }

    static void insert(DSLContext dsl, String how) throws Exception {
        for (int i = 1; i <= 8; i++) {
            request(dsl, how + ", insertInto, " + i, (tx, name) ->
                tx.insertInto(JOBS).set(JOBS.PAYLOAD, name).execute());
        }
        request(dsl, how + ", several rows", (tx, name) ->
            tx.insertInto(JOBS, JOBS.PAYLOAD).values(name).values(name).values(name).execute());
        request(dsl, how + ", returning", (tx, name) ->
            Requests.is(tx.insertInto(JOBS).set(JOBS.PAYLOAD, name).returning(JOBS.TRACE_CONTEXT)
                .fetchOne().getTraceContext() != null, true, how + ", RETURNING the column"));
        request(dsl, how + ", a record", (tx, name) -> {
            JobsRecord job = tx.newRecord(JOBS);
            job.setPayload(name);
            job.store();
        });
        request(dsl, how + ", a record of a POJO", (tx, name) ->
            tx.newRecord(JOBS, new jobs.tables.pojos.Jobs(null, name, null)).store());
        request(dsl, how + ", batchInsert", (tx, name) -> {
            List<JobsRecord> jobs = new ArrayList<>();
            for (int i = 0; i < 25; i++) {
                jobs.add(tx.newRecord(JOBS));
                jobs.get(i).setPayload(name);
            }
            tx.batchInsert(jobs).execute();
        });
        request(dsl, how + ", plain SQL", (tx, name) ->
            tx.execute("INSERT INTO jobs (payload) VALUES (?)", name));
        Requests.request(how + ", outside of a transaction", name ->
            dsl.insertInto(JOBS).set(JOBS.PAYLOAD, name).execute());
    }

    static void update(DSLContext dsl, String how) {
        JobsRecord job = dsl.fetchAny(JOBS, JOBS.PAYLOAD.eq(how + ", a record"));
        String context = job.getTraceContext();
        job.changed(JOBS.PAYLOAD, true);
        job.changed(JOBS.TRACE_CONTEXT, true);
        job.store();
        Requests.is(dsl.fetchAny(JOBS, JOBS.PAYLOAD.eq(how + ", a record")).getTraceContext(),
            context, how + ", an UPDATE of all columns leaves it");
    }

    static void test(String how) throws Exception {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(Requests.url());
        config.setMaximumPoolSize(2);
        try (HikariDataSource pool = new HikariDataSource(config)) {
            DefaultConfiguration configuration = new DefaultConfiguration();
            configuration.setDataSource(pool);
            configuration.setSQLDialect(SQLDialect.POSTGRES);
            if (how.equals("listener")) configuration.set(new SendTraceContext());
            insert(DSL.using(configuration), how);
            update(DSL.using(configuration), how);
        }
    }

    public static void main(String[] arguments) {
        Requests.main(Client::test, arguments[0]);
    }
}
