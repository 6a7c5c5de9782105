"""Unit tests of the receiver: what the other tests trust."""

import gzip
import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

import otlp_decode
import render
from otlp_receiver import Receiver

TRACE_ID = bytes(range(1, 17))
SPAN_ID = bytes(range(1, 9))


def a_request(name="a span", links=0):
    request = trace_service_pb2.ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add(schema_url="https://example.org/resource")
    _attribute(resource_spans.resource.attributes, "service.name").string_value = "tests"
    scope_spans = resource_spans.scope_spans.add(schema_url="https://example.org/scope")
    scope_spans.scope.name, scope_spans.scope.version = "otel_links", "1.0"
    span = scope_spans.spans.add(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        parent_span_id=SPAN_ID[::-1],
        trace_state="a=1",
        flags=0x301,
        name=name,
        kind=5,
        start_time_unix_nano=2**62,
        end_time_unix_nano=2**62 + 2_500_000,
        dropped_attributes_count=1,
        dropped_events_count=2,
        dropped_links_count=3,
    )
    span.status.code, span.status.message = 2, "it broke"
    _attribute(span.attributes, "int").int_value = -(2**63)
    _attribute(span.attributes, "double").double_value = 1.5
    _attribute(span.attributes, "bool").bool_value = False
    _attribute(span.attributes, "bytes").bytes_value = b"\x00\xff"
    _attribute(span.attributes, "array").array_value.values.add(string_value="x")
    _attribute(span.attributes, "map").kvlist_value.values.add(key="k").value.int_value = 1
    _attribute(span.attributes, "empty")
    event = span.events.add(time_unix_nano=7, name="exception", dropped_attributes_count=4)
    _attribute(event.attributes, "exception.type").string_value = "22P02"
    for i in range(links):
        link = span.links.add(
            trace_id=(i + 1).to_bytes(16, "big"),
            span_id=(i + 1).to_bytes(8, "big"),
            trace_state="b=2",
            flags=0x301,
            dropped_attributes_count=5,
        )
        _attribute(link.attributes, "report.request_id").int_value = i + 1
    return request


def _attribute(attributes, key):
    attribute = attributes.add(key=key)
    attribute.value.SetInParent()
    return attribute.value


def otlp_json(request):
    """The request as OTLP's JSON wants it: protobuf's mapping with ids in hex."""

    def hex_ids(node):
        if isinstance(node, list):
            return [hex_ids(n) for n in node]
        if isinstance(node, dict):
            return {
                k: otlp_decode.base64.b64decode(v).hex()
                if k in otlp_decode._ID_FIELDS
                else hex_ids(v)
                for k, v in node.items()
            }
        return node

    return hex_ids(json_format.MessageToDict(request, use_integers_for_enums=True))


class Decoding(unittest.TestCase):
    def test_every_field_of_a_span_is_told(self):
        [span] = otlp_decode.decode_request(
            a_request(links=1).SerializeToString(), otlp_decode.PROTOBUF
        )
        self.assertEqual(
            span,
            {
                "trace_id": "0102030405060708090a0b0c0d0e0f10",
                "span_id": "0102030405060708",
                "parent_span_id": "0807060504030201",
                "trace_state": "a=1",
                "flags": 0x301,
                "name": "a span",
                "kind": "consumer",
                "start_time_unix_nano": 2**62,
                "end_time_unix_nano": 2**62 + 2_500_000,
                "attributes": {
                    "int": -(2**63),
                    "double": 1.5,
                    "bool": False,
                    "bytes": {"bytes_value": "AP8="},
                    "array": ["x"],
                    "map": {"k": 1},
                    "empty": None,
                },
                "attribute_types": {
                    "int": "int_value",
                    "double": "double_value",
                    "bool": "bool_value",
                    "bytes": "bytes_value",
                    "array": "array_value",
                    "map": "kvlist_value",
                    "empty": None,
                },
                "dropped_attributes_count": 1,
                "events": [
                    {
                        "time_unix_nano": 7,
                        "name": "exception",
                        "attributes": {"exception.type": "22P02"},
                        "dropped_attributes_count": 4,
                    }
                ],
                "dropped_events_count": 2,
                "links": [
                    {
                        "trace_id": "0" * 31 + "1",
                        "span_id": "0" * 15 + "1",
                        "trace_state": "b=2",
                        "flags": 0x301,
                        "attributes": {"report.request_id": 1},
                        "dropped_attributes_count": 5,
                    }
                ],
                "dropped_links_count": 3,
                "status": {"code": "error", "message": "it broke"},
                "scope": {
                    "name": "otel_links",
                    "version": "1.0",
                    "attributes": {},
                    "schema_url": "https://example.org/scope",
                },
                "resource": {
                    "attributes": {"service.name": "tests"},
                    "schema_url": "https://example.org/resource",
                },
            },
        )

    def test_json_and_protobuf_tell_the_same(self):
        request = a_request(links=2)
        self.assertEqual(
            otlp_decode.decode_request(
                json.dumps(otlp_json(request)).encode(), "application/json; charset=utf-8"
            ),
            otlp_decode.decode_request(request.SerializeToString(), otlp_decode.PROTOBUF),
        )

    def test_gzip_is_unpacked(self):
        body = a_request().SerializeToString()
        self.assertEqual(
            otlp_decode.decode_request(gzip.compress(body), otlp_decode.PROTOBUF, "gzip"),
            otlp_decode.decode_request(body, otlp_decode.PROTOBUF),
        )

    def assert_refused(self, what, body, content_type=otlp_decode.PROTOBUF, encoding=None):
        with self.assertRaisesRegex(otlp_decode.InvalidRequest, what):
            otlp_decode.decode_request(body, content_type, encoding)

    def test_what_is_not_otlp_is_refused(self):
        self.assert_refused("DecodeError", b"\xff\xff\xff")
        self.assert_refused("content type", b"", "text/plain")
        self.assert_refused("BadGzipFile", b"no gzip", encoding="gzip")
        self.assert_refused("content encoding", b"", encoding="br")
        self.assert_refused("JSONDecodeError", b"{", otlp_decode.JSON)
        self.assert_refused("ParseError", b'{"unknown": 1}', otlp_decode.JSON)
        self.assert_refused("twice", b'{"a": 1, "a": 1}', otlp_decode.JSON)

    def test_bad_ids_and_duplicate_keys_are_refused(self):
        for field, value in (
            ("trace_id", bytes(16)),
            ("trace_id", b"short"),
            ("span_id", b""),
            ("parent_span_id", bytes(8)),
        ):
            request = a_request()
            setattr(request.resource_spans[0].scope_spans[0].spans[0], field, value)
            self.assert_refused(field, request.SerializeToString())
        request = a_request(links=1)
        request.resource_spans[0].scope_spans[0].spans[0].links[0].span_id = bytes(8)
        self.assert_refused("link", request.SerializeToString())
        request = a_request()
        _attribute(request.resource_spans[0].scope_spans[0].spans[0].attributes, "int")
        self.assert_refused("two attributes", request.SerializeToString())

    def test_the_rules_of_otlps_json_are_kept(self):
        def body(**changes):
            request = otlp_json(a_request())
            request["resourceSpans"][0]["scopeSpans"][0]["spans"][0].update(changes)
            return json.dumps(request).encode()

        otlp_decode.decode_request(body(), otlp_decode.JSON)
        self.assert_refused("kind", body(kind="SPAN_KIND_CONSUMER"), otlp_decode.JSON)
        self.assert_refused("traceId", body(traceId="AQIDBAUGBwgJCgsMDQ4PEA=="), otlp_decode.JSON)
        self.assert_refused("lowerCamelCase", body(dropped_links_count=1), otlp_decode.JSON)
        self.assert_refused("startTimeUnixNano", body(startTimeUnixNano=5), otlp_decode.JSON)


class Receiving(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.receiver = Receiver(
            spans=self.folder / "spans",
            requests=self.folder / "requests",
            answers=self.folder / "answers",
        )
        self.addCleanup(self.receiver.close)

    def answers(self, *answers):
        (self.folder / "answers").write_text("".join(json.dumps(a) + "\n" for a in answers))

    def post(self, request=None, content_type=otlp_decode.PROTOBUF):
        """Status, headers and body of the answer."""
        body = (request or a_request()).SerializeToString()
        http_request = urllib.request.Request(
            self.receiver.url + "/v1/traces", body, {"Content-Type": content_type}
        )
        try:
            with urllib.request.urlopen(http_request) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.headers, e.read()

    def test_a_request_is_answered_and_written_down(self):
        status, headers, body = self.post()
        self.assertEqual((status, headers["Content-Type"], body), (200, otlp_decode.PROTOBUF, b""))
        self.assertEqual(json.loads((self.folder / "spans").read_text()), self.receiver.spans[0])
        request = json.loads((self.folder / "requests").read_text())
        self.assertEqual(
            (request["path"], request["spans"], request["status"], request["error"]),
            ("/v1/traces", 1, 200, None),
        )

    def test_what_is_not_otlp_gets_400(self):
        self.assertEqual(self.post(content_type="text/plain")[0], 400)
        self.assertEqual(self.receiver.spans, [])
        self.assertIn("text/plain", self.receiver.requests[0]["error"])

    def test_answers_are_given_in_order_and_only_success_counts(self):
        self.answers({"status": 503, "headers": {"Retry-After": "1"}}, {"status": 429, "times": 2})
        status, headers, _ = self.post()
        self.assertEqual((status, headers["Retry-After"]), (503, "1"))
        self.assertEqual([self.post()[0] for _ in range(3)], [429, 429, 200])
        self.assertEqual(len(self.receiver.spans), 1)
        self.assertEqual([r["status"] for r in self.receiver.requests], [503, 429, 429, 200])

    def test_an_answer_may_be_for_ever(self):
        self.answers({"status": 500, "times": 0})
        self.assertEqual([self.post()[0] for _ in range(3)], [500] * 3)

    def test_an_answer_may_be_for_a_span(self):
        self.answers({"status": 400, "when_span": "bad", "times": 0})
        self.assertEqual([self.post(a_request(name))[0] for name in ("good", "bad")], [200, 400])

    def test_an_answer_may_be_for_large_requests(self):
        self.answers({"status": 413, "when_larger_than": 1000, "times": 0})
        self.assertEqual([self.post(a_request("x" * n))[0] for n in (1, 1000)], [200, 413])

    def test_partial_success_is_told(self):
        self.answers({"partial_success": {"rejected_spans": 1, "error_message": "no"}})
        response = trace_service_pb2.ExportTraceServiceResponse.FromString(self.post()[2])
        self.assertEqual(
            (response.partial_success.rejected_spans, response.partial_success.error_message),
            (1, "no"),
        )

    def test_a_connection_can_be_cut(self):
        self.answers({"drop": True})
        with self.assertRaises((http.client.RemoteDisconnected, ConnectionError)):
            self.post()
        self.assertEqual(self.receiver.requests[0]["status"], 0)

    def test_a_body_may_come_in_chunks(self):
        body = a_request().SerializeToString()
        connection = http.client.HTTPConnection("127.0.0.1", self.receiver.port)
        self.addCleanup(connection.close)
        for _ in range(2):  # the second request finds the connection where the first one left it
            connection.request(
                "POST",
                "/v1/traces",
                iter([body[:7], body[7:]]),
                {"Content-Type": otlp_decode.PROTOBUF},
                encode_chunked=True,
            )
            response = connection.getresponse()
            self.assertEqual((response.status, response.read()), (200, b""))
        self.assertEqual([r["bytes"] for r in self.receiver.requests], [len(body)] * 2)

    def test_connections_are_kept(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.receiver.port)
        self.addCleanup(connection.close)
        for _ in range(2):
            connection.request(
                "POST",
                "/v1/traces",
                a_request().SerializeToString(),
                {"Content-Type": otlp_decode.PROTOBUF},
            )
            connection.getresponse().read()
        self.assertTrue(self.receiver.wait_for(lambda spans: len(spans) == 2))
        self.assertIsNotNone(connection.sock)


class CommandLine(unittest.TestCase):
    def test_it_ends_when_its_input_does(self):
        with tempfile.TemporaryDirectory() as folder:
            port_file = pathlib.Path(folder, "port")
            program = pathlib.Path(__file__).with_name("otlp_receiver.py")
            with subprocess.Popen(
                [sys.executable, program, "--port-file", port_file, "--until-stdin-closes"],
                stdin=subprocess.PIPE,
            ) as process:
                while not port_file.exists() and process.poll() is None:
                    pass
                self.assertGreater(int(port_file.read_text()), 0)
                process.stdin.close()
                self.assertEqual(process.wait(10), 0)

    def test_the_collector_for_a_first_try_prints_each_span_once(self):
        program = pathlib.Path(__file__).parent / "print_spans.py"
        with subprocess.Popen(
            [sys.executable, program, "0"], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                url = process.stdout.readline().split()[-1]
                for name in ("first", "second"):
                    request = urllib.request.Request(
                        f"{url}/v1/traces",
                        a_request(name).SerializeToString(),
                        {"Content-Type": otlp_decode.PROTOBUF},
                    )
                    urllib.request.urlopen(request, timeout=10).close()
                    self.assertEqual(process.stdout.readline(), f"trace {TRACE_ID.hex()}\n")
                    self.assertIn(name, process.stdout.readline())
                    while "dropped" not in process.stdout.readline():
                        self.assertIsNone(process.poll())
            finally:
                process.terminate()


class Rendering(unittest.TestCase):
    def spans(self, links):
        return otlp_decode.decode_request(
            a_request('say "hi"', links).SerializeToString(), otlp_decode.PROTOBUF
        )

    def test_the_tree_shows_ten_links_and_counts_the_rest(self):
        lines = render.tree(self.spans(128)).splitlines()
        self.assertEqual(sum("↗" in line for line in lines), 10)
        self.assertEqual(lines[-1].strip(), "and 118 more")
        self.assertIn("128 links, 3 dropped", "\n".join(lines))
        self.assertIn("report.request_id=1", "\n".join(lines))

    def test_children_stand_below_their_parent(self):
        [parent], [child] = self.spans(0), self.spans(0)
        child |= {"name": "child", "span_id": "ff" * 8, "parent_span_id": parent["span_id"]}
        lines = render.tree([child, parent]).splitlines()
        self.assertRegex(lines[1], '^└─ say "hi"')
        self.assertTrue(any(line.startswith("   └─ child") for line in lines))


if __name__ == "__main__":
    unittest.main()
