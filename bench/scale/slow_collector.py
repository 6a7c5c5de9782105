"""A collector that answers any request with 200 after a while, with as little work as possible.

slow_collector.py DELAY_MS      prints its port, ends when its standard input closes
"""

import socket
import sys
import threading
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"


def body_length(head):
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def serve(connection, delay):
    buffer = memoryview(bytearray(1 << 20))
    pending = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in pending:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                pending += chunk
            head, _, rest = pending.partition(b"\r\n\r\n")
            if b"100-continue" in head:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            left = body_length(head) - len(rest)
            while left > 0:
                got = connection.recv_into(buffer[: min(left, len(buffer))])
                if not got:
                    return
                left -= got
            pending = rest[left:] if left < 0 else b""
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
