"""Writes the statements that find a batch's parents by their natural keys, and that refuse the rows without one."""

from collections.abc import Sequence
from typing import Any

from etl.readers.target_plan import OwnedParent
from etl.storage.target_tables import quote
from etl.storage.waiting import write_awaited
from etl.vocabulary import BreachCode


def write_search(parents: Sequence[OwnedParent], stage: str) -> str:
    """Return the statement that finds and locks the parents' rows, and gives the staged rows their keys.

    A column of the team's keeps what it has.
    """
    parts, sets, joins = [], [], []
    for number, each in enumerate(parents):
        locked, column = f"locked_{number}", quote(each.name)
        parts.append(_write_locked(each, number, stage))
        pairs = zip(each.natural, each.places, strict=True)
        alike = " AND ".join(f"{locked}.{quote(name)} = o.etl_p{place}" for name, place in pairs)
        joins.append(f"LEFT JOIN {locked} ON {alike}")
        found = f"{locked}.{quote(each.referred)}"
        kept = f"CASE WHEN s.etl_found THEN s.{column} ELSE {found} END"
        sets.append(f"{column} = {kept if each.is_first else found}")
    return f"""
        WITH {", ".join(parts)}
        UPDATE {stage} AS s SET {", ".join(sets)} FROM {stage} AS o {" ".join(joins)}
        WHERE o.etl_n = s.etl_n
    """


def _write_locked(each: OwnedParent, number: int, stage: str) -> str:
    """Return the parts of the statement that find and lock one parent's rows, in the order of their keys."""
    parent, pk = quote(each.model._meta.db_table), quote(str(each.model._meta.pk.column))
    places, natural = [f"etl_p{place}" for place in each.places], [quote(name) for name in each.natural]
    present = " AND ".join(f"{place} IS NOT NULL" for place in places)
    alike = " AND ".join(f"p.{name} = w.{place}" for name, place in zip(natural, places, strict=True))
    taken = ", ".join(dict.fromkeys([pk, quote(each.referred), *natural]))
    return f"""
        wanted_{number} AS MATERIALIZED (SELECT DISTINCT {", ".join(places)} FROM {stage} WHERE {present}),
        found_{number} AS MATERIALIZED (
            SELECT f.{pk} FROM wanted_{number} AS w
            CROSS JOIN LATERAL (SELECT p.{pk} FROM {parent} AS p WHERE {alike} LIMIT 1) AS f
        ),
        locked_{number} AS MATERIALIZED (
            SELECT {taken} FROM {parent} WHERE {pk} = ANY(ARRAY(SELECT {pk} FROM found_{number}))
            ORDER BY {pk} FOR KEY SHARE
        )"""


def write_refusal(each: OwnedParent, stage: str, condition: str) -> tuple[str, list[Any]]:
    """Return the statement, and its parameters, that refuses the rows without this parent, or lets them wait for it."""
    places = [f"etl_p{place}" for place in each.places]
    shown = " || ', ' || ".join(f"quote_literal({place})" for place in places)
    present = " AND ".join(f"{place} IS NOT NULL" for place in places)
    why = f"{each.model._meta.label} has no row with {', '.join(each.natural)} = "
    undecided = " AND NOT etl_found" if each.is_first else ""
    name, parameters = write_awaited(each, places)
    statement = (
        f"UPDATE {stage} SET etl_awaits = {name}, etl_place = %s, etl_why = %s || {shown},"
        f" etl_code = CASE WHEN {name} IS NULL THEN %s ELSE %s END"
        f" WHERE {quote(each.name)} IS NULL AND {present} AND {condition}{undecided}"
    )
    return statement, [*parameters, each.shown, why, *parameters, BreachCode.NO_PARENT, BreachCode.PARENT_MISSING]
