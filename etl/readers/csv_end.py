"""Says whether a CSV text breaks off inside a quoted value, which only a truncated body does."""

import csv

from etl.local_copy import COPY_BYTES, LocalCopy
from etl.readers.content import MAX_RECORD_BYTES
from etl.readers.csv_syntax import CsvSyntax


def breaks_off_in_quotes(copy: LocalCopy, syntax: CsvSyntax) -> bool:
    """Whether the last line opens a quote that nothing closes.

    The number of quotes does not show that, and neither does the last line: a value may hold a quote, and the
    last line may be the end of a value of several lines. A quote left open further up is a malformed record, not a cut.
    Where quotes are escaped, or are not one byte, their number says nothing.
    """
    quote = syntax.quote.encode()
    is_countable = len(quote) == 1 and syntax.escape is None and not syntax.encoding.startswith("utf-16")
    return is_countable and _is_odd(copy, quote) and _leaves_open(_read_last_line(copy, syntax), syntax)


def _is_odd(copy: LocalCopy, quote: bytes) -> bool:
    copy.file.seek(0)
    count = 0
    while block := copy.file.read(COPY_BYTES):
        count += block.count(quote)
    return count % 2 == 1


def _read_last_line(copy: LocalCopy, syntax: CsvSyntax) -> str:
    copy.file.seek(max(0, copy.size - MAX_RECORD_BYTES))
    line = copy.file.read().rstrip(b"\r\n").rpartition(syntax.line_end.encode())[2]
    return line.decode(syntax.encoding, "replace")


def _leaves_open(line: str, syntax: CsvSyntax) -> bool:
    try:
        list(csv.reader([line], **syntax.list_parameters()))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False
