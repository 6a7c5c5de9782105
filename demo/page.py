"""Writes the traces that the receiver got as one static HTML page: waterfalls with links to follow.

The page needs no script, font, image or network.  It has all requests; those that are hidden at
first appear when a link leads to them.
"""

import datetime
import html
import pathlib

import client
import prove

MICROSECOND, MILLISECOND, SECOND = 1_000, 1_000_000, 1_000_000_000


class Traces:
    """The spans by trace, and the links in both directions."""

    def __init__(self, spans):
        self.spans = sorted(
            spans,
            key=lambda s: (
                s["start_time_unix_nano"],
                s["attributes"].get("otel_links.part.index", 1),
                s["span_id"],
            ),
        )
        self.by_context = {prove.context(s): s for s in self.spans}
        self.by_trace = {}
        self.linked_from = {}
        for span in self.spans:
            self.by_trace.setdefault(span["trace_id"], []).append(span)
            for link in span["links"]:
                self.linked_from.setdefault(prove.context(link), []).append(span)

    def tree(self, trace_id):
        """(depth, span), parents before their children."""
        spans = self.by_trace[trace_id]
        ids = {s["span_id"] for s in spans}

        def below(parent, depth):
            for span in spans:
                if span["parent_span_id"] == parent or (
                    parent == "" and span["parent_span_id"] not in ids
                ):
                    yield depth, span
                    yield from below(span["span_id"], depth + 1)

        return list(below("", 0))


def first_requests(spans):
    """The trace ids of the first request, the first with two transactions, and with three waits."""
    traces = Traces(spans)

    def count(trace_id, name):
        return sum(s["name"] == name for s in traces.by_trace[trace_id])

    requests = [s["trace_id"] for s in traces.spans if s["name"] == client.REQUEST_SPAN]
    kinds = [
        lambda t: True,
        lambda t: count(t, client.INSERT_SPAN) == 2,
        lambda t: count(t, client.INSERT_SPAN) == 1 and count(t, prove.WAIT) == 3,
    ]
    return [next(t for t in requests if kind(t)) for kind in kinds]


def page(spans, shown, batch=True):
    """The page.  shown: trace ids of the requests to show at first; batch: show it, too?"""
    traces = Traces(spans)
    batch_trace = next(s["trace_id"] for s in spans if s["name"] == prove.BATCH)
    requests = [s["trace_id"] for s in traces.spans if s["name"] == client.REQUEST_SPAN]
    rest = [t for t in requests if t not in shown]
    body = [_header(traces, batch_trace)] if batch and shown else []
    if batch:
        body.append(_trace(traces, batch_trace, "The batch", opened=1))
    body += [_trace(traces, t, f"Request {requests.index(t) + 1}", opened=0) for t in shown]
    if batch and shown:
        body += [
            _trace(traces, t, f"Request {requests.index(t) + 1}", opened=0, other=True)
            for t in rest
        ]
        body.append(
            "<footer>Written by the demo of otel_links, of what its OTLP receiver got.</footer>"
        )
    css = (pathlib.Path(__file__).parent / "page.css").read_text()
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        "<title>otel_links: 300 requests and their batch</title>\n"
        f"<style>\n{css}</style>\n</head>\n"
        f"<body>\n{chr(10).join(body)}\n</body>\n</html>\n"
    )


def _header(traces, batch_trace):
    parts = [s for s in traces.by_trace[batch_trace] if s["links"]]
    waits = [s for s in traces.spans if s["name"] == prove.WAIT]
    links = sum(len(s["links"]) for s in parts)
    requests = sum(s["name"] == client.REQUEST_SPAN for s in traces.spans)
    facts = [
        (f"{len(waits)}", "report requests with a trace"),
        (f"{requests}", "traces they came from"),
        (f"{links}", f"links, in {len(parts)} spans"),
        (_duration(max(_length(s) for s in waits)), "the longest wait"),
    ]
    legend = [
        ("api", f"{client.SERVICE}: the service that asks"),
        ("jobs", f"{prove.JOBS}: the job in PostgreSQL"),
        ("wait", "the time a request waited in its table"),
    ]
    return (
        "<header>\n<h1>Many requests, one batch</h1>\n"
        "<p>A service inserted report requests; a scheduled job took all of them at once. The "
        "batch span links to every request, and each request's trace shows how long it waited, "
        "and links to the batch. Follow any link, in either direction.</p>\n"
        '<ul class="facts">'
        + "".join(
            f"<li><b>{html.escape(number)}</b> {html.escape(what)}</li>" for number, what in facts
        )
        + '</ul>\n<ul class="legend">'
        + "".join(f'<li><i class="{kind}"></i>{html.escape(what)}</li>' for kind, what in legend)
        + "</ul>\n</header>"
    )


def _trace(traces, trace_id, title, opened, other=False):
    """One waterfall.  opened: how many of the spans with links are open at first."""
    tree = traces.tree(trace_id)
    start = min(s["start_time_unix_nano"] for _, s in tree)
    length = max(s["end_time_unix_nano"] for _, s in tree) - start
    began = datetime.datetime.fromtimestamp(start / SECOND, datetime.timezone.utc)
    ticks = "".join(
        f'<span style="left:{25 * i}%">{_duration(length * i // 4)}</span>' for i in range(5)
    )
    rows = []
    for depth, span in tree:
        is_open = bool(span["links"]) and opened > 0
        opened -= is_open
        rows.append(_span(traces, span, depth, start, length, is_open))
    kind = "other" if other else "shown"
    return (
        f'<section id="trace-{trace_id}" class="{kind}">\n'
        f'<h2>{html.escape(title)} <span class="id">{trace_id}</span>'
        f"<small>{began:%Y-%m-%d %H:%M:%S} UTC, {_duration(length)}, {len(tree)} spans</small>"
        "</h2>\n"
        f'<div class="axis"><span></span><span class="ticks">{ticks}</span></div>\n'
        + "\n".join(rows)
        + "\n</section>"
    )


def _span(traces, span, depth, start, length, is_open):
    left = 100 * (span["start_time_unix_nano"] - start) / length
    width = 100 * _length(span) / length
    kind = _kind(span)
    failed = ' class="error"' if span["status"]["code"] == "error" else ""
    return (
        f"<details id=\"{_id(span)}\"{' open' if is_open else ''}{failed}><summary>"
        f'<span class="name" style="padding-left:{depth * 1.2:.1f}rem"><i class="{kind}"></i>'
        f"<b title=\"{html.escape(span['name'])}\">{html.escape(_name(span))}</b>"
        f'{_badges(traces, span)}</span><span class="track">'
        f'<span class="bar {kind}" style="left:{left:.3f}%;width:{width:.3f}%"></span>'
        f"{_time(span, left, width)}</span></summary>"
        f'<div class="more">{_more(traces, span)}</div></details>'
    )


def _time(span, left, width):
    """How long the span took: written beside its bar or, if there is room, in it."""
    if width > 30:
        place, where = f"left:{left:.3f}%", f"inside on-{_kind(span)}"
    elif left + width > 80:
        place, where = f"right:{100 - left:.3f}%", "beside"
    else:
        place, where = f"left:max({left + width:.3f}%, calc({left:.3f}% + 4px))", "beside"
    return f'<span class="time {where}" style="{place}">{_duration(_length(span))}</span>'


def _badges(traces, span):
    """Links to the batch and back that are shown without opening the span."""
    badges = []
    if len(span["links"]) == 1:
        badges.append(("↗ batch", span["links"][0], "links to the batch"))
    back = traces.linked_from.get(prove.context(span), [])
    if back and _kind(span) == "api":
        badges.append(("↙ batch", back[0], "the batch links to this"))
    if not badges:
        return ""
    return (
        '<span class="links">'
        + "".join(f'<a href="#{_id(to)}" title="{title}">{text}</a>' for text, to, title in badges)
        + "</span>"
    )


def _more(traces, span):
    values = {"span id": span["span_id"], "kind": span["kind"], **span["attributes"]}
    if span["status"]["code"] != "unset":
        values["status"] = " ".join(filter(None, span["status"].values()))
    text = (
        "<dl>"
        + "".join(
            f"<dt>{html.escape(str(k))}</dt><dd>{html.escape(str(v))}</dd>"
            for k, v in values.items()
        )
        + "</dl>"
    )
    if span["links"]:
        text += _links(
            f"↗ {_count(len(span['links']), 'link')}",
            [
                (link, _label(link["attributes"], traces.by_context.get(prove.context(link))))
                for link in span["links"]
            ],
        )
    back = traces.linked_from.get(prove.context(span), [])
    if back:
        links = [(s, _label(s["attributes"], s)) for s in back]
        title = f"↙ linked from {_count(len(back), 'span')}"
        text += f'<div class="back">{_links(title, links)}</div>'
    return text


def _links(title, links):
    return (
        f'<p>{title}</p><ul class="links">'
        + "".join(
            f'<li><a href="#{_id(to)}" title="{html.escape(label)}">{html.escape(short)}</a></li>'
            for to, (short, label) in links
        )
        + "</ul>"
    )


def _label(attributes, span):
    """The text of a link, and what is shown when the pointer is on it."""
    name = _name(span) if span else "a span that was not received"
    number = attributes.get("report.request_id")
    if number is None:
        return name, name
    label = f"request {number}: {name}"
    if "report.user_id" in attributes:
        label += f", user {attributes['report.user_id']}"
    return str(number), label


def _name(span):
    """A span's name, with the number of its part: the first part's own name does not have it."""
    index = span["attributes"].get("otel_links.part.index")
    count = span["attributes"].get("otel_links.part.count")
    if count is None:
        return span["name"]
    return f"{span['name'].partition(' (links, part ')[0]}, part {index} of {count}"


def _kind(span):
    if span["name"] == prove.WAIT:
        return "wait"
    return "api" if span["resource"]["attributes"].get("service.name") == client.SERVICE else "jobs"


def _id(context):
    return f"span-{context['trace_id']}-{context['span_id']}"


def _count(number, what):
    return f"{number} {what}{'' if number == 1 else 's'}"


def _length(span):
    return span["end_time_unix_nano"] - span["start_time_unix_nano"]


def _duration(nanoseconds):
    for unit, name in ((SECOND, "s"), (MILLISECOND, "ms"), (MICROSECOND, "µs")):
        if nanoseconds >= unit:
            number = nanoseconds / unit
            return (
                f"{number:.2f} {name}"
                if number < 10
                else f"{number:.1f} {name}" if number < 100 else f"{number:.0f} {name}"
            )
    return "0"
