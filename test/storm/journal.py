"""Records what the storm's clients did, and what must be true afterwards.

A Part is one transaction: its rows, its spans and how it ended as far as its client was told.
Nothing here asks the server; verdict.py compares a journal with what is there.
"""

COMMITTED = "committed"         # the client was told so
ROLLED_BACK = "rolled back"     # the client was told so, or never asked for a commit
UNKNOWN = "unknown"             # the connection broke before COMMIT was answered


class Row:
    """A row that was inserted.  expected is the text of the context that it must have, None, or
    "span NAME" where the client cannot know it: that of the span of that name.  allowed are others
    that it may have, where the server may refuse to trust a comment."""

    __slots__ = ("id", "expected", "allowed", "undone")

    def __init__(self, id, expected, allowed=()):
        self.id = id
        self.expected = expected
        self.allowed = allowed
        self.undone = False


class Span:
    """A span that was started.  undone: a rollback undid its start or its end, so its status is
    Error."""

    __slots__ = ("name", "context", "undone")

    def __init__(self, name, context=None):
        self.name = name
        self.context = context
        self.undone = False


class Bump:
    """An UPDATE that added one to a row of the table hot."""

    __slots__ = ("undone",)

    def __init__(self):
        self.undone = False


class Part:
    def __init__(self, name, move):
        self.name = name
        self.move = move        # the method of Session that made it
        self.error = None       # what it or the next two failed with, to find out why
        self.effects = []       # in order of time; a span twice, when it begins and when it ends
        self.spans = []
        self.outcome = ROLLED_BACK
        self.was_prepared = False
        self._numbers = 0

    def next_name(self):
        self._numbers += 1
        return f"{self.name}.{self._numbers}"

    def row(self, expected, id=None, allowed=()):
        row = Row(id or self.next_name(), expected, allowed)
        self.effects.append(row)
        return row

    def begin_span(self, name=None, context=None):
        span = Span(name or self.next_name(), context)
        self.spans.append(span)
        self.effects.append(span)
        return span

    def end_span(self, span):
        self.effects.append(span)

    def whole_span(self, name=None):
        """A span that begins and ends in one statement."""
        span = self.begin_span(name)
        self.end_span(span)
        return span

    def bump(self):
        self.effects.append(Bump())

    def undo_since(self, place):
        """A rollback to a savepoint that was set when there were so many effects."""
        for effect in self.effects[place:]:
            effect.undone = True

    def __str__(self):
        error = f", {self.error}" if self.error else ""
        return f"{self.name}, {self.move}, {self.outcome}{error}"

    @property
    def rows(self):
        return [effect for effect in self.effects if isinstance(effect, Row)]

    @property
    def bumps(self):
        return sum(isinstance(effect, Bump) and not effect.undone for effect in self.effects)
