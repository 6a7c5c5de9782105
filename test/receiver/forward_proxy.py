#!/usr/bin/env python3
"""A forward proxy, as companies have one between their servers and a collector elsewhere: proxy.py.

    forward_proxy.py --port-file F --log F --auth USER:PASSWORD --until-stdin-closes

Runs until its standard input closes.  The log gets a line for each request that went through: its
method and where to.
"""

import argparse
import pathlib
import sys

import proxy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--auth", required=True)
    parser.add_argument("--until-stdin-closes", action="store_true", required=True)
    arguments = parser.parse_args()
    with proxy.Proxy(
        [
            "--hostname",
            "127.0.0.1",
            "--port",
            "0",
            "--num-acceptors",
            "1",
            "--num-workers",
            "1",
            "--threaded",
            "--log-file",
            arguments.log,
            "--basic-auth",
            arguments.auth,
        ]
    ) as running:
        file = pathlib.Path(arguments.port_file)
        temporary = file.with_suffix(".new")
        temporary.write_text(f"{running.flags.port}\n")
        temporary.rename(file)
        sys.stdin.read()


if __name__ == "__main__":
    main()
