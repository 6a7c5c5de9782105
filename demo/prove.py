"""Does what came out match what went in?  Every claim of the demo, checked and printed as TAP."""

LINK_LIMIT = 128
REMOTE = 0x300  # of OTLP's flags: it is known whether the context is remote, and it is


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
    """True when everything holds.  spans: what the receiver got; None when the collector is not ours."""
    proof = Proof()
    prove_rows(proof, calls, connection)
    if spans is not None:
        prove_spans(proof, calls, connection, spans)
        for batch in [s for s in spans if s["name"] == "process-report-batch"]:
            prove_links(proof, calls, connection, batch)
            prove_chain(proof, connection, batch)
    prove_status(proof, connection)
    print(f"1..{proof.number}")
    return not proof.failed


def prove_rows(proof, calls, connection):
    rows = dict(connection.execute("SELECT id, trace_context::text FROM report_requests"))
    sent = {id: call.context for call in calls for id in call.request_ids}
    proof.equal(sorted(rows), sorted(sent), f"{len(sent)} report requests were inserted")
    proof.equal(
        connection.execute(
            "SELECT count(DISTINCT otel.trace_id(trace_context)) FROM report_requests").fetchone()[0],
        200, "they come from 200 traces")
    proof.none([(id, rows.get(id), context) for id, context in sent.items() if rows.get(id) != context],
               "each row has the context its transaction set, NULL where that was none or malformed")
    proof.equal(
        connection.execute("""
            SELECT count(*), count(DISTINCT batch_id), count(*) FILTER (WHERE status = 'done')
            FROM reports JOIN report_requests ON id = request_id""").fetchone(),
        (300, 1, 300), "one run of the job made a report for each of the 300")


def prove_spans(proof, calls, connection, spans):
    names = sorted(s["name"] for s in spans)
    proof.equal(names, ["generate-daily-reports", "process-report-batch"],
                "the receiver got the job's span and the batch's, once each")
    if len(names) != 2 or names[0] == names[1]:
        return
    run, batch = sorted(spans, key=lambda s: s["name"])
    batch_id = connection.execute("SELECT min(batch_id::text) FROM reports").fetchone()[0]

    proof.equal((run["parent_span_id"], run["trace_id"] in {c.trace_id for c in calls if c.valid}), ("", False),
                "generate-daily-reports begins a trace of its own")
    proof.equal((batch["trace_id"], batch["parent_span_id"]), (run["trace_id"], run["span_id"]),
                "process-report-batch is its child")
    times = [run["start_time_unix_nano"], batch["start_time_unix_nano"],
             batch["end_time_unix_nano"], run["end_time_unix_nano"]]
    proof.claim(times == sorted(times), "the child's time lies within its parent's", times)
    proof.equal((run["kind"], batch["kind"]), ("internal", "consumer"), "their kinds are internal and consumer")
    proof.equal((run["status"]["code"], batch["status"]["code"]), ("ok", "ok"), "both ended well")
    proof.equal((run["flags"], batch["flags"]), (0x103, 0x103),
                "both are sampled, of a random trace id, with no remote parent")
    proof.equal((run["attributes"], run["links"]), ({"job.type": "scheduled", "job.schedule": "0 6 * * *"}, []),
                "generate-daily-reports has the attributes the job gave it, and no links")
    proof.equal(batch["attributes"], {"batch.size": 300, "batch.id": batch_id, "reports.generated": 300},
                "process-report-batch has the attributes the job gave it")
    proof.equal((batch["resource"]["attributes"].get("service.name"), batch["scope"]["name"]),
                ("report-service", "otel_links"), "service and instrumentation scope are named")


def prove_links(proof, calls, connection, batch):
    links = batch["links"]
    ids = [link["attributes"].get("report.request_id") for link in links]
    sent = {id: call for call in calls if call.valid for id in call.request_ids}

    def told(link):
        return link["trace_id"], link["span_id"], link["trace_state"], link["flags"]

    def wanted(call):
        return call.trace_id, call.span_id, call.tracestate or "", call.flags | REMOTE

    proof.none([link for id, link in zip(ids, links) if id not in sent or told(link) != wanted(sent[id])],
               "every link is the context that the client sent with that request")
    proof.claim(len(links) <= LINK_LIMIT, f"there are at most {LINK_LIMIT} links", len(links))
    proof.equal(len({link["trace_id"] for link in links}), len(links), "no trace is linked twice")
    proof.none([link for link in links if not link["flags"] & 1],
               "with more sampled traces than room, none that is not sampled is linked")
    proof.equal(ids, chosen(sent), "the links are the first of each sampled trace, in the order of the requests")
    proof.equal(batch["dropped_links_count"], len(sent) - len(links),
                f"dropped_links_count is exact: {len(sent) - len(links)}")

    names = ("report.request_id", "report.user_id", "report.requested_at", "link.type")
    attributes = {
        row[0]: dict(zip(names, row))
        for row in connection.execute(
            "SELECT id, user_id, to_jsonb(created_at) #>> '{}', 'triggered_by' FROM report_requests")
    }
    proof.none([link for id, link in zip(ids, links) if link["attributes"] != attributes.get(id)],
               "each link tells request, user, time and why")


def chosen(sent):
    """The rows whose links should be kept: of each sampled trace the first, as long as there is room."""
    first = {}
    for id in sorted(sent):
        if sent[id].sampled:
            first.setdefault(sent[id].trace_id, id)
    return list(first.values())[:LINK_LIMIT]


def prove_chain(proof, connection, batch):
    contexts = connection.execute(
        "SELECT DISTINCT otel.trace_id(trace_context), otel.span_id(trace_context) FROM reports").fetchall()
    proof.equal(contexts, [(batch["trace_id"], batch["span_id"])],
                "every report carries the batch span's context on to whoever works on it next")


def prove_status(proof, connection):
    proof.equal(connection.execute("SELECT count(*) FROM otel.span_queue").fetchone()[0], 0, "the queue is empty")
    *counts, error = connection.execute(
        "SELECT pending, exported, failed, dropped, rejected, last_error FROM otel.export_status").fetchone()
    proof.claim(counts == [0, 2, 0, 0, 0],
                "export_status: two spans exported; none pending, failed, dropped or rejected", counts, error)
