#!/usr/bin/env python3
"""An OTLP/HTTP trace receiver for the demo and the tests.

    otlp_receiver.py --port-file F [--spans F] [--requests F] [--answers F] [--until-stdin-closes]

Listens on a free port of 127.0.0.1 (its number is in the port file as soon as it does) and takes
POST /v1/traces (or any other path; the requests file tells which) in protobuf or JSON, gzipped or
not.

  --spans     gets a JSON line for each span that was answered with success, as
              otlp_decode.span_to_dict has it
  --requests  gets a JSON line for each request: path, headers, bytes, spans (how many), status
              answered (0 when the connection was cut), client (the port it came from), error
  --answers   a file of JSON lines that say how to answer; read anew for each request.  Its first
              line is used up by the next request; an empty or missing file means success.
              Members, all optional:
                status           the HTTP status (200)
                headers          an object of headers to add
                body             the body as text (default: what OTLP says for the status)
                partial_success  {"rejected_spans": n, "error_message": "…"}
                delay            seconds to wait before answering
                drop             true: close the connection without an answer
                when_span        only for requests with a span of that name; others succeed
                when_larger_than only for requests with a body of more bytes; others succeed
                times            use this line so many times (0: for ever)
  --certificate, --key, --client-ca   speak TLS; with a client CA, ask for the client's certificate

In Python, use the class Receiver directly.
"""

import argparse
import json
import os
import pathlib
import signal
import socketserver
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import otlp_decode


class Receiver:
    """Receives in a thread of its own, from construction until close(); also a context manager."""

    def __init__(self, port=0, spans=None, requests=None, answers=None, tls=None):
        self._lock = threading.Condition()
        self._spans = []
        self._requests = []
        self._files = (spans, requests)
        self._answers = pathlib.Path(answers) if answers else None
        self._server = _Server(("127.0.0.1", port), _Handler, bind_and_activate=False)
        self._server.receiver = self
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server.server_bind()
        self._server.server_activate()
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        for file in filter(None, self._files):
            pathlib.Path(file).touch()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def spans(self):
        """What was received with success, in order."""
        with self._lock:
            return list(self._spans)

    @property
    def requests(self):
        with self._lock:
            return list(self._requests)

    def wait_for(self, condition, timeout=30):
        """Waits until condition(spans) is true; returns whether it became so."""
        with self._lock:
            return self._lock.wait_for(lambda: condition(self._spans), timeout)

    def next_answer(self, names, size):
        """The answer to a request of that size with spans of these names, as a dictionary."""
        with self._lock:
            if self._answers is None or not self._answers.exists():
                return {}
            lines = [line for line in self._answers.read_text().splitlines() if line.strip()]
            if not lines:
                return {}
            answer = json.loads(lines[0])
            if "when_span" in answer and answer["when_span"] not in names:
                return {}
            if size <= answer.get("when_larger_than", -1):
                return {}
            times = answer.get("times", 1)
            if times > 1:
                lines[0] = json.dumps(answer | {"times": times - 1})
            elif times == 1:
                del lines[0]
            if times:
                self._replace_answers(lines)
            return answer

    def _replace_answers(self, lines):
        new = self._answers.with_name(self._answers.name + ".new")
        new.write_text("".join(line + "\n" for line in lines))
        os.replace(new, self._answers)

    def record(self, request, spans):
        """Called before the answer is sent: whoever has the answer finds the spans here."""
        with self._lock:
            self._requests.append(request)
            self._spans.extend(spans)
            for file, records in zip(self._files, (spans, [request])):
                if file:
                    with open(file, "a", encoding="utf-8") as out:
                        out.write(
                            "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
                        )
            self._lock.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self):
        """Skips HTTPServer's look-up of our own name, which is slow if no name server answers."""
        socketserver.TCPServer.server_bind(self)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # for keep-alive
    disable_nagle_algorithm = True
    timeout = 60

    def do_POST(self):
        body = self._body()
        if body is None:
            self.close_connection = True
            return self._answer(411, {}, b"")
        content_type = self.headers.get("Content-Type", "")
        error = None
        spans = []
        try:
            spans = otlp_decode.decode_request(
                body, content_type, self.headers.get("Content-Encoding")
            )
        except otlp_decode.InvalidRequest as e:
            error = str(e)

        answer = (
            {"status": 400, "body": error}
            if error
            else self._receiver.next_answer({s["name"] for s in spans}, len(body))
        )
        status = 0 if answer.get("drop") else answer.get("status", 200)
        time.sleep(answer.get("delay", 0))
        self._receiver.record(
            {
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "bytes": len(body),
                "spans": len(spans),
                "status": status,
                "client": self.client_address[1],
                "error": error,
            },
            spans if 200 <= status < 300 else [],
        )
        if status == 0:
            self.close_connection = True
            return None
        if "body" in answer:
            response = answer["body"].encode()
        elif 200 <= status < 300:
            response = otlp_decode.encode_response(
                content_type, **answer.get("partial_success", {})
            )
        else:
            response = b""
        return self._answer(
            status, {"Content-Type": content_type} | answer.get("headers", {}), response
        )

    def _body(self):
        """The body by its Content-Length, or in chunks as Node.js sends it; else None."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
            return b"".join(chunks)
        length = self.headers.get("Content-Length")
        return None if length is None else self.rfile.read(int(length))

    def do_GET(self):
        self._answer(405, {}, b"")

    @property
    def _receiver(self):
        return self.server.receiver

    def _answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def server_tls(certificate, key, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def main():
    parser = argparse.ArgumentParser(description="OTLP/HTTP trace receiver")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", type=pathlib.Path, required=True)
    parser.add_argument("--until-stdin-closes", action="store_true")
    for option in ("--spans", "--requests", "--answers", "--certificate", "--key", "--client-ca"):
        parser.add_argument(option)
    args = parser.parse_args()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: sys.exit(0))
    tls = server_tls(args.certificate, args.key, args.client_ca) if args.certificate else None
    with Receiver(args.port, args.spans, args.requests, args.answers, tls) as receiver:
        # written elsewhere and renamed, so that nobody reads half a number
        new = args.port_file.with_name(args.port_file.name + ".new")
        new.write_text(f"{receiver.port}\n")
        new.rename(args.port_file)
        if args.until_stdin_closes:
            sys.stdin.buffer.read()
        else:
            threading.Event().wait()


if __name__ == "__main__":
    main()
