"""What a file or body looks like by its first bytes, when it is not what its source declares. Pure."""

import re
from collections.abc import Mapping

from etl.readers.content import BYTE_ORDER_MARK
from etl.readers.csv_syntax import CsvSyntax

HEAD_BYTES = 4096
"""The number of bytes that is enough to recognise each of them."""

_SIGNATURES: Mapping[bytes, str] = {
    b"\x00\x00\xfe\xff": "UTF-32 text",
    b"\xff\xfe\x00\x00": "UTF-32 text",  # before UTF-16, whose mark is its beginning
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "a gzip file",
    b"BZh91AY&SY": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a spreadsheet (xls)",
    b"%PDF-": "a PDF",
    b"PAR1\x15": "a Parquet file",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3\x00": "an SQLite database",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF89a": "a picture",
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer to the file",
    b"{\\rtf": "an RTF document",
}
_SPREADSHEET_PARTS = (b"[Content_Types].xml", b"_rels/", b"xl/", b"docProps/", b"opendocument.spreadsheet")
_HTML = re.compile(
    rb"<!doctype\s+html|<(?:html|head|body|title|meta|script|style|div|p|h[1-6]|form|table)\b", re.IGNORECASE
)
_XML = re.compile(rb"<[?!a-z]", re.IGNORECASE)
_JSON = re.compile(rb"""\{\s*(?:["}]|\Z)|\[\s*(?:[{\["\]]|-?\d|true\b|false\b|null\b|\Z)""")
_NAMED_SEPARATOR = re.compile(r"sep=.", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_REMEDIES = {
    "a file separated by commas": 'declare delimiter=","',
    "a file separated by semicolons": 'declare delimiter=";"',
    "a file separated by tabs": 'declare delimiter="\\t"',
    "a file separated by vertical bars": 'declare delimiter="|"',
    "a file whose lines end with line feeds": "leave out line_end",
    "a file whose lines end with a carriage return alone": 'declare line_end="\\r"',
    "a file whose first line names its separator ('sep=,')": "declare skip_lines=1",
    "a file whose first line names its separator ('sep=;')": 'declare delimiter=";"',
}
_DEFAULT = CsvSyntax()


def describe_lookalike(head: bytes, declared: CsvSyntax = _DEFAULT) -> str:
    """Say what the beginning of a file looks like, such as `an HTML page`; empty for a CSV file as declared, or if
    unknown.

    The words complete the sentence "this looks like …".
    """
    if declared.encoding.startswith("utf-16"):
        head = head.decode(declared.encoding, "replace").encode()
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head.startswith(b"PK\x03\x04"):
        return "a spreadsheet (zip)" if any(part in head for part in _SPREADSHEET_PARTS) else "a zip file"
    text = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    return _describe_markup(text) or _describe_nul(head) or _describe_separators(text, declared)


def describe_undeclared(head: bytes, declared: CsvSyntax) -> str:
    """Say what the beginning of a CSV file looks like, and how to declare that if a dialect can; else as above."""
    found = describe_lookalike(head, declared)
    remedy = _suggest_utf_16(head) if found == "UTF-16 text" else _REMEDIES.get(found)
    return f"{found}: {remedy}" if remedy else found


def _suggest_utf_16(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return 'declare encoding="utf-16"'
    return f'declare encoding="utf-16-{"be" if head.startswith(bytes(1)) else "le"}"'


def describe_not_json(head: bytes) -> str:
    """Say what the beginning of a file looks like where JSON is expected; empty for JSON, or if unknown."""
    text = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    if text[:1] in (b"{", b"[") and b"\0" not in text[:4]:
        return ""  # JSON, though it may be broken
    lines = _find_first_lines(text)
    return describe_lookalike(head) or ("a CSV file" if len(lines) > 1 and _count_in_each(",", lines) else "")


def _describe_markup(text: bytes) -> str:
    if _HTML.match(text) or (_XML.match(text) and re.search(rb"<html\b", text, re.IGNORECASE)):
        return "an HTML page"
    if _XML.match(text):
        return "XML"
    return "JSON" if _JSON.match(text) else ""


def _describe_nul(head: bytes) -> str:
    """Find text without a mark: in western text every second byte is NUL in UTF-16, and three of four in UTF-32."""
    columns = [head[start:64:4] for start in range(4)]
    zeros = [2 * column.count(0) > len(column) for column in columns]
    if zeros in ([False, True, True, True], [True, True, True, False]):
        return "UTF-32 text"
    if zeros in ([False, True] * 2, [True, False] * 2):
        return "UTF-16 text"
    return "binary data" if b"\0" in head else ""


def _describe_separators(text: bytes, declared: CsvSyntax) -> str:
    lines = _find_first_lines(text)
    if lines and (named := _NAMED_SEPARATOR.fullmatch(lines[0])):
        return f"a file whose first line names its separator ({named[0]!r})"
    counts = {mark: _count_in_each(mark, lines) for mark in _SEPARATORS if mark != declared.delimiter}
    most = max(counts, key=lambda mark: counts[mark])
    if counts[most] > _count_in_each(declared.delimiter, lines):
        return f"a file separated by {_SEPARATORS[most]}"
    return _describe_line_ends(text, declared.line_end)


def _describe_line_ends(text: bytes, declared: str) -> str:
    first, end, _ = text.partition(b"\n")
    if declared == "\r":
        return "a file whose lines end with line feeds" if end and b"\r" not in first.rstrip(b"\r") else ""
    return "a file whose lines end with a carriage return alone" if b"\r" in first.rstrip(b"\r") else ""


def _find_first_lines(text: bytes) -> list[str]:
    """Return the first two lines without their quoted parts: separators in those do not separate."""
    lines = [line for line in re.split(r"[\r\n]+", text.decode(errors="replace"), maxsplit=2) if line.strip()]
    return [_QUOTED.sub("", line) for line in lines[:2]]


def _count_in_each(mark: str, lines: list[str]) -> int:
    """Count a separator that every line has: one line may contain it by chance."""
    return min((line.count(mark) for line in lines), default=0)
