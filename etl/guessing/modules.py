"""Writes the text of a module with one source, and of its test, from the guesses. Pure.

The module is executed, and the data may be hostile, so data appears in the text only as literals.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from etl.contracts.forms import JSON_FORM, Form
from etl.database import list_connections
from etl.guessing.dialects import Table, read_table
from etl.guessing.fields import (
    ContractGuess,
    FieldGuess,
    MappingGuess,
    guess_mapping,
    guess_objects,
    guess_table,
    list_null_words,
    name_class,
)
from etl.guessing.json_records import FoundRecords, find_records

LONGEST_LINE = 118
DEFAULT_ZONE = "UTC"
_DOCSTRING = '"""A source that `manage.py startsource` has guessed: correct what is wrong."""'
_BY_ALL = "No field identifies a record, so the id is all of them: of equal records only one lands."
_BY_ROW = "No field identifies a record, so each row of each file is one; the path is a pattern of file names."


@dataclass(frozen=True, slots=True)
class NewSource:
    """The text of a source's module, and what a person has to decide. `class_name` is the source's class."""

    name: str
    class_name: str
    text: str
    doubts: Sequence[str] = field(default_factory=list)


def guess_source(name: str, path: str, data: bytes, *, is_all: bool) -> NewSource | None:
    """Guess a source from a sample of its data; None if it is neither JSON with objects nor a table."""
    class_name = name_class(name)
    contract_name = f"{class_name}Record"
    found = find_records(data, is_all=is_all, is_named_lines=re.search(r"\.(ndjson|jsonl)\b", path) is not None)
    if found is not None:
        contract = guess_objects(contract_name, found.records, JSON_FORM)
        return _write_json(name, class_name, path, contract, found)
    table = read_table(data, is_all=is_all)
    if table is None or not table.rows:
        return None
    form = Form(
        is_file=True,
        decimal_sign=str(table.options.get("decimal", ".")),
        thousands_sign=str(table.options.get("thousands", "")),
    )
    contract = guess_table(contract_name, table.header, table.columns, form)
    return _write_table(name, class_name, path, contract, table) if contract.fields else None


def _write_json(name: str, class_name: str, path: str, contract: ContractGuess, found: FoundRecords) -> NewSource:
    lines = [f"    records = {write_value(found.path)}  # where the array of records is"] if found.path else []
    lines = ["    records = LINES  # each line is a record"] if found.is_lines else lines
    return _write(name, class_name, path, contract, "JsonLinesSource", lines, [])


def _write_table(name: str, class_name: str, path: str, contract: ContractGuess, table: Table) -> NewSource:
    words = list_null_words(contract)
    options = {**table.options, **({"null_words": words} if words else {})}
    lines = []
    if options:
        given = [f"{option}={write_value(value)}," for option, value in options.items()]
        lines = ["    dialect = Csv(", *(f"        {each}" for each in given), "    )"]
    return _write(name, class_name, path, contract, "CsvSource", lines, table.doubts)


def _write(
    name: str,
    class_name: str,
    path: str,
    contract: ContractGuess,
    base: str,
    lines: Sequence[str],
    doubts: Sequence[str],
) -> NewSource:
    mapping = guess_mapping(contract)
    is_by_row = mapping.is_by_row and "://" not in path.removeprefix("storage://")
    if mapping.is_by_row:
        doubts = [*doubts, _BY_ROW if is_by_row else _BY_ALL]
    paths = contract.list_paths()
    needs_zone = any(each.guess.needs_zone for each in paths.values())
    body = [
        f"class {class_name}({base}):",
        f"    name = {write_value(name)}",
        f"    path = {write_value(_make_pattern(path) if is_by_row else path)}",
        '    every = timedelta(hours=1)  # or a crontab such as "0 6 * * *"',
        *([f"    zone = {write_value(DEFAULT_ZONE)}  # for times without a zone: is it right?"] if needs_zone else []),
        *lines,
        f"    contract = {contract.name}",
        *([] if is_by_row else ["    # complete = True  # if each file has all records: others are removed"]),
        *_write_mapping(mapping, is_by_row=is_by_row),
    ]
    contracts = "\n\n\n".join(_write_contracts(contract))
    text = f"{contracts}\n\n\n" + "\n".join(body) + "\n"
    header = f"{_DOCSTRING}\n# It was guessed from {write_value(path)}.\n\n"
    more = ["Times that name no zone are taken as UTC: give the source its zone."] if needs_zone else []
    more += [f"{each.columns[-1]}: {each.guess.comment}." for each in paths.values() if each.guess.comment]
    more += [f"{key or 'A column'}: {reason}." for key, reason in contract.left_out.items()]
    return NewSource(name, class_name, f"{header}{_write_imports(text)}\n\n\n{text}", [*doubts, *mapping.doubts, *more])


def _write_imports(text: str) -> str:
    known = (
        *("Boolean", "Contract", "Csv", "CsvSource", "Date", "Decimal", "Email", "Identifier", "Integer"),
        *("JsonLinesSource", "LINES", "Text", "Time", "Url", "Uuid", "field", "file_name", "row_number", "timedelta"),
    )
    names = [name for name in known if re.search(rf"\b{name}\b", text)]
    line = f"from etl.sources import {', '.join(names)}"
    if len(line) <= LONGEST_LINE:
        return line
    return "from etl.sources import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _write_contracts(contract: ContractGuess) -> Iterator[str]:
    for each in contract.objects:
        yield from _write_contracts(each.contract)
    lines = [*map(_write_field, contract.fields)]
    for inner in contract.objects:
        given = f" = field(column={write_value(inner.key)})" if inner.name != inner.key else ""
        null = " | None" if inner.is_optional else ""
        kind = f"list[{inner.contract.name}]" if inner.is_list else inner.contract.name
        lines.append(f"    {inner.name}: {kind}{null}{given}")
    lines += [f"    # {write_value(key)}: {reason}" for key, reason in contract.left_out.items()]
    yield "\n".join([f"class {contract.name}(Contract):", *lines])


def _write_field(each: FieldGuess) -> str:
    guess = each.guess
    given: dict[str, Any] = {}
    if len(each.columns) > 1:
        given["columns"] = [*each.columns]
    elif not each.is_plain:
        given["column"] = each.columns[0]
    given |= guess.parameters
    called = f" = field({', '.join(f'{name}={write_value(value)}' for name, value in given.items())})" if given else ""
    line = f"    {each.name}: {guess.type}{' | None' if guess.is_optional else ''}{called}"
    return f"{line}  # {guess.comment}" if guess.comment else line


def write_value(value: Any) -> str:
    """Return the value as Python, with double quotes where that is as short."""
    if isinstance(value, str):
        plain = repr(value)
        return plain if '"' in value or "'" in value else f'"{plain[1:-1]}"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{write_value(key)}: {write_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(write_value, value)) + "]"
    return repr(value)


def _make_pattern(path: str) -> str:
    """Return the pattern of files that are named like this one."""
    folder, slash, name = path.rpartition("/")
    stem, dot, suffix = name.partition(".")
    return f"{folder}{slash}{stem}*{dot}{suffix}"


def _write_mapping(mapping: MappingGuess, *, is_by_row: bool) -> list[str]:
    ids = mapping.external_id
    if is_by_row:
        external_id = "(file_name(), row_number())"
    elif len(ids) > 1:
        external_id = f"({', '.join(map(write_value, ids))})"
    else:
        external_id = write_value(ids[0]) if ids else write_value(mapping.name)
    pairs: Mapping[str, str] = {"external_id": external_id, "name": write_value(mapping.name)} | {
        target: write_value(path) for target, path in mapping.others.items()
    }
    lines = [f"        {write_value(target)}: {taken}," for target, taken in pairs.items()]
    return ["    unified = {", *lines, "    }"]


def write_test(
    source: NewSource, module: str, path: str, *, landed: int, refused: Sequence[tuple[int, str, str]]
) -> str:
    """Return the text of the source's test: what the data gives now."""
    refuses = "".join(f"\n        ({place[0]}, {write_value(place[1])}, {write_value(place[2])})," for place in refused)
    aliases = [each.alias for each in list_connections()]
    databases = f"(databases={write_value(aliases)})" if len(aliases) > 1 else ""
    refuses = f".refuses({refuses}\n    )" if refused else ".refuses()"
    return f'''"""What the source's file gave when `manage.py startsource` saw it."""

import pytest

from etl.testing import assert_source
from {module} import {source.class_name}


@pytest.mark.django_db{databases}
def test_the_file_lands() -> None:
    found = assert_source({source.class_name}, gives={write_value(path)})
    found.lands({landed}){refuses}.twice_writes_nothing()
'''
