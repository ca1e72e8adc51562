"""Writes a batch's rows to a team's own table, and finds out which of them the table refuses, and why.

stage (COPY, ANALYZE) ─► rows that exist, locked in key order ─► parents, locked in key order
─► NOT NULL and CHECK by the table's own expressions ─► UPDATE only what differs
─► INSERT, and if the table refuses one of the rows INSERT … ON CONFLICT DO NOTHING ─► what is left alone, in savepoints

All constraints are immediate, so nothing waits for the COMMIT. Rows come before their parents, as Django's `delete()`
takes them. The batch waits for locks for a short time only (`short_waits`).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from django.db import DatabaseError

from etl.copy_text import format_value
from etl.database import atomic, connection
from etl.exceptions import RunError
from etl.readers.target_plan import OwnedParent, TargetPlan
from etl.records import Breach, Stamp
from etl.storage.bulk_copy import copy_lines
from etl.storage.short_waits import in_short_waits
from etl.storage.target_changes import explain_change, require_table
from etl.storage.target_defaults import Defaults, list_given, list_touched
from etl.storage.target_parents import write_refusal, write_search
from etl.storage.target_tables import Check, TargetTable, load_table, quote
from etl.storage.transactions import describe, find_code
from etl.vocabulary import BreachCode, Reason

MOST_SAVEPOINTS = 2000
"""If a table refuses more parts of one batch than this, the reason is not in the rows."""

_STATES = "etl_key, etl_found, etl_left, etl_code"
"""Whose statistics tell PostgreSQL how many rows a statement finds; those of the other columns would be dear."""
_REFUSED = "etl_code IS NULL"
_STORED = "etl_key IS NOT NULL"
_NEW = "etl_key IS NULL AND NOT etl_found"
# Usually no other session draws keys in the meantime, and the first one is enough.
_DRAW_KEYS = """
    SELECT min(key), CASE WHEN max(key) - min(key) >= count(*) THEN array_agg(key) END
    FROM (SELECT nextval(%s::regclass) AS key FROM generate_series(1, %s)) AS drawn
"""
# Keys drawn from the table's own sequence, which is GENERATED ALWAYS in some tables.
_OVERRIDING = "OVERRIDING SYSTEM VALUE"
_OF_SERVER = (
    *("00", "01", "02", "03", "08", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "24", "25", "26", "28", "2B", "2D", "2F"),
    *("34", "3B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "72", "F0", "HV", "XX"),
)
"""Classes of PostgreSQL's errors that are not due to a row. A trigger may raise an error of any class of its own."""
_OF_OTHER_ROWS = ("23505", "23P01")
"""unique_violation and exclusion_violation."""
_OF_CHANGE = ("22", "42")
"""Classes of errors that show a table of another shape, unless a row is written: what does not fit, or is gone."""

_refusing: set[str] = set()
"""Models whose table refused new rows of the last batch. Only for these does the first attempt have ON CONFLICT, which
costs a tenth of an INSERT's time."""


class StagedRow(NamedTuple):
    """A record's row: the number by which the caller knows it, the key of the row it has already, its staged values.

    `values` are COPY text, tab by tab.
    """

    number: int
    target_key: str | None
    values: str


@dataclass(slots=True)
class Written:
    """What became of the staged rows, by their numbers: the keys of their rows, or why the table refuses them.

    `gone` are those whose rows the team has deleted; they keep their keys.
    """

    keys: dict[int, str] = field(default_factory=dict)
    refused: dict[int, Breach] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)

    def list_present(self) -> list[str]:
        """Return the keys of the rows that are in the table."""
        return [key for number, key in self.keys.items() if number not in self.gone]


DrawKeys = Callable[[Any, TargetTable, int], Sequence[int]]
"""Gives this many keys for new rows of a table that draws them from a sequence."""


def draw_keys(cursor: Any, table: TargetTable, count: int) -> Sequence[int]:
    """Draw keys from the table's own sequence."""
    cursor.execute(_DRAW_KEYS, [table.sequence, count])
    first, others = cursor.fetchone()
    return range(first, first + count) if others is None else others


def write_rows(
    cursor: Any, plan: TargetPlan, rows: Sequence[StagedRow], stamp: Stamp, draw: DrawKeys = draw_keys
) -> Written:
    """Write these rows. Raises RunError if the table refuses too many of them, or is not as its model says."""
    if not rows:
        return Written()
    try:
        return in_short_waits(cursor, partial(_write, cursor, plan, rows, stamp, draw))
    except DatabaseError as error:
        if (find_code(error) or "").startswith(_OF_CHANGE):
            raise explain_change(plan, describe(error)) from error
        raise


def _write(cursor: Any, plan: TargetPlan, rows: Sequence[StagedRow], stamp: Stamp, draw: DrawKeys) -> Written:
    table = load_table(cursor, plan.into.model)
    require_table(plan, table)
    stage = _Stage(cursor, plan, table, stamp, draw)
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    stage.fill(rows)
    stored = sum(row.target_key is not None for row in rows)
    found = stage.find_stored() if stored else 0
    stage.find_parents()
    if found < stored:
        stage.find_again()
    for each in sorted(plan.parents, key=lambda each: each.missing == "wait"):  # a broken record does not wait
        stage.refuse_orphans(each)
    stage.judge(f"({_NEW} OR etl_found)")
    stage.update(_STORED)
    if plan.into.creates and stored < len(rows):
        stage.insert()
        stage.insert_broken()
    if not plan.into.creates or stage.is_any_left:
        stage.adopt()
        stage.finish()
    return stage.read(rows)


class _Stage:
    """The temporary table with a batch's rows as they will be, and the statements that use it."""

    def __init__(self, cursor: Any, plan: TargetPlan, table: TargetTable, stamp: Stamp, draw: DrawKeys) -> None:
        self.cursor, self.plan, self.table, self.stamp, self.draw = cursor, plan, table, stamp, draw
        self.pk, self.target = quote(table.pk), table.name
        self.columns = [quote(name) for name in table.columns]
        self.given = list_given(plan, table)
        self.owned = plan.owned
        self.key = [quote(name) for name in plan.key]
        self.name = self._create()
        self.drawn: Sequence[int] = ()
        self.is_any_found, self.is_any_left, self.is_any_kept_out = False, False, False
        self.savepoints, self.reason = 0, ""
        self.kept_out: list[int] = []
        """The numbers of the rows that another row kept out when they were written alone."""
        self.broken: list[int] = []
        """The numbers of the rows that break NOT NULL or a CHECK, if a trigger may mend them."""

    # --- the table ---
    def _create(self) -> str:
        columns = [f"{quote(name)} {column.declaration}" for name, column in self.table.columns.items()]
        naturals = [f"etl_p{place} {kind}" for place, kind in self._list_naturals()]
        text = ", ".join(
            [
                *("etl_n integer", "etl_key text", "etl_found boolean DEFAULT false", "etl_left boolean DEFAULT false"),
                *("etl_code text", "etl_place text", "etl_why text", "etl_awaits text", *naturals, *columns),
            ]
        )
        name = f"etl_stage_{hashlib.sha256(f'{self.target} {text}'.encode()).hexdigest()[:12]}"
        self.cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({text}) ON COMMIT DELETE ROWS")
        return name

    def _list_naturals(self) -> Iterable[tuple[int, str]]:
        for each in self.plan.parents:
            types = {str(f.column): str(f.db_type(connection)) for f in each.model._meta.concrete_fields}
            yield from zip(each.places, (types[column] for column in each.natural), strict=True)

    def fill(self, rows: Sequence[StagedRow]) -> None:
        """Send the rows with all that a new row needs."""
        by_place = {each.place: quote(each.name) for each in self.plan.columns}
        staged = [by_place.get(place, f"etl_p{place}") for place in range(len(self.plan.values))]
        defaults = Defaults(self.plan, self.table, self.stamp)
        columns = ["etl_n", "etl_key", *staged, *map(quote, defaults.columns)]
        lines = (f"{row.number}\t{format_value(row.target_key)}\t{row.values}{defaults.make()}" for row in rows)
        if defaults.draws_keys:
            self.drawn = self.draw(self.cursor, self.table, len(rows))
            columns.append(self.pk)
            lines = (f"{line}\t{key}" for line, key in zip(lines, self.drawn, strict=True))
        copy_lines(self.cursor, self.name, columns, lines)
        self.cursor.execute(f"ANALYZE {self.name} ({_STATES})")

    # --- parents ---
    def find_parents(self) -> None:
        """Find and lock the foreign keys' rows, each parent's in the order of their keys."""
        if self.plan.parents:
            self._execute_hashed(write_search(self.plan.parents, self.name))

    def refuse_orphans(self, each: OwnedParent) -> None:
        """Refuse the rows without this parent, or let them wait for it, as its source declares."""
        if each.missing != "null":
            self.cursor.execute(*write_refusal(each, self.name, _REFUSED))

    # --- rows that exist ---
    def find_stored(self) -> int:
        """Find and lock the rows that the source has written before. Returns how many there are."""
        kind = self.table.columns[self.table.pk].type
        count = self._take_found(f"t.{self.pk} = s.etl_key::{kind}", _STORED)
        self.is_any_found = count > 0
        return count

    def find_again(self) -> None:
        """Find and lock rows that the team has deleted and created again. What is deleted stays deleted."""
        self.is_any_found |= self._take_found(self._has_its_key(), f"{_STORED} AND NOT etl_found") > 0

    def _has_its_key(self) -> str:
        return " AND ".join(f"t.{name} = s.{name}" for name in self.key)

    def adopt(self) -> None:
        """Take the rows with the keys of those that could not be inserted: they were there before, or are new."""
        left = "true" if not self.plan.into.creates else "etl_left"
        waiting = f"{_NEW} AND ({_REFUSED} AND {left} OR etl_code = '{BreachCode.CONSTRAINT}')"
        if self._take_found(self._has_its_key(), waiting):
            adopted = "etl_key IS NULL AND etl_found"
            self.is_any_found = True
            self._refuse_second()
            self.judge(adopted)
            self.update(adopted)

    def _refuse_second(self) -> None:
        """Refuse an adopted record whose row another record of the batch has: their keys are equal to the table."""
        self._execute_hashed(f"""
            WITH ranked AS (
                SELECT etl_n, row_number() OVER (PARTITION BY {self.pk} ORDER BY etl_key IS NULL AND etl_found, etl_n)
                FROM {self.name} WHERE {_REFUSED} AND {self.pk} IS NOT NULL
            )
            UPDATE {self.name} AS s SET etl_code = '{BreachCode.CONSTRAINT}',
                etl_why = {_quote_text(f"another record of the batch has its row of {self.plan.into.label}")}
            FROM ranked AS r WHERE r.etl_n = s.etl_n AND r.row_number > 1 AND s.etl_key IS NULL AND s.etl_found
        """)

    def _take_found(self, alike: str, condition: str) -> int:
        """Lock these rows in the order of their keys, and complete the staged ones by what is the team's.

        Returns how many there are.
        """
        owned = {quote(name) for name in self.owned}
        key = ", ".join(f"t.{name}" for name in self.key)
        code = f"nullif(s.etl_code, '{BreachCode.CONSTRAINT}')"
        sets = [f"{name} = l.{name}" for name in self.columns if name not in owned]
        if self.pk in owned:
            code = f"CASE WHEN s.{self.pk} = l.{self.pk} THEN {code} ELSE '{BreachCode.CONSTRAINT}' END"
            why = f"its row of {self.plan.into.label} has another primary key"
            sets.append(f"etl_why = {_quote_text(why)}")
        return self._execute_hashed(f"""
            WITH found AS MATERIALIZED (
                SELECT s.etl_n, f.{self.pk} AS etl_pk FROM {self.name} AS s
                CROSS JOIN LATERAL (SELECT t.{self.pk} FROM {self.target} AS t WHERE {alike} LIMIT 1) AS f
                WHERE {condition}
            ),
            locked AS MATERIALIZED (
                SELECT t.* FROM {self.target} AS t WHERE t.{self.pk} = ANY(ARRAY(SELECT etl_pk FROM found))
                ORDER BY {key} FOR NO KEY UPDATE
            )
            UPDATE {self.name} AS s SET {", ".join(["etl_found = true", f"etl_code = {code}", *sets])},
                etl_key = CASE WHEN s.etl_key IS NOT NULL THEN l.{self.pk}::text END
            FROM found AS f JOIN locked AS l ON l.{self.pk} = f.etl_pk WHERE s.etl_n = f.etl_n
        """)

    # --- what the table refuses ---
    def judge(self, condition: str) -> None:
        """Refuse those of these rows that break NOT NULL or a CHECK, by the table's own expressions."""
        self.broken = []
        required = [name for name in self.given if self.table.columns[name].is_required]
        absent = " ".join(f"WHEN {quote(name)} IS NULL THEN {_quote_text(name)}" for name in required)
        cases = [(f"{quote(name)} IS NULL", f"{name} must not be null") for name in required]
        cases += [(self._describe_broken(check), self._describe(name)) for name, check in self.table.checks.items()]
        if not cases:
            return
        why = " ".join(f"WHEN {broken} THEN {_quote_text(text)}" for broken, text in cases)
        place = f"CASE {absent} ELSE '' END" if absent else "''"
        statement = (
            f"UPDATE {self.name} SET etl_code = '{BreachCode.CONSTRAINT}', etl_place = {place},"
            f" etl_why = CASE {why} END"
            f" WHERE {_REFUSED} AND {condition} AND ({' OR '.join(broken for broken, _ in cases)})"
            " RETURNING etl_n"
        )
        try:
            with atomic():
                self.cursor.execute(statement)
                broken = [row[0] for row in self.cursor.fetchall()]
        except DatabaseError as error:
            if not is_violation(error) and not _is_of_class_42(error):
                raise
            # The expression fails on a row, or needs a whole row of the table: writing the rows shows what it says.
            return
        self.is_any_left |= bool(broken)
        if self.table.has_triggers:
            self.broken = broken

    def _describe_broken(self, check: Check) -> str:
        """Return a condition for the rows that break it. A new row lacks what the database itself will fill in."""
        broken = f"({check.expression}) IS FALSE"
        return broken if set(check.columns) <= set(self.given) else f"(etl_found AND {broken})"

    def _describe(self, constraint: str) -> str:
        return f"it violates the constraint {constraint} of {self.plan.into.label}"

    # --- writing ---
    def update(self, condition: str) -> None:
        """Update those of these rows that differ in a column of the source's."""
        if not self.is_any_found:
            return
        chosen = f"{_REFUSED} AND etl_found AND {condition}"
        self.kept_out = []  # what was kept out of an INSERT is another matter
        self._write(chosen, self._update_some)
        most = len(self.kept_out) + 1
        while 0 < len(self.kept_out) < most and self._may_retry:
            # A value that kept a row out may have been given up by a later row.
            numbers, self.kept_out, most = sorted(self.kept_out), [], len(self.kept_out)
            self.cursor.execute(f"UPDATE {self.name} SET etl_code = NULL WHERE etl_n = ANY(%s)", [numbers])
            self._write(chosen, self._update_some, numbers)
        self._try_broken(f"etl_found AND {condition}", self._update_some)

    @property
    def _may_retry(self) -> bool:
        """Whether refused rows may be tried again: only while most savepoints are left for the others."""
        return self.savepoints < MOST_SAVEPOINTS // 4

    def _try_broken(self, condition: str, write: Callable[[str], Any]) -> None:
        """Write these of the broken rows one by one: what a trigger makes of a row may break nothing."""
        if not self.broken:
            return
        self.cursor.execute(
            f"SELECT etl_n FROM {self.name} WHERE etl_n = ANY(%s) AND {condition} ORDER BY 1", [self.broken]
        )
        for (number,) in self.cursor.fetchall():
            if not self._may_retry:
                return  # the others stay refused
            self.cursor.execute(
                f"UPDATE {self.name} SET etl_code = NULL, etl_place = NULL, etl_why = NULL WHERE etl_n = %s", [number]
            )
            self._write(f"{_REFUSED} AND {condition}", write, [number])

    def _update_some(self, chosen: str) -> None:
        touched, values = list_touched(self.plan, self.owned, self.stamp)
        sets = [f"{quote(name)} = s.{quote(name)}" for name in self.owned] + [f"{quote(name)} = %s" for name in touched]
        columns = self.table.columns
        new, old = (", ".join(columns[each].spell(f"{of}.{quote(each)}") for each in self.owned) for of in "st")
        differs = f"t.{self.pk} = s.{self.pk} AND {chosen} AND ROW({old}) IS DISTINCT FROM ROW({new})"
        update = f"UPDATE {self.target} AS t SET {', '.join(sets)} FROM {self.name} AS s WHERE {differs}"
        if not self.table.has_triggers:
            self.cursor.execute(update, values)
            return
        self._execute_hashed(
            f"""
            WITH updated AS ({update} RETURNING s.etl_n AS n)
            UPDATE {self.name} AS s SET etl_code = '{BreachCode.CONSTRAINT}',
                etl_why = {_quote_text(f"{self.plan.into.label} did not store its change: a trigger dropped it")}
            FROM {self.target} AS t WHERE {differs} AND NOT EXISTS (SELECT FROM updated WHERE n = s.etl_n)
            """,
            values,
        )

    def insert(self) -> None:
        """Insert the rows that are new. Those that another row keeps out are left."""
        condition, label = f"{_REFUSED} AND {_NEW}", self.plan.into.label
        if label not in _refusing and self._insert_all(condition):
            return
        begun = self.savepoints
        self._write(condition, self._insert_free)
        is_refusing = self.is_any_kept_out or self.savepoints > begun + 1
        (_refusing.add if is_refusing else _refusing.discard)(label)

    def insert_broken(self) -> None:
        """Insert the broken ones of the new rows, if a trigger mends them."""
        self._try_broken(_NEW, self._insert_alone)

    def _insert_all(self, chosen: str) -> bool:
        """Insert these rows unless the table refuses one of them. Returns whether it took them."""
        try:
            with atomic():
                self._insert_some(chosen)
        except DatabaseError as error:
            if not is_violation(error):
                self._stop_broken(error)
                raise
            return False
        return True

    def _insert_free(self, chosen: str) -> None:
        """Insert those of these rows that no other row keeps out."""
        # PostgreSQL can't let a deferrable constraint decide: an error tells that one of them keeps a row out.
        arbiter = f"({', '.join(self.key)})" if self.table.has_deferrable else ""
        self._insert_some(chosen, f"ON CONFLICT {arbiter} DO NOTHING")

    def _insert_some(self, chosen: str, on_conflict: str = "") -> None:
        left = self._execute_hashed(f"""
            WITH inserted AS ({self._describe_insert(chosen)} {on_conflict} RETURNING {self.pk} AS pk)
            UPDATE {self.name} AS s SET etl_left = true
            WHERE {chosen} AND NOT EXISTS (SELECT FROM inserted WHERE inserted.pk = s.{self.pk})
        """)
        self.is_any_kept_out |= left > 0
        self.is_any_left |= left > 0

    def _insert_alone(self, chosen: str) -> None:
        self.cursor.execute(self._describe_insert(chosen))
        is_left = self.cursor.rowcount < 1
        self.is_any_kept_out |= is_left
        self.cursor.execute(f"UPDATE {self.name} SET etl_left = %s WHERE {chosen}", [is_left])

    def _describe_insert(self, chosen: str) -> str:
        names = ", ".join(map(quote, self.given))
        order = ", ".join([*self.key, "etl_n"])
        chosen_rows = f"SELECT {names} FROM {self.name} WHERE {chosen} ORDER BY {order}"
        return f"INSERT INTO {self.target} ({names}) {_OVERRIDING} {chosen_rows}"

    def finish(self) -> None:
        """Refuse what is left: no row is created for it, or a constraint keeps it out, whose name is learned here."""
        if not self.plan.into.creates:
            text = f"{self.plan.into.label} has no row with its key, and the source creates none"
            self._refuse(f"{_NEW} AND ({_REFUSED} OR etl_code = '{BreachCode.CONSTRAINT}')", BreachCode.NO_ROW, text)
            return
        if not self.is_any_kept_out:
            return
        condition = f"{_REFUSED} AND {_NEW} AND etl_left"
        for number in self._list_numbers(condition):
            self._write(condition, self._insert_alone, [number])
        self.cursor.execute(
            f"UPDATE {self.name} SET etl_code = %s, etl_why = %s WHERE {condition}",
            [BreachCode.CONSTRAINT, f"{self.plan.into.label} did not store its row: a trigger or a rule dropped it"],
        )

    def _list_numbers(self, condition: str) -> list[int]:
        self.cursor.execute(f"SELECT etl_n FROM {self.name} WHERE {condition} ORDER BY 1")
        return [row[0] for row in self.cursor.fetchall()]

    def _write(self, condition: str, write: Callable[[str], Any], numbers: Sequence[int] = ()) -> None:
        """Write these rows together; if one of them is refused, halve them until it is alone.

        `numbers`: only those from the first to the last of these.
        """
        self.savepoints += 1
        if self.savepoints > MOST_SAVEPOINTS:
            text = f"{self.plan.into.label} refuses too many records of one batch. The last reason: {self.reason}."
            raise RunError(text, Reason.TARGET_REFUSES)
        chosen = f"{condition} AND etl_n BETWEEN {numbers[0]} AND {numbers[-1]}" if numbers else condition
        try:
            with atomic():
                write(chosen)
        except DatabaseError as error:
            if not is_violation(error):
                self._stop_broken(error)
                raise
            self.reason = self._explain(error)
            numbers = numbers or self._list_numbers(condition)
            if not numbers:
                return  # a trigger that refuses a statement without rows
            if len(numbers) == 1:
                self._refuse(chosen, BreachCode.CONSTRAINT, self.reason)
                if find_code(error) in _OF_OTHER_ROWS:
                    self.kept_out += numbers
                return
            middle = len(numbers) // 2
            self._write(condition, write, numbers[:middle])
            self._write(condition, write, numbers[middle:])

    def _stop_broken(self, error: DatabaseError) -> None:
        if _is_of_class_42(error):  # the table was found as expected, so it is a trigger's own code
            text = f"{self.plan.into.label} takes no record: {describe(error)}. Correct its trigger."
            raise RunError(text, Reason.TARGET_REFUSES) from error

    def _explain(self, error: DatabaseError) -> str:
        constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
        return self._describe(constraint) if constraint else f"{self.plan.into.label} refuses it: {describe(error)}"

    def _refuse(self, chosen: str, code: BreachCode, why: str) -> None:
        self.cursor.execute(f"UPDATE {self.name} SET etl_code = %s, etl_why = %s WHERE {chosen}", [code, why])
        self.is_any_left = True

    def read(self, rows: Sequence[StagedRow]) -> Written:
        """Return what became of each row. A new one has the key that was drawn for it, if one was."""
        written = Written({row.number: str(key) for row, key in zip(rows, self.drawn, strict=False)})
        others = f" WHERE NOT ({_REFUSED} AND {_NEW})" if self.drawn else ""
        self.cursor.execute(
            f"SELECT etl_n, etl_code, etl_why, etl_place, etl_awaits, coalesce(etl_key, {self.pk}::text),"
            f" etl_key IS NOT NULL AND NOT etl_found FROM {self.name}{others}"
        )
        for number, code, why, place, awaits, key, is_gone in self.cursor.fetchall():
            if code is not None:
                written.refused[number] = Breach(BreachCode(code), why, place or "", awaits or "")
                written.keys.pop(number, None)
            else:
                written.keys[number] = key
                if is_gone:
                    written.gone.add(number)
        return written

    def _execute_hashed(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Execute a statement that joins the stage with few rows found by key: a hash join reads each of them once.

        Returns how many rows it has written.
        """
        self.cursor.execute("SET LOCAL enable_hashjoin = on")
        self.cursor.execute(statement, values or None)
        count = int(self.cursor.rowcount)
        self.cursor.execute("SET LOCAL enable_hashjoin = off")
        return count


def _quote_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
    return f"E'{escaped}'"


def _is_of_class_42(error: DatabaseError) -> bool:
    """Whether PostgreSQL can't execute a statement, or an expression of a table, as it is written."""
    return (find_code(error) or "").startswith("42")


def is_violation(error: DatabaseError) -> bool:
    """Whether a row is the reason for the error."""
    return not (find_code(error) or "00").startswith(_OF_SERVER)
