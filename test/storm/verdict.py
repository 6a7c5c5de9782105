"""Compares the journals of a storm with what the publisher, the subscriber and the receiver have.

Each check is a name and a list of what speaks against it, which is empty when all is well.
"""

import collections
import json

from journal import COMMITTED, ROLLED_BACK, UNKNOWN


class Spans:
    """The spans that the receiver got, by name."""

    def __init__(self, path):
        self.by_name = collections.defaultdict(list)
        copies = collections.Counter()
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                span = json.loads(line)
                name, span_id = span["name"], span["span_id"]
                copies[span_id] += 1
                if copies[span_id] == 1:
                    self.by_name[name].append((span_id, span["status"].get("code")))
        self.duplicates = sum(count - 1 for count in copies.values())

    def arrived(self, name, undone):
        return any((code == "error") == undone for _, code in self.by_name.get(name, ()))

    def ids(self, name):
        return [span_id for span_id, _ in self.by_name.get(name, ())]


def settle_unknown(parts, published):
    """A transaction whose client does not know how it ended has all of its rows or none.  Returns
    those that have some."""
    torn = []
    for part in parts:
        if part.outcome != UNKNOWN:
            continue
        rows = [row for row in part.rows if not row.undone]
        there = sum(row.id in published for row in rows)
        if rows and there == len(rows):
            part.outcome = COMMITTED
        elif rows and there == 0:
            part.outcome = ROLLED_BACK
        elif rows:
            torn.append(f"{part.name}: {there} of {len(rows)} rows")
    return torn


def check_rows(parts, published):
    lost, ghosts, known = [], [], set()
    for part in parts:
        for row in part.rows:
            known.add(row.id)
            if row.id in published:
                if row.undone or part.outcome == ROLLED_BACK:
                    ghosts.append(f"{row.id} of {part}")
            elif part.outcome == COMMITTED and not row.undone:
                lost.append(f"{row.id} of {part}")
    return {
        "lost rows": lost,
        "rows of a rollback": ghosts,
        "rows of nobody": sorted(published.keys() - known)}


def check_contexts(parts, published, spans):
    wrong = []
    for part in parts:
        for row in part.rows:
            if row.id not in published:
                continue
            sent, context = published[row.id]
            if row.expected is not None and row.expected.startswith("span "):
                # another check reports spans that did not arrive
                ids = spans.ids(row.expected[5:])
                right = context is not None and (not ids or context[36:52] in ids)
                right = right and sent in (row.expected, context)
            else:
                right = sent == row.expected and (context == sent or context in row.allowed)
            if not right:
                wrong.append(f"{row.id} of {part}: {context}, not {row.expected} (sent {sent})")
    return {"wrong contexts": wrong}


def check_spans(parts, spans):
    missing, undone_missing, told_wrong, invented = [], [], [], []
    for part in parts:
        if part.outcome == UNKNOWN:
            continue
        for span in part.spans:
            undone = span.undone or part.outcome == ROLLED_BACK
            if spans.arrived(span.name, undone):
                if not undone and spans.arrived(span.name, True):
                    told_wrong.append(f"{span.name} of {part}")
            elif spans.arrived(span.name, not undone):
                # if the queue was locked at PREPARE, the session's next commit queued them
                if not part.was_prepared:
                    (invented if undone else told_wrong).append(f"{span.name} of {part}")
            elif part.outcome == COMMITTED:
                (undone_missing if undone else missing).append(f"{span.name} of {part}")
    return {
        "missing spans": missing,
        "missing spans of savepoints": undone_missing,
        "spans of committed work that say Error": told_wrong,
        "spans of work that was undone that do not say Error": invented}


def check_subscriber(published, replicated, spans):
    differences = [f"{id}: {published.get(id)}, on the subscriber {replicated.get(id)}"
                   for id in sorted(published.keys() | replicated.keys())
                   if published.get(id) != replicated.get(id)]
    return {
        "differences on the subscriber": differences,
        "missing spans of the subscriber": [
            id for id in replicated if not spans.arrived(f"applied {id}", False)]}


def check_hot(parts, hot):
    """The sum of what was added, and each row's context."""
    added = sum(part.bumps for part in parts if part.outcome == COMMITTED)
    unknown = sum(part.bumps for part in parts if part.outcome == UNKNOWN)
    there = sum(n for _, n, _, _ in hot)
    wrong = [] if added <= there <= added + unknown else [f"{there}, not {added}"]
    return {
        "lost updates": wrong,
        "wrong contexts of updates": [
            f"{id}: {context}, not {expected}" for id, _, expected, context in hot
            if context != expected]}


def judge(parts, published, replicated, hot, spans):
    checks = {"transactions in part": settle_unknown(parts, published)}
    checks |= check_rows(parts, published)
    checks |= check_contexts(parts, published, spans)
    checks |= check_spans(parts, spans)
    checks |= check_subscriber(published, replicated, spans)
    checks |= check_hot(parts, hot)
    return checks
