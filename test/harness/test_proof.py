"""Can the demo's proof fail?  Each claim about links is given a batch span that breaks it."""

import contextlib
import copy
import io
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "demo"))

import client  # noqa: E402
import prove  # noqa: E402


class Rows:
    """Stands in for the connection: the requests' rows as the proof reads them."""

    def __init__(self, ids):
        self.ids = ids

    def execute(self, _):
        return [(id, 7, f"at {id}", "triggered_by") for id in self.ids]


class ProofOfLinks(unittest.TestCase):
    def setUp(self):
        self.calls = client.plan()
        ids = iter(range(1, 301))
        for call in self.calls:
            call.request_ids = [next(ids) for _ in range(call.rows)]
        self.sent = {id: call for call in self.calls if call.valid for id in call.request_ids}
        self.batch = {
            "links": [self.link(id) for id in prove.chosen(self.sent)],
            "dropped_links_count": 142,
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

    def failed(self, batch):
        """The claims that do not hold."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            prove.prove_links(prove.Proof(), self.calls, Rows(range(1, 301)), batch)
        return [
            line.partition(" - ")[2]
            for line in output.getvalue().splitlines()
            if line.startswith("not ok")
        ]

    def test_what_should_be_holds(self):
        self.assertEqual(self.failed(self.batch), [])

    def test_a_changed_link_is_found(self):
        for field, value in (
            ("trace_id", "f" * 32),
            ("span_id", "f" * 16),
            ("trace_state", "x=1"),
            ("flags", 0x101),
        ):
            batch = copy.deepcopy(self.batch)
            batch["links"][17][field] = value
            self.assertIn(
                "every link is the context that the client sent with that request",
                self.failed(batch),
                field,
            )

    def test_a_changed_attribute_is_found(self):
        self.batch["links"][3]["attributes"]["report.user_id"] = 8
        self.assertEqual(self.failed(self.batch), ["each link tells request, user, time and why"])

    def test_a_missing_a_moved_and_a_surplus_link_are_found(self):
        links = self.batch["links"]
        for broken in (links[:-1], links[1:] + links[:1], links + [links[0]]):
            self.assertIn(
                "the links are the first of each sampled trace, in the order of the requests",
                self.failed(self.batch | {"links": broken}),
            )
        self.assertIn(
            "there are at most 128 links", self.failed(self.batch | {"links": links + [links[0]]})
        )
        self.assertIn(
            "no trace is linked twice", self.failed(self.batch | {"links": links[:-1] + [links[0]]})
        )

    def test_an_unsampled_link_is_found(self):
        unsampled = next(id for id, call in self.sent.items() if not call.sampled)
        self.batch["links"][-1] = self.link(unsampled)
        self.assertIn(
            "with more sampled traces than room, none that is not sampled is linked",
            self.failed(self.batch),
        )

    def test_a_wrong_count_of_dropped_links_is_found(self):
        self.assertEqual(
            self.failed(self.batch | {"dropped_links_count": 141}),
            ["dropped_links_count is exact: 142"],
        )

    def test_the_scenario_is_the_one_described(self):
        self.assertEqual(sum(call.rows for call in self.calls), 300)
        self.assertEqual(len({call.trace_id for call in self.sent.values()}), 200)
        self.assertGreater(
            len({call.trace_id for call in self.sent.values() if call.sampled}), prove.LINK_LIMIT
        )
        self.assertTrue(any(call.rows > 1 for call in self.calls))
        self.assertTrue(any(call.tracestate for call in self.sent.values()))
        self.assertTrue(any(call.traceparent is None for call in self.calls))
        self.assertTrue(any(call.traceparent in client.MALFORMED for call in self.calls))


if __name__ == "__main__":
    unittest.main()
