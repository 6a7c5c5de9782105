#!/usr/bin/env python3
"""A collector for a first try: prints the spans that arrive, as trees.  scripts/collector runs it.

print_spans.py [PORT]     on 127.0.0.1; 4318 unless told otherwise, 0 for a free one
"""

import sys

import render
from otlp_receiver import Receiver


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4318
    try:
        receiver = Receiver(port)
    except OSError as error:
        sys.exit(f"cannot listen on port {port}: {error.strerror}")
    with receiver:
        print(f"waiting for spans at {receiver.url}", flush=True)
        shown = 0
        try:
            while receiver.wait_for(lambda spans: len(spans) > shown, timeout=None):
                new = receiver.spans[shown:]
                print(render.tree(new), flush=True)
                shown += len(new)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
