"""Can the demo's proof fail?  Each claim about links and waits gets spans that break it."""

import contextlib
import copy
import io
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "demo"))

import client  # noqa: E402
import prove  # noqa: E402

BEGAN = 10**18


class Rows:
    """Stands in for the connection: the requests' rows as the proof reads them."""

    def __init__(self, ids):
        self.ids = ids

    def execute(self, query):
        if "extract" in query:
            return [(id, BEGAN + id * 1000) for id in self.ids]
        return [(id, 7, f"at {id}", "triggered_by") for id in self.ids]


class ProofOfSpans(unittest.TestCase):
    def setUp(self):
        requests = client.plan()
        self.calls = [call for request in requests for call in request]
        ids, spans = iter(range(1, 301)), iter(range(1, 1000))
        for trace, request in enumerate(requests, 1):
            for call in request:
                call.request_ids = [next(ids) for _ in range(call.rows)]
                if call.valid:
                    call.traceparent = f"00-{trace:032x}-{next(spans):016x}-01"
                    call.tracestate = "vendor=1" if trace % 5 == 0 else None
        self.sent = prove.sent_with(self.calls)
        links = [self.link(id) for id in sorted(self.sent)]
        self.parts = [
            self.span(
                prove.BATCH,
                "f" * 32,
                f"{0xf0 + i:016x}",
                part=i + 1,
                links=links[128 * i : 128 * (i + 1)],
            )
            for i in range(-(-len(links) // 128))
        ]
        self.waits = [self.wait(id) for id in self.sent]
        self.service = [
            self.span(client.REQUEST_SPAN, t, "e" * 16, service=client.SERVICE)
            for t in {call.trace_id for call in self.sent.values()}
        ]
        self.service += [
            self.span(
                client.INSERT_SPAN, call.trace_id, call.span_id, "e" * 16, service=client.SERVICE
            )
            for call in self.calls
            if call.valid
        ]

    def span(self, name, trace_id, span_id, parent="", service=prove.JOBS, part=1, links=()):
        return {
            "name": name,
            "trace_id": trace_id,
            "span_id": span_id,
            "parent_span_id": parent,
            "trace_state": "",
            "kind": "consumer",
            "start_time_unix_nano": BEGAN + 10**6,
            "end_time_unix_nano": BEGAN + 10**9,
            "status": {"code": "unset", "message": ""},
            "attributes": {"otel_links.part.index": part},
            "links": list(links),
            "dropped_links_count": 0,
            "resource": {"attributes": {"service.name": service}},
        }

    def link(self, id):
        call = self.sent[id]
        return {
            "trace_id": call.trace_id,
            "span_id": call.span_id,
            "trace_state": call.tracestate or "",
            "flags": call.flags | 0x300,
            "attributes": {
                "report.request_id": id,
                "report.user_id": 7,
                "report.requested_at": f"at {id}",
                "link.type": "triggered_by",
            },
        }

    def wait(self, id):
        call = self.sent[id]
        to_batch = {
            "trace_id": "f" * 32,
            "span_id": f"{0xf0:016x}",
            "trace_state": "",
            "flags": 0x101,
            "attributes": {},
        }
        return self.span(
            prove.WAIT, call.trace_id, f"{0xabc000 + id:016x}", call.span_id, links=[to_batch]
        ) | {
            "trace_state": call.tracestate or "",
            "start_time_unix_nano": BEGAN + id * 1000,
            "end_time_unix_nano": BEGAN + 10**7,
            "attributes": {"report.request_id": id},
        }

    def failed(self):
        """The claims that do not hold."""
        spans = self.parts + self.waits + self.service
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            proof = prove.Proof()
            prove.prove_client(proof, self.calls, spans)
            prove.prove_links(proof, self.calls, Rows(range(1, 301)), spans)
            prove.prove_waits(proof, self.calls, Rows(range(1, 301)), spans)
            prove.prove_ways(proof, spans)
        return [
            line.partition(" - ")[2]
            for line in output.getvalue().splitlines()
            if line.startswith("not ok")
        ]

    def test_what_should_be_holds(self):
        self.assertEqual(self.failed(), [])

    def test_a_changed_link_is_found(self):
        for field, value in (
            ("trace_id", "f" * 32),
            ("span_id", "f" * 16),
            ("trace_state", "x=1"),
            ("flags", 0x101),
        ):
            link = self.parts[1]["links"][17]
            before = copy.deepcopy(link)
            link[field] = value
            self.assertIn(
                "every link is the context that the client sent with that request",
                self.failed(),
                field,
            )
            link.update(before)

    def test_a_changed_attribute_is_found(self):
        self.parts[0]["links"][3]["attributes"]["report.user_id"] = 8
        self.assertEqual(self.failed(), ["each link tells request, user, time and why"])

    def test_a_missing_a_moved_and_a_surplus_link_are_found(self):
        claim = "every pending request with a context is linked exactly once, in order"
        links = self.parts[2]["links"]
        for broken in (links[:-1], links[1:] + links[:1], links + [links[0]]):
            self.parts[2]["links"] = broken
            self.assertIn(claim, self.failed())
        self.parts[2]["links"] = links
        self.parts[0]["links"], moved = self.parts[0]["links"][:-1], self.parts[0]["links"][-1:]
        self.parts[1]["links"] = moved + self.parts[1]["links"]
        self.assertEqual(self.failed(), ["no span has more than 128 links"])
        del self.parts[1]
        self.assertIn(claim, self.failed())

    def test_a_dropped_link_is_found(self):
        self.parts[1]["dropped_links_count"] = 1
        self.assertEqual(self.failed(), ["no link is dropped"])

    def test_a_span_of_the_service_that_is_missing_is_found(self):
        lost = self.service.pop()
        self.assertEqual(lost["name"], client.INSERT_SPAN)
        failed = self.failed()
        self.assertIn(
            "the context of each row is that of a span which the service exported", failed
        )
        self.assertIn("every link leads to a span that the receiver got", failed)

    def test_a_missing_a_surplus_and_a_changed_wait_are_found(self):
        in_trace = "it is in the request's trace, a child of the span that inserted the row"
        claims = {
            "trace_id": in_trace,
            "parent_span_id": in_trace,
            "trace_state": in_trace,
            "start_time_unix_nano": "it lasts from the row's insertion until the batch has it",
            "end_time_unix_nano": "it lasts from the row's insertion until the batch has it",
            "links": "it is linked to the batch span",
            "kind": "its kind is consumer, its status unset",
        }
        for field, claim in claims.items():
            wait, before = self.waits[5], copy.deepcopy(self.waits[5])
            wait[field] = {"links": [], "start_time_unix_nano": 1, "end_time_unix_nano": 1}.get(
                field, "d" * 16
            )
            self.assertIn(claim, self.failed(), field)
            wait.update(before)
        for broken in (self.waits[1:], self.waits + self.waits[:1]):
            self.waits, before = broken, self.waits
            self.assertIn("each request with a context has one wait", self.failed())
            self.waits = before

    def test_a_request_without_a_way_back_is_found(self):
        trace_id = self.waits[0]["trace_id"]
        self.waits = [w for w in self.waits if w["trace_id"] != trace_id]
        self.assertIn(
            "the batch leads to each of the 200 requests' traces, and each of them back",
            self.failed(),
        )

    def test_the_scenario_is_the_one_described(self):
        self.assertEqual(sum(call.rows for call in self.calls), 300)
        self.assertEqual(len({call.trace_id for call in self.sent.values()}), 200)
        self.assertGreater(len(self.sent), 2 * prove.LINK_LIMIT)
        self.assertTrue(any(call.rows > 1 for call in self.calls))
        for way in ("comment", "function"):
            self.assertTrue(any(call.valid for call in self.calls if call.way == way))
            self.assertTrue(
                any(call.traceparent in client.MALFORMED for call in self.calls if call.way == way)
            )
        self.assertTrue(any(call.traceparent is None for call in self.calls))


if __name__ == "__main__":
    unittest.main()
