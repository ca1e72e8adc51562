"""Tells the text of JSON records from other text: another format, an error, or one object around all records."""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

from etl.contracts.contract import Contract
from etl.exceptions import SourceError
from etl.http.excerpts import make_excerpt
from etl.http.next_pages import report_more_pages
from etl.local_copy import LocalCopy
from etl.readers import envelopes
from etl.readers.content import BYTE_ORDER_MARK
from etl.readers.envelopes import Envelope, read_envelope
from etl.readers.json_path import LINES, Around, Layout, Path, PathNotFound, is_closed_object, show_path
from etl.readers.lookalikes import HEAD_BYTES, describe_not_json
from etl.readers.source import Source
from etl.vocabulary import Reason

WHITE_SPACE = b" \t\r\n"
_TAIL_BYTES = 1 << 20


def skip_mark(file: BinaryIO) -> int:
    """Return the place after the byte order mark, if there is one."""
    file.seek(0)
    return len(BYTE_ORDER_MARK) if file.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK else 0


def find_start(file: BinaryIO) -> int:
    """Return the place of the first byte that is neither mark nor white space, or of the file's end."""
    offset = skip_mark(file)
    file.seek(offset)
    while block := file.read(HEAD_BYTES):
        if stripped := block.lstrip(WHITE_SPACE):
            return offset + len(block) - len(stripped)
        offset += len(block)
    return offset


def read_head(file: BinaryIO) -> bytes:
    """Return the beginning of the text, from its first byte that is neither mark nor white space."""
    file.seek(find_start(file))
    return file.read(HEAD_BYTES)


def read_last_line(copy: LocalCopy) -> tuple[bytes, bool]:
    """Return the last line that is not blank, or its last megabyte, and whether that is the whole line."""
    start = max(0, copy.size - _TAIL_BYTES)
    copy.file.seek(start)
    _, line_feed, last = copy.file.read().rstrip(WHITE_SPACE).rpartition(b"\n")
    return last.lstrip(WHITE_SPACE), bool(line_feed) or not start


def proves_end(copy: LocalCopy, records: Path | Layout | None) -> bool:
    """Whether the text itself shows that it is complete: as an array that closes, or the object around one."""
    if records is LINES:
        return False
    if isinstance(records, tuple) and records:
        return is_closed_object(copy.file, find_start(copy.file), records)
    return read_head(copy.file)[:1] == b"[" and read_last_line(copy)[0].endswith(b"]")


def describe_other(copy: LocalCopy) -> str:
    """Say what the text looks like if it has no JSON at all; empty if it has, or if it is empty."""
    head = read_head(copy.file)
    found = describe_not_json(head)
    if found or not head or head[:1] in (b"{", b"["):
        return found
    return "" if read_last_line(copy)[0][:1] == b"{" else "text"


def find_envelope(copy: LocalCopy) -> Envelope | None:
    """Return the object if the text is a single one, on one line or on several; None for an array and for lines."""
    file = copy.file
    file.seek(find_start(file))
    first = file.readline(envelopes.MOST_BYTES)
    if first[:1] != b"{":
        return None
    is_long = len(first) == envelopes.MOST_BYTES
    second = _read_line(file)
    is_document = _begins_document(first, second) if second else _is_json(first)
    if not is_long and not is_document:
        return None
    file.seek(find_start(file))
    return read_envelope(file.read(envelopes.MOST_BYTES))


def read_siblings(copy: LocalCopy) -> Mapping[str, Any]:
    """Return the values next to the arrays of an object."""
    envelope = find_envelope(copy)
    return envelope.values if envelope is not None else {}


def _read_line(file: BinaryIO) -> bytes:
    """Return the next line that is not blank, or its beginning."""
    while line := file.readline(HEAD_BYTES):
        if stripped := line.strip(WHITE_SPACE):
            return stripped
    return b""


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _begins_document(first: bytes, second: bytes) -> bool:
    """Whether a document continues on its second line. The first of many records may be broken just as well."""
    end = first.rstrip(WHITE_SPACE)[-1:]
    if end in (b"[", b":") or (end in (b"{", b",") and second[:1] not in (b"{", b"[")):
        return True
    return second[:1] in (b'"', b"}", b"]", b",", b":") and not _is_json(first)


def refuse_other(
    copy: LocalCopy,
    source: Source,
    records: Path | Layout | None = None,
    *,
    must_be_array: bool = False,
    is_page: bool = False,
) -> None:
    """Raise SourceError if the text is of another format, or one object that is not a record of the source.

    `is_page`: it may name a next page.
    """
    if other := describe_not_json(read_head(copy.file)):
        raise report_other(copy, source.location, other)
    if isinstance(records, tuple) and records:
        _refuse_without_array(copy, source, records, is_page=is_page)
        return
    if records is LINES:
        _refuse_array(copy, source.location)
    must_be_array = records == () or (must_be_array and records is not LINES)
    envelope = find_envelope(copy)
    if envelope is not None and (must_be_array or envelope.is_pretty or not is_record(envelope, source.contract)):
        raise _report_envelope(envelope, copy, source.location, must_be_array=must_be_array)


def _refuse_without_array(copy: LocalCopy, source: Source, path: Path, *, is_page: bool) -> None:
    """Raise SourceError if the path leads to no array, or if what is around the array shows more pages or an error."""
    file = copy.file
    start = find_start(file)
    try:
        around = Around(file, start, path)
    except PathNotFound as lack:
        raise report_no_array(copy, source.location, path, lack) from None
    around.window.move_to(around.window.index + 1)
    is_empty = around.window.skip_blank() == "]"
    file.seek(start)
    envelope = read_envelope(file.read(envelopes.MOST_BYTES))
    if not is_page and (sign := envelope.find_next_page()):
        raise report_more_pages(source.location, f"its value {sign!r} shows that more follow")
    if envelope.is_error and is_empty:
        raise report_error(copy, source.location)


def report_no_array(copy: LocalCopy, location: str, path: Path, lack: PathNotFound) -> SourceError:
    """Return the error of a text in which the declared path leads to no array."""
    file = copy.file
    file.seek(find_start(file))
    envelope = read_envelope(file.read(envelopes.MOST_BYTES))
    if envelope.is_error:
        return report_error(copy, location)
    text = f"{location} has no array at {show_path(path)!r}, where its records should be: {lack}"
    arrays = [] if read_head(file)[:1] == b"[" else envelope.find_arrays()
    return SourceError(f"{text}; its records may be in {arrays[0]!r}." if arrays else f"{text}.")


def _refuse_array(copy: LocalCopy, location: str) -> None:
    """Raise SourceError if there is one array instead of lines; a line that is an array is one refused record."""
    file = copy.file
    file.seek(find_start(file))
    first = file.readline(envelopes.MOST_BYTES)
    if first[:1] == b"[" and not (_read_line(file) and _is_json(first)):
        raise SourceError(f'{location} is one JSON array, not one record per line: declare records = "" instead.')


def is_record(envelope: Envelope, contract: type[Contract]) -> bool:
    """Whether the object has any field of the contract."""
    return any(name in envelope.values for name in contract.list_names())


def report_other(copy: LocalCopy, location: str, other: str) -> SourceError:
    """Return the error of a text that is not JSON."""
    return SourceError(f"{location} is not JSON but looks like {other}{_show(copy)}.")


def _report_envelope(envelope: Envelope, copy: LocalCopy, location: str, *, must_be_array: bool) -> SourceError:
    if sign := envelope.find_next_page():
        return report_more_pages(location, f"its value {sign!r} shows that more follow")
    if envelope.is_error:
        return report_error(copy, location)
    expected = "an array" if must_be_array else "an array or one record per line"
    if arrays := envelope.find_arrays():
        return SourceError(
            f"{location} is one JSON object, not {expected}; its records may be in {arrays[0]!r}: declare "
            f"records = {arrays[0]!r}."
        )
    return SourceError(f"{location} is one JSON object, not {expected}{_show(copy)}.")


def report_error(copy: LocalCopy, location: str) -> SourceError:
    """Return the error of a text that is an error in JSON."""
    return SourceError(f"{location} sent an error instead of records{_show(copy)}.", Reason.SOURCE_REFUSED)


def _show(copy: LocalCopy) -> str:
    excerpt = make_excerpt(read_head(copy.file))
    return f": {excerpt}" if excerpt else ""
