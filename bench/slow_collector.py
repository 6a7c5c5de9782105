"""A collector that answers any request with 200 after a delay, with as little work as possible.

slow_collector.py DELAY_MS      prints its port; ends when its standard input is closed
"""

import socket
import sys
import threading
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"


def header(head, wanted):
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == wanted:
            return value.strip()
    return b""


def skip_body(stream, head, buffer):
    """Reads the body of the request; Node.js's SDK sends it in chunks."""
    if header(head, b"transfer-encoding").lower() == b"chunked":
        while size := int(stream.readline(), 16):
            stream.read(size + 2)
        stream.readline()
        return
    left = int(header(head, b"content-length") or 0)
    while left > 0:
        got = stream.readinto(buffer[: min(left, len(buffer))])
        if not got:
            return
        left -= got


def serve(connection, delay):
    buffer = memoryview(bytearray(1 << 20))
    with connection, connection.makefile("rb", buffering=1 << 20) as stream:
        while True:
            lines = []
            while (line := stream.readline()) not in (b"\r\n", b""):
                lines.append(line.strip())
            if not line:
                return
            head = b"\r\n".join(lines)
            if b"100-continue" in head:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            skip_body(stream, head, buffer)
            time.sleep(delay)
            connection.sendall(ANSWER)


def main():
    delay = float(sys.argv[1]) / 1000
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept():
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection, delay), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


main()
