"""One of the storm's sessions: random transactions, each noted in a journal as it goes.

The choices come from the session's own seeded generator, so that a seed gives each session the same
script of transactions; how the sessions interleave is the machine's affair.
"""

import random
import threading
import time

import psycopg
from psycopg.pq import TransactionStatus

from journal import COMMITTED, ROLLED_BACK, UNKNOWN, Part

ISOLATION = ["READ COMMITTED"] * 4 + ["REPEATABLE READ", "SERIALIZABLE", "SERIALIZABLE"]


class Session(threading.Thread):
    """pid is the server process to cancel or terminate, or None.  parts is the journal, and errors
    counts the SQLSTATEs of what failed."""

    def __init__(self, number, seed, conninfo, until, prepare_transactions):
        super().__init__(name=f"session {number}", daemon=True)
        self.random = random.Random(f"{seed}/{number}")
        self.prefix = f"s{number}"
        self.conninfo = conninfo
        self.until = until
        self.parts = []
        self.errors = {}
        self.failure = None
        self.pid = None
        self.connection = None
        self._transactions = 0
        self._savepoints = 0
        self._moves = [self.transaction] * 12 + [
            self.one_message, self.one_message, self.two_comments, self.steps, self.steps,
            self.exceptions, self.job, self.job_in_steps, self.read_only, self.hold_cursor,
            self.session_setting, self.session_span, self.discard, self.reconnect]
        if prepare_transactions:
            self._moves += [self.two_phase] * 2

    # ---- the connection ----

    def run(self):
        try:
            while time.monotonic() < self.until:
                self._one_move()
            self._disconnect()
        except Exception as error:  # a fault of the storm itself; the main thread raises it
            self.failure = error

    def _one_move(self):
        try:
            if self.connection is None:
                self._connect()
            move = self.random.choice(self._moves)
            self._move_name = move.__name__
            move()
        except psycopg.Error as error:
            self._note(error)
            for part in self.parts[-3:]:
                part.error = part.error or f"{error.sqlstate} {error}".strip()
        self._clean_up()

    def _connect(self):
        options = ""
        self.session_context = None
        if self.random.random() < 0.3:
            self.session_context = self._some_context()
            options = f"-c otel.traceparent={self.session_context}"
        self.transaction_context = None
        self.spans = []             # open ones, the innermost last; the session's own come first
        self.session_spans = 0
        self.connection = psycopg.connect(self.conninfo, autocommit=True, options=options,
                                          application_name=self.name)
        self.connection.prepared_max = 20
        self.pid = self.connection.info.backend_pid

    def _disconnect(self):
        self.pid = None
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def _clean_up(self):
        """Leaves an idle connection, or none, and only the session's own spans on the stack."""
        connection = self.connection
        for _ in range(3):
            if connection is None or connection.closed:
                break
            if connection.info.transaction_status == TransactionStatus.IDLE:
                del self.spans[self.session_spans:]
                self.transaction_context = None
                return
            try:
                connection.execute("ROLLBACK")
            except psycopg.Error as error:
                self._note(error)
        self._disconnect()

    def _note(self, error):
        key = error.sqlstate or type(error).__name__
        self.errors[key] = self.errors.get(key, 0) + 1

    # ---- words of the language ----

    def _some_context(self):
        trace_id = self.random.getrandbits(128) or 1
        span_id = self.random.getrandbits(64) or 1
        return f"00-{trace_id:032x}-{span_id:016x}-01"

    def _part(self):
        self._transactions += 1
        part = Part(f"{self.prefix}-{self._transactions}", self._move_name)
        self.parts.append(part)
        return part

    def _expected(self, comment=None):
        """The context of a row that a statement with this comment inserts now."""
        if self.spans:
            return self.spans[-1].context
        return self.transaction_context or comment or self.session_context

    def _comment(self):
        """A context for a comment, or None for a statement without one."""
        return self._some_context() if self.random.random() < 0.7 else None

    @staticmethod
    def _commented(sql, comment):
        return sql if comment is None else f"{sql} /*traceparent='{comment}'*/"

    def _run(self, sql, comment=None, parameters=None, prepare=None):
        """By the simple protocol without parameters, else by the extended one."""
        return self.connection.execute(self._commented(sql, comment), parameters, prepare=prepare)

    def _commit(self, part, sql="COMMIT", parameters=None):
        """Runs something that commits, alone or at its end.  An error that leaves the connection
        alive is a rollback."""
        part.outcome = UNKNOWN
        try:
            self.connection.execute(sql, parameters)
        except psycopg.Error as error:
            if self._is_alive_after(error):
                part.outcome = ROLLED_BACK
            raise
        part.outcome = COMMITTED

    def _is_alive_after(self, error):
        """Did the server answer with an error, rather than end the connection?"""
        return not self.connection.closed and error.sqlstate not in (None, "57P01", "57P02")

    def _start_span(self, part, scope="transaction"):
        span = part.begin_span()
        links, attributes = "%s", "'{\"storm\": true}'"
        if self.random.random() < 0.3:
            links = "ARRAY[otel.span_link(%s::otel.trace_context)]"
        if self.random.random() < 0.05:
            attributes = "jsonb_build_object('text', repeat('x', 20000))"
        link = self._some_context() if links != "%s" else None
        answer = self._run(f"SELECT otel.start_span(%s, {links}, scope => '{scope}',"
                           f" attributes => {attributes})::text", None, (span.name, link))
        span.context = answer.fetchone()[0]
        self.spans.append(span)
        return span

    # ---- transactions of many statements ----

    def transaction(self):
        part = self._part()
        self._run("BEGIN ISOLATION LEVEL " + self.random.choice(ISOLATION))
        self._work(part)
        end = self.random.random()
        if end < 0.75:
            self._commit(part)
        elif end < 0.85:
            self._commit(part, "COMMIT AND CHAIN")
            del self.spans[self.session_spans:]
            self.transaction_context = None
            part = self._part()
            self._work(part)
            self._commit(part)
        else:
            self._roll_back(part)

    def _roll_back(self, part):
        self._run("ROLLBACK")

    def two_phase(self):
        part = self._part()
        self._run("BEGIN ISOLATION LEVEL " + self.random.choice(ISOLATION))
        self._work(part, [self._insert, self._insert, self._savepoint, self._span, self._bump,
                          self._insert_deferred])
        part.outcome = UNKNOWN      # if need be the end of the storm decides
        try:
            self._run(f"PREPARE TRANSACTION '{part.name}'")
        except psycopg.Error as error:
            if self._is_alive_after(error):
                part.outcome = ROLLED_BACK
            raise
        part.was_prepared = True
        # whoever ends it, the session's stack is empty
        del self.spans[self.session_spans:]
        self.transaction_context = None
        if self.random.random() < 0.8:
            self._run(f"COMMIT PREPARED '{part.name}'")
            part.outcome = COMMITTED
        else:
            self._run(f"ROLLBACK PREPARED '{part.name}'")
            part.outcome = ROLLED_BACK

    def _work(self, part, steps=None):
        steps = steps or [
            self._insert, self._insert, self._insert, self._insert_many, self._copy,
            self._pipeline, self._prepared, self._set_local, self._span, self._span,
            self._savepoint, self._savepoint, self._bump, self._bump, self._cursor,
            self._temporary_table, self._listen, self._exceptions, self._insert_deferred,
            self._timeout]
        # the first row tells how a transaction ended whose client does not know
        self._insert(part)
        for _ in range(self.random.randint(1, 6)):
            self.random.choice(steps)(part)
        while len(self.spans) > self.session_spans and self.random.random() < 0.9:
            self._end_span(part)

    def _insert(self, part):
        comment = self._comment()
        row = part.row(self._expected(comment))
        if self.random.random() < 0.5:
            self._run("INSERT INTO work VALUES (%s, %s)", comment, (row.id, row.expected))
        else:
            self._run("INSERT INTO work VALUES "
                      f"({self._literal(row.id)}, {self._literal(row.expected)})", comment)

    @staticmethod
    def _literal(text):
        return "NULL" if text is None else f"'{text}'"

    def _insert_many(self, part):
        comment = self._comment()
        expected = self._expected(comment)
        rows = [part.row(expected) for _ in range(self.random.randint(2, 40))]
        self._run("INSERT INTO work SELECT id, %s FROM unnest(%s::text[]) id", comment,
                  (expected, [row.id for row in rows]))

    def _insert_deferred(self, part):
        """One in eight has a trigger that fails when it commits."""
        comment = self._comment()
        name = part.next_name() + " deferred" + (" fails" if self.random.random() < 0.12 else "")
        row = part.row(self._expected(comment), id=name)
        self._run("INSERT INTO work VALUES (%s, %s)", comment, (row.id, row.expected))
        part.whole_span(f"{name} later")
        part.row(f"span {name} later", id=f"{name} later")

    def _copy(self, part):
        comment = self._comment()
        expected = self._expected(comment)
        rows = [part.row(expected) for _ in range(self.random.randint(1, 60))]
        with self.connection.cursor() as cursor:
            sql = self._commented("COPY work (id, expected) FROM STDIN", comment)
            with cursor.copy(sql) as copy:
                for row in rows:
                    copy.write_row((row.id, row.expected))

    def _pipeline(self, part):
        with self.connection.pipeline():
            for _ in range(self.random.randint(2, 8)):
                comment = self._comment()
                row = part.row(self._expected(comment))
                self._run("INSERT INTO work VALUES (%s, %s)", comment, (row.id, row.expected))

    def _prepared(self, part):
        """A named statement, several times in its transaction: its comment may be trusted."""
        comment = self._some_context()
        expected = self._expected(comment)
        for _ in range(self.random.randint(1, 3)):
            row = part.row(expected, allowed=[self._expected()])
            self._run("INSERT INTO work VALUES (%s, %s)", comment, (row.id, expected), prepare=True)

    def _set_local(self, part):
        context = self._some_context()
        if self.random.random() < 0.5:
            self._run(f"SET LOCAL otel.traceparent = '{context}'")
        else:
            self._run("SELECT otel.set_trace_context(%s)", None, (context,))
        self.transaction_context = context

    def _span(self, part):
        if len(self.spans) > self.session_spans and self.random.random() < 0.4:
            self._end_span(part)
            return
        self._start_span(part)
        if self.random.random() < 0.3:
            self._run("SELECT otel.set_attributes(%s), otel.add_event('event')", None,
                      ('{"b": 2}',))
        if self.random.random() < 0.2:
            self._run("SELECT otel.record_span(%s, clock_timestamp())", None,
                      (part.whole_span().name,))

    def _end_span(self, part):
        # in this order: a cancelled statement ends nothing, and its transaction is undone anyway
        self._run("SELECT otel.end_span()")
        part.end_span(self.spans.pop())

    def _savepoint(self, part):
        """Does some work, which is kept, rolled back, or undone by an error.  Spans stay open."""
        place = len(part.effects)
        before = self.transaction_context
        self._savepoints += 1
        name = f"s{self._savepoints}"
        self._run(f"SAVEPOINT {name}")
        for _ in range(self.random.randint(1, 3)):
            self.random.choice([self._insert, self._span, self._bump, self._set_local,
                                self._savepoint, self._insert_many])(part)
        end = self.random.random()
        if end < 0.4:
            self._run(f"RELEASE {name}")
            return
        if end < 0.7:
            try:
                self._run("SELECT 1 / 0")
            except psycopg.errors.DivisionByZero:
                pass
        self._run(f"ROLLBACK TO {name}")
        part.undo_since(place)
        self.transaction_context = before

    def _bump(self, part):
        comment = self._comment()
        self._run("UPDATE hot SET n = n + 1, expected = coalesce(%s, expected) WHERE id = %s",
                  comment, (self._expected(comment), self.random.randint(1, 8)))
        part.bump()
        if self.random.random() < 0.3:
            self._run("SELECT sum(n) FROM hot")

    def _cursor(self, part):
        self._run("DECLARE c SCROLL CURSOR FOR SELECT id FROM work")
        self._run("FETCH 3 FROM c")
        if self.random.random() < 0.5:
            self._insert(part)
        self._run("FETCH BACKWARD 2 FROM c")
        self._run("CLOSE c")

    def _temporary_table(self, part):
        comment = self._comment()
        row = part.row(self._expected(comment))
        table = "t" + row.id.replace("-", "_").replace(".", "_")
        drop = self.random.choice(
            ["ON COMMIT DROP", "ON COMMIT DELETE ROWS", "ON COMMIT PRESERVE ROWS"])
        self._run(f"CREATE TEMPORARY TABLE {table} (id text, expected text) {drop}")
        self._run(f"INSERT INTO {table} VALUES (%s, %s)", None, (row.id, row.expected))
        self._run(f"INSERT INTO work SELECT * FROM {table}", comment)

    def _listen(self, part):
        self._run(self.random.choice(["LISTEN storm", "UNLISTEN *"]))
        self._run("SELECT pg_notify('storm', %s)", None, (part.name,))

    def _exceptions(self, part):
        comment = self._comment()
        self._call_exceptions(part, part.next_name(), self._expected(comment), comment)

    def _call_exceptions(self, part, job, given, comment):
        part.row(given, id=f"{job}.1")
        span = part.begin_span(job)
        for number in 2, 3:
            part.row(None, id=f"{job}.{number}").undone = True
        for name in "inner", "deep":
            part.whole_span(f"{job} {name}").undone = True
        part.row(f"span {job}", id=f"{job}.4")
        part.end_span(span)
        sql = f"CALL exceptions({self._literal(job)}, {self._literal(given)})"
        self._run(sql, comment)

    def _timeout(self, part):
        """Some of what follows in this transaction times out."""
        name = self.random.choice(["statement_timeout", "lock_timeout"])
        self._run(f"SET LOCAL {name} = '{self.random.choice([5, 20, 100])}ms'")

    # ---- one message, or one statement, which commits by itself ----

    def one_message(self):
        """A transaction in one message of the simple protocol, whose one comment speaks for it."""
        part = self._part()
        comment = self._some_context()
        given = self._expected(comment)
        first = part.row(given)
        span = part.begin_span()
        second = part.row(f"span {span.name}")
        part.end_span(span)
        third = part.row(given)
        insert = "INSERT INTO work VALUES ({}, {})".format
        statements = [
            insert(self._literal(first.id), self._literal(first.expected)),
            f"SELECT otel.start_span('{span.name}')",
            insert(self._literal(second.id), self._literal(second.expected)),
            "SELECT otel.end_span()",
            insert(self._literal(third.id), self._literal(third.expected))]
        if self.random.random() < 0.5:
            statements = ["BEGIN", *statements, "COMMIT"]
        statements[self.random.randrange(len(statements))] += f" /*traceparent='{comment}'*/"
        self._commit(part, ";".join(statements))

    def two_comments(self):
        """Two statements in one message, each with a comment of its own."""
        part = self._part()
        comments = [self._some_context(), self._some_context()]
        rows = [part.row(self._expected(comment)) for comment in comments]
        self._commit(part, "; ".join(
            self._commented(f"INSERT INTO work VALUES ('{row.id}', '{row.expected}')", comment)
            for row, comment in zip(rows, comments)))

    def steps(self):
        self._call_steps(lambda job, given: f"CALL steps('{job}', {self._literal(given)})")

    def _call_steps(self, call, commented=True):
        """The procedure's three transactions; the result of some may be unknown to the client."""
        comment = self._comment() if commented else None
        given = self._expected(comment)
        first = self._part()
        job = first.name
        first.row(given, id=f"{job}.1")
        first.row(f"span {job}", id=f"{job}.2")
        first.row(None, id=f"{job}.3").undone = True
        first.row(None, id=f"{job}.4").undone = True
        second = self._part()
        second.row(f"span {job}", id=f"{job}.5")
        second.whole_span(job)
        third = self._part()
        third.row(given, id=f"{job}.6")
        parts = [first, second, third]
        for part in parts:
            part.outcome = UNKNOWN
        self._run(call(job, given), comment)
        for part in parts:
            part.outcome = COMMITTED

    def exceptions(self):
        """The same in a transaction of its own."""
        part = self._part()
        comment = self._comment()
        part.outcome = UNKNOWN
        self._call_exceptions(part, part.name, self._expected(comment), comment)
        part.outcome = COMMITTED

    def job(self):
        part = self._part()
        span = part.whole_span()
        row = part.row(f"span {span.name}")
        fails = "; SELECT 1 / 0" if self.random.random() < 0.3 else ""
        self._commit(part, f"CALL otel.trace_job('{span.name}', "
                           f"$$INSERT INTO work VALUES ('{row.id}', '{row.expected}'){fails}$$)")

    def job_in_steps(self):
        """A job that commits.  What it is given is the context of the job's span."""
        outer = self._part()
        outer.whole_span()
        name = outer.spans[0].name
        outer.outcome = UNKNOWN     # its span has no row of its own: its end is that of the steps
        spans, self.spans = self.spans, [type(outer.spans[0])(name, f"span {name}")]
        try:
            self._call_steps(lambda job, given: f"CALL otel.trace_job('{name}', "
                             f"$$CALL steps('{job}', '{given}')$$)", commented=False)
        finally:
            self.spans = spans
        outer.outcome = COMMITTED

    def read_only(self):
        part = self._part()
        self._run("BEGIN READ ONLY")
        self._start_span(part)
        self._run("SELECT count(*) FROM hot")
        if self.random.random() < 0.8:
            self._end_span(part)
        self._commit(part)

    def hold_cursor(self):
        """Its rows, and their spans, are made when the transaction commits."""
        part = self._part()
        self._run("BEGIN")
        self._insert(part)
        names = [part.whole_span().name for _ in range(3)]
        self._run("DECLARE held CURSOR WITH HOLD FOR"
                  " SELECT otel.record_span(name, clock_timestamp())"
                  f" FROM unnest('{{{','.join(names)}}}'::text[]) name")
        self._commit(part)
        self._run("FETCH ALL FROM held")
        self._run("CLOSE held")

    # ---- what belongs to the session ----

    def session_setting(self):
        context = self._some_context() if self.random.random() < 0.7 else ""
        try:
            self._run(f"SET otel.traceparent = '{context}'")
        except psycopg.Error:
            self._disconnect()      # it may or may not be set
            raise
        self.session_context = context or None

    def session_span(self):
        """Opens one for the transactions to come, or ends the one that is open."""
        part = self._part()
        try:
            if self.session_spans:
                part.whole_span(self.spans[-1].name)
                self._commit(part, "SELECT otel.end_span()")
                self.spans.pop()
                self.session_spans = 0
            else:
                # the part that ends it answers for it; cut off, it is open until the session ends
                self._start_span(Part(part.name, part.move), "session")
                self.session_spans = 1
        except psycopg.Error:
            # Cut off before the call, the statement ended no span: the end of the session did.
            part.outcome = UNKNOWN
            self._disconnect()
            raise

    def discard(self):
        if self.session_spans:
            return
        try:
            self._run(self.random.choice(["DISCARD ALL", "DISCARD PLANS", "DISCARD TEMP"]))
        finally:
            self._disconnect()      # psycopg does not learn that its prepared statements are gone

    def reconnect(self):
        self._disconnect()
