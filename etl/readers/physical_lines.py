"""Cuts a text file into its physical lines, as bytes with exact places, in any encoding that etl/readers knows."""

from dataclasses import dataclass, field
from typing import BinaryIO

from etl.readers.encodings import Encoding

_STEP_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LineCutter:
    """Cuts lines at a line feed or a carriage return, in this encoding. A line begins where a character does."""

    encoding: Encoding = field(default_factory=Encoding)
    line_end: str = "\n"

    @property
    def mark(self) -> bytes:
        return self.line_end.encode(self.encoding.name)

    def read_line(self, file: BinaryIO, limit: int) -> bytes:
        """Return the line that begins at the file's place, with its end, or its beginning of about `limit` bytes."""
        if self.mark == b"\n":
            return file.readline(limit)
        limit += -limit % self.encoding.width
        start, line, step = file.tell(), bytearray(), _STEP_BYTES
        while len(line) < limit and (block := file.read(min(step, limit - len(line)))):
            seen, step = len(line), 2 * step
            line += block
            if (at := self.find(line, seen)) >= 0:
                del line[at + self.encoding.width :]
                file.seek(start + len(line))
                break
        return bytes(line)

    def split(self, block: bytes, count: int) -> list[bytes]:
        """Return at most `count` lines without their ends, and what follows them."""
        if self.encoding.width == 1:
            return block.split(self.mark, count)
        lines: list[bytes] = []
        start = 0
        while len(lines) < count and (at := self.find(block, start)) >= 0:
            lines.append(block[start:at])
            start = at + self.encoding.width
        return [*lines, block[start:]]

    def find(self, block: bytes | bytearray, start: int) -> int:
        """Return where the next line end is in bytes that begin where a character does; -1 if there is none."""
        at = block.find(self.mark, start)
        while at % self.encoding.width and at >= 0:
            at = block.find(self.mark, at + 1)
        return at

    def find_footer(self, file: BinaryIO, start: int, end: int, count: int) -> int:
        """Return where the last `count` lines begin, not counting blank lines at the end of the file."""
        if not count:
            return end
        width, begin = self.encoding.width, end - (end - start) % self.encoding.width
        breaks = tuple(mark.encode(self.encoding.name) for mark in "\r\n")
        is_text = False
        while begin > start:
            size = min(_STEP_BYTES * 16, begin - start)
            file.seek(begin - size)
            block = file.read(size)
            for at in range(size - width, -1, -width):
                unit = block[at : at + width]
                is_text = is_text or unit not in breaks
                if is_text and unit == self.mark:
                    count -= 1
                    if not count:
                        return begin - size + at + width
            begin -= size
        return start
