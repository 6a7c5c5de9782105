#!/usr/bin/env python3
"""A server that misbehaves below HTTP, for the exporter's tests.

    faulty.py --port-file F --fault NAME [--log F] [--until-stdin-closes]

Faults, on a free port of 127.0.0.1, for each connection:
  hang       takes the request and never answers
  deaf       accepts and reads nothing
  reset      resets the connection in the middle of the body
  garbage    answers with bytes that are no HTTP
  truncated  answers with less body than Content-Length says, and closes
  huge       answers 200 with a body of 1 GiB
  bomb       answers 200 with a gzip of 1 GiB of zeros, as Content-Encoding: gzip
  html       answers 200 with a page, as a login portal does
  odd        answers 200 with a protobuf body whose lengths lie

The log gets a line for each connection, and one more with how many bytes it could write.
"""

import argparse
import pathlib
import signal
import socket
import socketserver
import struct
import sys
import threading
import zlib

CHUNK = bytes(1 << 20)


def gzip_bomb():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(CHUNK) for _ in range(1024)) + packer.flush()


def response(body, content_type, *headers, length=None):
    head = [
        "HTTP/1.1 200 OK",
        f"Content-Type: {content_type}",
        f"Content-Length: {length or len(body)}",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.server.note("connection")
        written = 0
        try:
            if self.server.fault == "deaf":
                self.server.stopped.wait()
                return
            if not self.read_request():
                return
            for data in self.answer():
                self.request.sendall(data)
                written += len(data)
        except OSError:
            pass
        self.server.note(f"wrote {written}")

    def read_request(self):
        """Reads the head and, but for the reset, the body."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.request.recv(65536)
            if not more:
                return False
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        length = int(
            next(
                line.split(b":")[1]
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
        )
        if self.server.fault == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False  # closing now sends RST
        while len(body) < length:
            body += self.request.recv(65536)
        return True

    def answer(self):
        fault = self.server.fault
        if fault == "hang":
            self.server.stopped.wait()
        elif fault == "garbage":
            yield bytes(range(256)) * 16
        elif fault == "truncated":
            yield response(b"half", "application/x-protobuf", length=1000)
        elif fault == "huge":
            yield response(b"", "application/x-protobuf", length=1 << 30)
            for _ in range(1024):
                yield CHUNK
        elif fault == "bomb":
            yield response(self.server.bomb, "application/x-protobuf", "Content-Encoding: gzip")
        elif fault == "html":
            yield response(b"<html>Please log in</html>", "text/html")
        elif fault == "odd":
            yield response(b"\x0a\xff\xff\xff\xff\x0f\x08\x01", "application/x-protobuf")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, fault, log):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = fault
        self.log = log
        self.stopped = threading.Event()
        self.bomb = (
            gzip_bomb() if fault == "bomb" else b""
        )  # takes seconds: not while a client waits

    def note(self, line):
        if self.log:
            with open(self.log, "a", encoding="utf-8") as out:
                out.write(line + "\n")


def main():
    parser = argparse.ArgumentParser(description="A server that misbehaves")
    parser.add_argument("--port-file", type=pathlib.Path, required=True)
    parser.add_argument("--fault", required=True)
    parser.add_argument("--log")
    parser.add_argument("--until-stdin-closes", action="store_true")
    args = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = Server(args.fault, args.log)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    new = args.port_file.with_name(args.port_file.name + ".new")
    new.write_text(f"{server.server_address[1]}\n")
    new.rename(args.port_file)
    if args.until_stdin_closes:
        sys.stdin.buffer.read()
    else:
        threading.Event().wait()
    server.stopped.set()


if __name__ == "__main__":
    main()
