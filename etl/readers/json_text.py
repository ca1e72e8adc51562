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
from etl.readers.content import BYTE_ORDER_MARK, MAX_RECORD_BYTES
from etl.readers.envelopes import Envelope, read_envelope
from etl.readers.lookalikes import HEAD_BYTES, describe_not_json
from etl.readers.source import Source
from etl.vocabulary import Reason

WHITE_SPACE = b" \t\r\n"


def find_start(file: BinaryIO) -> int:
    """Return the place of the first byte that is neither mark nor white space, or of the file's end."""
    file.seek(0)
    offset = len(BYTE_ORDER_MARK) if file.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK else 0
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


def read_last_line(copy: LocalCopy) -> bytes:
    """Return the last line that is not blank, or its last megabyte."""
    copy.file.seek(max(0, copy.size - MAX_RECORD_BYTES))
    return copy.file.read().rstrip(WHITE_SPACE).rpartition(b"\n")[2].lstrip(WHITE_SPACE)


def is_closed_array(copy: LocalCopy) -> bool:
    """Whether the text begins and ends as an array does."""
    return read_head(copy.file)[:1] == b"[" and read_last_line(copy).endswith(b"]")


def describe_other(copy: LocalCopy) -> str:
    """Say what the text looks like if it has no JSON at all; empty if it has, or if it is empty."""
    head = read_head(copy.file)
    found = describe_not_json(head)
    if found or not head or head[:1] in (b"{", b"["):
        return found
    return "" if read_last_line(copy)[:1] == b"{" else "text"


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
    """Return the values beside the arrays of an object; nothing for an array and for lines."""
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
    return end == b"[" or (end in (b"{", b",") and second[:1] not in (b"{", b"["))


def refuse_other(copy: LocalCopy, source: Source, *, must_be_array: bool = False) -> None:
    """Raise SourceError if the text is of another format, or one object that is not a record of the source."""
    if other := describe_not_json(read_head(copy.file)):
        raise report_other(copy, source.location, other)
    envelope = find_envelope(copy)
    if envelope is not None and (must_be_array or envelope.is_pretty or not _is_record(envelope, source.contract)):
        raise _report_envelope(envelope, copy, source.location, must_be_array=must_be_array)


def _is_record(envelope: Envelope, contract: type[Contract]) -> bool:
    return any(name in envelope.values for name in contract.list_names())


def report_other(copy: LocalCopy, location: str, other: str) -> SourceError:
    """Return the error of a text that is not JSON."""
    return SourceError(f"{location} is not JSON but looks like {other}{_show(copy)}.")


def _report_envelope(envelope: Envelope, copy: LocalCopy, location: str, *, must_be_array: bool) -> SourceError:
    if sign := envelope.find_next_page():
        return report_more_pages(location, f"its value {sign!r} shows that more follow")
    if envelope.is_error:
        return SourceError(f"{location} sent an error instead of records{_show(copy)}.", Reason.SOURCE_REFUSED)
    expected = "an array" if must_be_array else "an array or one record per line"
    if arrays := envelope.find_arrays():
        return SourceError(f"{location} is one JSON object, not {expected}; its records may be in {arrays[0]!r}.")
    return SourceError(f"{location} is one JSON object, not {expected}{_show(copy)}.")


def _show(copy: LocalCopy) -> str:
    excerpt = make_excerpt(read_head(copy.file))
    return f": {excerpt}" if excerpt else ""
