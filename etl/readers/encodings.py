"""The encodings in which a text file can be read line by line. Pure.

They are UTF-16, and all encodings that write a line end as one byte of its own. No list says which these are: each name
is checked by trying its codec.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

UTF_8 = "utf-8"
_UTF_8_MARK = codecs.BOM_UTF8
_WIDE = {"utf-16": b"", "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
ESCAPE = "kasparro.escape"
"""Decodes each byte that the codec does not have to a lone surrogate, so that the cell that holds it can be found."""


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(ESCAPE, _escape)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file's text is encoded: by the codec `name`; its line ends have `width` bytes, and its mark is `mark`.

    `is_charmap`: one byte is one character, so lines can be decoded together.
    """

    name: str = UTF_8
    width: int = 1
    mark: bytes = _UTF_8_MARK
    is_charmap: bool = False

    def strip_line_end(self, line: bytes) -> bytes:
        """Return the bytes without the line ends at their end."""
        if self.width == 1:
            return line.rstrip(b"\r\n")
        ends = tuple(mark.encode(self.name) for mark in "\r\n")
        while line.endswith(ends) and len(line) % 2 == 0:
            line = line[:-2]
        return line

    def decode(self, lines: list[bytes], line_end: bytes) -> Iterator[str]:
        """Decode lines that are without their ends. Raises UnicodeDecodeError."""
        if self.name == UTF_8:
            return map(bytes.decode, lines)
        if self.is_charmap and lines:
            return iter(line_end.join(lines).decode(self.name).split(line_end.decode()))
        return (line.decode(self.name) for line in lines)


def check_encoding(name: str) -> str:
    """Return the encoding's name in Python's own spelling. Raises ValueError if files in it can't be read."""
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError, TypeError):
        raise ValueError(f"Csv(encoding={name!r}): Python has no encoding of this name") from None
    codec = UTF_8 if codec == "utf-8-sig" else codec
    if codec not in (UTF_8, *_WIDE) and _describe_codec(codec) is None:
        can = "UTF-8, UTF-16 and every encoding that writes a line end as one byte of its own can be read"
        raise ValueError(f"Csv(encoding={name!r}): {can}; convert the file, to UTF-8 for example")
    return codec


def check_encodable(option: str, text: str, encoding: str) -> None:
    """Raise ValueError if the encoding does not have these characters, so that no file can."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        raise ValueError(f"Csv({option}={text!r}): {encoding} does not have this character") from None


def find_encoding(name: str, head: bytes) -> Encoding | None:
    """Return the encoding of a file that begins with `head`; None if a required mark is missing."""
    if name == UTF_8:
        return Encoding()
    if name == "utf-16":
        found = [each for each, mark in _WIDE.items() if mark and head.startswith(mark)]
        return find_encoding(found[0], head) if found else None
    if name in _WIDE:
        return Encoding(name, 2, _WIDE[name])
    return Encoding(name, 1, b"", _describe_codec(name) == "charmap")


def find_other_mark(name: str, head: bytes) -> str:
    """Return the encoding whose mark the file begins with, or an empty string if that is the declared one."""
    marks = {"UTF-8": (_UTF_8_MARK, (UTF_8,)), "UTF-16": (codecs.BOM_UTF16_LE, tuple(_WIDE))}
    marks["UTF-16 "] = codecs.BOM_UTF16_BE, tuple(_WIDE)
    return next((each.strip() for each, (mark, own) in marks.items() if head.startswith(mark) and name not in own), "")


@cache
def _make_sample() -> str:
    """Return every character of the first plane, in lines of 64."""
    starts = (start for start in range(0, 0x10000, 64) if not 0xD800 <= start < 0xE000)
    return "\n".join(
        " ".join(chr(code) for code in range(start, start + 64) if chr(code) not in "\r\n") for start in starts
    )


@cache
def _describe_codec(name: str) -> str | None:
    """Return `charmap` or `multibyte`; None if lines can't be cut at a byte, or not be decoded one by one."""
    try:
        if "a\n".encode(name) != b"a\n":
            return None
        sample = _make_sample()
        text = sample.encode(name, "ignore")
        whole = text.decode(name, "replace")
        is_cut_anywhere = "\n".join(line.decode(name, "replace") for line in text.split(b"\n")) == whole
        is_cut_by_byte = text.count(b"\n") == sample.count("\n") and b"\r" not in text
        is_end_alone = all(_leaves_line_end(name, bytes([byte, end])) for byte in range(256) for end in b"\r\n")
    except (LookupError, UnicodeError):  # a LookupError: not an encoding of text
        return None
    if not (is_cut_anywhere and is_cut_by_byte and is_end_alone):
        return None
    return "charmap" if len(whole) == len(text) else "multibyte"


def _leaves_line_end(name: str, line: bytes) -> bool:
    """Whether the codec recognises the line end, or refuses the byte before it."""
    try:
        return line.decode(name).endswith(("\n", "\r"))
    except UnicodeDecodeError:
        return True
