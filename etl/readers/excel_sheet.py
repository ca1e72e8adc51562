"""Finds a sheet in an .xlsx workbook without loading it, and how many cells loading it would take."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, ParseError, fromstring

from etl.conf import conf
from etl.exceptions import SourceError
from etl.local_copy import LocalCopy

MAX_CELLS = 5_000_000
"""The rectangle of a sheet's cells, blank ones included: calamine holds all of it, in about 32 bytes a cell."""

MAX_TEXT_BYTES = 128 << 20
"""The text that all sheets share; calamine holds it too."""

_INDEX_BYTES = 4 << 20
_BLOCK_BYTES = 1 << 20
_LONGEST_TAG = 4096
_REFERENCE = re.compile(rb"""<c\b[^>]*?\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")
_CELL = re.compile(rb"<c[\s/>]")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, KeyError, ParseError)
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet: its name, and the file in the workbook that has its cells."""

    name: str
    part: str
    is_hidden: bool


def choose_sheet(copy: LocalCopy, wanted: str | int | None, location: str) -> str:
    """Return the name of the declared sheet. Raises SourceError if it is missing, or too large to be loaded."""
    copy.file.seek(0)
    try:
        with zipfile.ZipFile(copy.file) as archive:
            sheet = _choose(list(_list_sheets(archive)), wanted, location)
            _check_texts(archive, location)
            _check_size(archive, sheet, location)
    except _DAMAGE:
        raise SourceError(f"{location} is not an .xlsx workbook, or it is cut off or damaged.") from None
    return sheet.name


def _list_sheets(archive: zipfile.ZipFile) -> Iterator[Sheet]:
    parts = {each.get("Id"): each.get("Target", "") for each in _parse(archive, "xl/_rels/workbook.xml.rels")}
    for each in _parse(archive, "xl/workbook.xml").iter():
        if each.tag.endswith("}sheet") and (target := parts.get(each.get(_RELATION))):
            part = target.lstrip("/") if target.startswith("/") else str(PurePosixPath("xl") / target)
            if "worksheets" in part:
                yield Sheet(each.get("name", ""), part, each.get("state", "visible") != "visible")


def _parse(archive: zipfile.ZipFile, part: str) -> Element:
    with archive.open(part) as file:
        text = file.read(_INDEX_BYTES + 1)
    if len(text) > _INDEX_BYTES or b"<!DOCTYPE" in text:
        raise zipfile.BadZipFile
    return fromstring(text)  # noqa: S314  (bounded, and without a document type no entities)


def _choose(sheets: list[Sheet], wanted: str | int | None, location: str) -> Sheet:
    shown = [each for each in sheets if not each.is_hidden]
    names = ", ".join(repr(each.name) for each in sheets) or "none"
    if wanted is None and len(shown) == 1:
        return shown[0]
    if wanted is None:
        raise SourceError(f"{location} has several sheets, and sheet= is not declared. Its sheets: {names}.")
    for number, each in enumerate(sheets, start=1):
        if wanted in (number, each.name):
            return each
    raise SourceError(f"{location} has no sheet {wanted!r}. Its sheets: {names}.")


def _check_texts(archive: zipfile.ZipFile, location: str) -> None:
    part, size = "xl/sharedStrings.xml", 0
    if part not in archive.namelist():
        return
    with archive.open(part) as file:
        for block in iter(partial(file.read, _BLOCK_BYTES), b""):
            size += len(block)
            if size > MAX_TEXT_BYTES:
                raise SourceError(f"{location} has more than {MAX_TEXT_BYTES:,} bytes of text: save the sheet as CSV.")


def _check_size(archive: zipfile.ZipFile, sheet: Sheet, location: str) -> None:
    """Read the sheet's cells as text, a block at a time, and refuse one that would fill the memory."""
    rows = columns = size = loose = 0
    with archive.open(sheet.part) as file:
        rest = b""
        for block in iter(partial(file.read, _BLOCK_BYTES), b""):
            size += len(block)
            if size > conf.ETL_UNPACKED_MAX_BYTES:
                limit = f"{conf.ETL_UNPACKED_MAX_BYTES:,} bytes (ETL_UNPACKED_MAX_BYTES)"
                raise SourceError(f"{location}: sheet {sheet.name!r} unpacks to more than {limit}.")
            text = rest + block
            cut = max(text.rfind(b">") + 1, len(text) - _LONGEST_TAG)
            text, rest = text[:cut], text[cut:]
            found = _REFERENCE.findall(text)
            loose += len(_CELL.findall(text)) - len(found)
            rows = max([rows, *map(int, {row for _, row in found})])
            columns = max([columns, *map(_count_columns, {column for column, _ in found})])
            if (rows + 1) * columns + loose > MAX_CELLS:
                raise SourceError(
                    f"{location}: sheet {sheet.name!r} reaches over {rows:,} rows and {columns:,} columns, and at most "
                    f"{MAX_CELLS:,} cells are read. Delete the cells far outside the table, or save the sheet as CSV."
                )


def _count_columns(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
