"""Undoes the content encodings of a body, and proves that each compressed stream reaches its own end. Pure."""

import zlib
from collections.abc import Iterable, Iterator, Sequence

ACCEPTED = "gzip, deflate"
PIECE_BYTES = 64 << 10
"""Pieces have at most this size, so that a small body can't unpack to more than the memory holds."""

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_START = b"\x1f"


class WrongEncoding(Exception):
    """The body is not encoded as its header says, or in a way that can't be decoded. A retry would not help."""


class CutStream(Exception):
    """A compressed stream is damaged or ends in the middle."""


def list_encodings(header: str) -> list[str]:
    """Return the encodings that a Content-Encoding header names, in the order in which they were applied."""
    names = (name.strip().lower().removeprefix("x-") for name in header.split(","))
    return [name for name in names if name not in ("", "identity")]


def decode(blocks: Iterable[bytes], encodings: Sequence[str]) -> Iterable[bytes]:
    """Return the decoded body in pieces. Raises WrongEncoding, and CutStream after the last piece."""
    for name in reversed(encodings):
        if name not in ("gzip", "deflate"):
            raise WrongEncoding(f"the body is encoded as {name!r}, which was not asked for and can't be decoded")
        blocks = _inflate(blocks, name)
    return blocks


def _inflate(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield the content of one stream, or of several gzip members in a row. An empty body has no stream."""
    stream = None
    for block in blocks:
        data = block
        while data:
            if stream is None:
                stream = _begin_stream(name, data)
            elif stream.eof:
                if name != "gzip" or not data.startswith(_GZIP_START):
                    break  # padding after the end, which other clients ignore as well
                stream = _begin_stream(name, data)
            yield from _unpack(stream, data)
            data = stream.unused_data
    if stream is not None and not stream.eof:
        raise CutStream("the compressed body ends in the middle")


def _begin_stream(name: str, data: bytes) -> "zlib._Decompress":
    if name == "gzip":
        if not data.startswith(_GZIP_START):
            raise WrongEncoding("the body is not gzip, although its Content-Encoding says so")
        return zlib.decompressobj(_GZIP)
    is_zlib = data[0] & 0x0F == zlib.DEFLATED  # as RFC 9110 says; some servers send the stream without its frame
    return zlib.decompressobj(_ZLIB if is_zlib else _RAW)


def _unpack(stream: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    is_full = True
    while (data or is_full) and not stream.eof:  # a full piece may have left more to come
        try:
            piece = stream.decompress(data, PIECE_BYTES)
        except zlib.error:
            raise CutStream("the compressed body is damaged") from None
        data, is_full = stream.unconsumed_tail, len(piece) == PIECE_BYTES
        yield piece
