"""Received spans for people, as a tree."""


def tree(spans, max_links=10):
    """The spans as an indented tree, children by start time, with each span's first links."""
    lines = []
    for root in _roots(spans):
        lines.append(f"trace {root['trace_id']}")
        _add_span(lines, root, spans, "", True, max_links)
    return "\n".join(lines)


def _roots(spans):
    ids = {(s["trace_id"], s["span_id"]) for s in spans}
    return [s for s in _by_time(spans) if (s["trace_id"], s["parent_span_id"]) not in ids]


def _children(span, spans):
    return [
        s
        for s in _by_time(spans)
        if (s["trace_id"], s["parent_span_id"]) == (span["trace_id"], span["span_id"])
    ]


def _by_time(spans):
    return sorted(spans, key=lambda s: s["start_time_unix_nano"])


def _add_span(lines, span, spans, indent, last, max_links):
    children = _children(span, spans)
    below = indent + ("   " if last else "│  ")
    bar = below + ("│  " if children else "   ")
    milliseconds = (span["end_time_unix_nano"] - span["start_time_unix_nano"]) / 1e6
    status = span["status"]["code"] + (
        f": {span['status']['message']}" if span["status"]["message"] else ""
    )
    lines.append(
        f"{indent}{'└─' if last else '├─'} {span['name']}  "
        f"[{span['kind']}, span {span['span_id']}, {milliseconds:.1f} ms, status {status}]"
    )
    for key, value in span["attributes"].items():
        lines.append(f"{bar}{key} = {value}")
    if span["links"] or span["dropped_links_count"]:
        links = "1 link" if len(span["links"]) == 1 else f"{len(span['links'])} links"
        lines.append(f"{bar}{links}, {span['dropped_links_count']} dropped")
    for link in span["links"][:max_links]:
        sampled = "sampled" if link["flags"] & 1 else "not sampled"
        lines.append(f"{bar}↗ trace {link['trace_id']} span {link['span_id']} ({sampled})")
        attributes = "  ".join(f"{key}={value}" for key, value in link["attributes"].items())
        if attributes:
            lines.append(f"{bar}    {attributes}")
    if len(span["links"]) > max_links:
        lines.append(f"{bar}and {len(span['links']) - max_links} more")
    for i, child in enumerate(children):
        _add_span(lines, child, spans, below, i == len(children) - 1, max_links)
