"""Does the result match the input?  Checks every claim of the demo and prints TAP."""

import client

LINK_LIMIT = 128
REMOTE = 0x300  # of OTLP's flags: it is known whether the context is remote, and it is
LOCAL = 0x100  # the same, and it is not
RUN, BATCH, WAIT = "generate-daily-reports", "process-report-batch", "wait process-report-batch"
JOBS = "report-jobs"  # the database's service.name


class Proof:
    """Prints claims as TAP and counts those that do not hold."""

    def __init__(self):
        self.number = 0
        self.failed = 0

    def claim(self, holds, what, *why):
        self.number += 1
        self.failed += not holds
        print(f"{'ok' if holds else 'not ok'} {self.number} - {what}")
        if not holds:
            for reason in why:
                print(f"#   {reason}")

    def equal(self, got, wanted, what):
        self.claim(got == wanted, what, f"got    {got!r}", f"wanted {wanted!r}")

    def none(self, exceptions, what):
        self.claim(not exceptions, what, f"{len(exceptions)} exceptions, of them:", *exceptions[:3])


def prove(calls, connection, spans=None):
    """True when everything holds.  spans: what the receiver got; None with another collector."""
    proof = Proof()
    prove_rows(proof, calls, connection)
    if spans is not None:
        prove_client(proof, calls, spans)
        prove_job(proof, connection, spans)
        prove_links(proof, calls, connection, spans)
        prove_waits(proof, calls, connection, spans)
        prove_ways(proof, spans)
        prove_chain(proof, connection, spans)
    prove_looking_back(proof, calls, connection)
    prove_status(proof, connection)
    print(f"1..{proof.number}")
    return not proof.failed


def context(span):
    return span["trace_id"], span["span_id"]


def batches(spans):
    """The batch span and the parts that carry the links it has no room for, in their order."""
    parts = [
        s
        for s in spans
        if s["resource"]["attributes"].get("service.name") == JOBS and s["name"] not in (RUN, WAIT)
    ]
    return sorted(parts, key=lambda s: s["attributes"].get("otel_links.part.index", 1))


def sent_with(calls):
    """The call that inserted each row that should have a context, by the row's id."""
    return {id: call for call in calls if call.valid for id in call.request_ids}


def prove_rows(proof, calls, connection):
    rows = dict(connection.execute("SELECT id, trace_context::text FROM report_requests"))
    sent = {id: call.context for call in calls for id in call.request_ids}
    proof.equal(sorted(rows), sorted(sent), f"{len(sent)} report requests were inserted")
    proof.equal(
        connection.execute(
            "SELECT count(DISTINCT otel.trace_id(trace_context)) FROM report_requests"
        ).fetchone()[0],
        client.REQUESTS,
        f"they come from {client.REQUESTS} traces",
    )
    for way, what in (
        ("comment", "in a comment of the INSERT"),
        ("function", "by otel.set_trace_context()"),
    ):
        proof.none(
            [
                (id, rows.get(id), call.context)
                for call in calls
                if call.way == way
                for id in call.request_ids
                if rows.get(id) != call.context
            ],
            f"each row has the context that came {what}, NULL where that was none or malformed",
        )
    proof.equal(
        connection.execute("""
            SELECT count(*), count(DISTINCT batch_id), count(*) FILTER (WHERE status = 'done')
            FROM reports JOIN report_requests ON id = request_id""").fetchone(),
        (300, 1, 300),
        "one run of the job made a report for each of the 300",
    )


def prove_client(proof, calls, spans):
    got = [s for s in spans if s["resource"]["attributes"].get("service.name") == client.SERVICE]
    inserts = {context(s): s for s in got if s["name"] == client.INSERT_SPAN}
    requests = {context(s): s for s in got if s["name"] == client.REQUEST_SPAN}
    valid = [call for call in calls if call.valid]
    proof.equal(
        (len(got), len(requests), len(inserts)),
        (client.REQUESTS + len(valid), client.REQUESTS, len(valid)),
        "the receiver got the service's own spans, one a request and one a transaction",
    )
    proof.none(
        [call for call in valid if (call.trace_id, call.span_id) not in inserts],
        "the context of each row is that of a span which the service exported",
    )
    proof.none(
        [s for s in inserts.values() if (s["trace_id"], s["parent_span_id"]) not in requests],
        "and each of these spans is part of a request",
    )


def prove_job(proof, connection, spans):
    runs = [s for s in spans if s["name"] == RUN]
    parts = batches(spans)
    count = -(
        -connection.execute("SELECT count(trace_context) FROM report_requests").fetchone()[0]
        // LINK_LIMIT
    )
    proof.equal(
        (len(runs), len(parts)),
        (1, count),
        f"the receiver got the job's span, and the batch's in {count} parts",
    )
    if len(runs) != 1 or not parts:
        return
    run, batch, *further = runs + parts
    batch_id = connection.execute("SELECT min(batch_id::text) FROM reports").fetchone()[0]
    requested = {s["trace_id"] for s in spans if s["name"] == client.REQUEST_SPAN}

    proof.equal(
        (run["parent_span_id"], run["trace_id"] in requested),
        ("", False),
        f"{RUN} begins a trace of its own",
    )
    proof.equal((batch["trace_id"], batch["parent_span_id"]), context(run), f"{BATCH} is its child")
    times = [
        run["start_time_unix_nano"],
        batch["start_time_unix_nano"],
        batch["end_time_unix_nano"],
        run["end_time_unix_nano"],
    ]
    proof.claim(times == sorted(times), "the child's time lies within its parent's", times)
    proof.equal(
        (run["kind"], batch["kind"]),
        ("internal", "consumer"),
        "their kinds are internal and consumer",
    )
    proof.equal((run["status"]["code"], batch["status"]["code"]), ("ok", "ok"), "both ended well")
    proof.equal(
        (run["flags"], batch["flags"]),
        (0x103, 0x103),
        "both are sampled, of a random trace id, with no remote parent",
    )
    proof.equal(
        (run["attributes"], run["links"]),
        ({"job.type": "scheduled", "job.schedule": "0 6 * * *"}, []),
        f"{RUN} has the attributes the job gave it, and no links",
    )
    attributes = {
        k: v
        for k, v in batch["attributes"].items()
        if k not in ("batch.oldest_wait", "otel_links.part.index", "otel_links.part.count")
    }
    proof.equal(
        attributes,
        {"batch.size": 300, "batch.id": batch_id, "reports.generated": 300},
        f"{BATCH} has the attributes the job gave it",
    )
    proof.none(
        [
            s
            for s in further
            if (s["trace_id"], s["parent_span_id"], s["kind"]) != (*context(batch), batch["kind"])
            or s["start_time_unix_nano"] != batch["start_time_unix_nano"]
            or f"part {s['attributes']['otel_links.part.index']} of {count}" not in s["name"]
        ],
        "the further parts are its children, of its kind and time, and their names say so",
    )
    proof.equal(
        (batch["resource"]["attributes"].get("service.name"), batch["scope"]["name"]),
        (JOBS, "otel_links"),
        "service and instrumentation scope are named",
    )


def prove_links(proof, calls, connection, spans):
    parts = batches(spans)
    links = [link for part in parts for link in part["links"]]
    ids = [link["attributes"].get("report.request_id") for link in links]
    sent = sent_with(calls)

    def told(link):
        return link["trace_id"], link["span_id"], link["trace_state"], link["flags"]

    def wanted(call):
        return call.trace_id, call.span_id, call.tracestate or "", call.flags | REMOTE

    proof.none(
        [link for id, link in zip(ids, links) if id not in sent or told(link) != wanted(sent[id])],
        "every link is the context that the client sent with that request",
    )
    proof.none(
        [s["name"] for s in parts if len(s["links"]) > LINK_LIMIT],
        f"no span has more than {LINK_LIMIT} links",
    )
    proof.equal(
        ids, sorted(sent), "every pending request with a context is linked exactly once, in order"
    )
    proof.equal(sum(s["dropped_links_count"] for s in parts), 0, "no link is dropped")

    names = ("report.request_id", "report.user_id", "report.requested_at", "link.type")
    attributes = {
        row[0]: dict(zip(names, row))
        for row in connection.execute(
            "SELECT id, user_id, to_jsonb(created_at) #>> '{}', 'triggered_by' FROM report_requests"
        )
    }
    proof.none(
        [link for id, link in zip(ids, links) if link["attributes"] != attributes.get(id)],
        "each link tells request, user, time and why",
    )


def prove_waits(proof, calls, connection, spans):
    waits = [s for s in spans if s["name"] == WAIT]
    sent = sent_with(calls)
    batch = batches(spans)[0]
    created = dict(
        connection.execute(
            "SELECT id, (extract(epoch FROM created_at) * 1000000)::bigint * 1000 "
            "FROM report_requests"
        )
    )

    def parent(span):
        return span["trace_id"], span["parent_span_id"], span["trace_state"]

    def wanted(call):
        return call.trace_id, call.span_id, call.tracestate or ""

    ids = [s["attributes"].get("report.request_id") for s in waits]
    proof.equal(sorted(ids), sorted(sent), "each request with a context has one wait")
    proof.none(
        [s for id, s in zip(ids, waits) if id not in sent or parent(s) != wanted(sent[id])],
        "it is in the request's trace, a child of the span that inserted the row",
    )
    proof.none(
        [
            s
            for id, s in zip(ids, waits)
            if s["start_time_unix_nano"] != created.get(id)
            or not batch["start_time_unix_nano"]
            <= s["end_time_unix_nano"]
            <= batch["end_time_unix_nano"]
        ],
        "it lasts from the row's insertion until the batch has it",
    )
    proof.none(
        [
            s
            for s in waits
            if [(context(link), link["flags"] & LOCAL) for link in s["links"]]
            != [(context(batch), LOCAL)]
        ],
        "it is linked to the batch span",
    )
    proof.equal(
        {(s["kind"], s["status"]["code"]) for s in waits},
        {("consumer", "unset")},
        "its kind is consumer, its status unset",
    )


def prove_ways(proof, spans):
    """From each end of a link, the other one can be found."""
    received = {context(s) for s in spans}
    batch = batches(spans)
    proof.none(
        [link for s in spans for link in s["links"] if context(link) not in received],
        "every link leads to a span that the receiver got",
    )
    forth = {link["trace_id"] for s in batch for link in s["links"]}
    back = {s["trace_id"] for s in spans if s["name"] == WAIT}
    asked = {s["trace_id"] for s in spans if s["name"] == client.REQUEST_SPAN}
    proof.claim(
        forth == back == asked,
        f"the batch leads to each of the {len(asked)} requests' traces, and each of them back",
        len(forth),
        len(back),
        len(asked),
    )


def prove_chain(proof, connection, spans):
    contexts = connection.execute(
        "SELECT DISTINCT otel.trace_id(trace_context), otel.span_id(trace_context) FROM reports"
    ).fetchall()
    proof.equal(
        contexts,
        [context(batches(spans)[0])],
        "every report carries the batch span's context on to whoever works on it next",
    )


def prove_looking_back(proof, calls, connection):
    call = next(call for call in calls if call.valid)
    found = connection.execute(
        "SELECT what, place, count(*) FROM otel.find_trace(%s) GROUP BY 1, 2 ORDER BY 1, 2",
        (call.trace_id,),
    ).fetchall()
    rows = sum(c.rows for c in calls if c.valid and c.trace_id == call.trace_id)
    proof.equal(
        [f for f in found if f[0] != "linked from"],
        [("row", "public.report_requests.trace_context", rows), ("span", "exported", rows)],
        "otel.find_trace() finds a request's row and its wait",
    )
    linked = connection.execute(
        "SELECT DISTINCT otel.trace_id(context) FROM otel.linked_from(%s)", (call.trace_id,)
    ).fetchall()
    batch = connection.execute(
        "SELECT otel.trace_id(trace_context) FROM reports LIMIT 1"
    ).fetchall()
    proof.equal(linked, batch, "otel.linked_from() leads from the request to the batch")


def prove_status(proof, connection):
    proof.equal(
        connection.execute("SELECT count(*) FROM otel.span_queue").fetchone()[0],
        0,
        "the queue is empty",
    )
    waits = connection.execute("SELECT count(trace_context) FROM report_requests").fetchone()[0]
    wanted = 1 + -(-waits // LINK_LIMIT) + waits
    *counts, error = connection.execute(
        "SELECT pending, exported, failed, dropped, rejected, last_error FROM otel.export_status"
    ).fetchone()
    proof.claim(
        counts == [0, wanted, 0, 0, 0],
        f"export_status: {wanted} spans exported; none pending, failed, dropped or rejected",
        counts,
        error,
    )
