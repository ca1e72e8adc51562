"""Says whether a CSV text breaks off inside a quoted value, which only a truncated body does."""

import csv

from etl.local_copy import COPY_BYTES, LocalCopy
from etl.readers.content import MAX_RECORD_BYTES


def breaks_off_in_quotes(copy: LocalCopy, quote: bytes = b'"') -> bool:
    """Whether the last line opens a quote that nothing closes.

    The number of quotes does not show that, and neither does the last line: a value may hold a quote, and the
    last line may be the end of a value of several lines. A quote left open further up is a malformed record, not a cut.
    """
    return _is_odd(copy, quote) and _leaves_open(_read_last_line(copy), quote)


def _is_odd(copy: LocalCopy, quote: bytes) -> bool:
    copy.file.seek(0)
    count = 0
    while block := copy.file.read(COPY_BYTES):
        count += block.count(quote)
    return count % 2 == 1


def _read_last_line(copy: LocalCopy) -> bytes:
    copy.file.seek(max(0, copy.size - MAX_RECORD_BYTES))
    return copy.file.read().rstrip(b"\r\n").rpartition(b"\n")[2]


def _leaves_open(line: bytes, quote: bytes) -> bool:
    reader = csv.reader([line.decode("latin-1")], strict=True, quotechar=quote.decode("latin-1"))
    try:
        list(reader)
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False
