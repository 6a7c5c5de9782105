#!/usr/bin/env python3
"""Draws the pictures of the documentation: pictures.py SPANS_FILE FOLDER"""

import json
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "test" / "browser"))

import chromium  # noqa: E402
import page  # noqa: E402

# no margins, and only one direction of the batch's links
TIGHT = "body { padding: 0; } section { margin: 0; } .back { display: none; }\n"


def main():
    spans = [json.loads(line) for line in pathlib.Path(sys.argv[1]).read_text().splitlines()]
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    requests = page.first_requests(spans)
    pictures = {
        "batch": page.page(spans, [], batch=True),
        "request": page.page(spans, requests[1:2], batch=False),
    }
    with chromium.Chromium() as browser, tempfile.TemporaryDirectory() as temporary:
        for name, text in pictures.items():
            file = pathlib.Path(temporary) / f"{name}.html"
            file.write_text(text.replace("</style>", f"{TIGHT}</style>"))
            view = browser.open(file)
            for scheme in ("light", "dark"):
                view.prefer(scheme)
                picture = folder / f"{name}-{scheme}.png"
                view.screenshot(picture, width=1000, scale=2)
                print(picture)


if __name__ == "__main__":
    main()
