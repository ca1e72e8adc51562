"""Laws of content encodings: every stream reaches its end, and a small body unpacks in small pieces."""

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.http.decoding import PIECE_BYTES, CutStream, WrongEncoding, decode, list_encodings

TEXT = b"".join(b'{"id": %d}\n' % number for number in range(20_000))


def deflate_raw(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(content) + stream.flush()


def cut_up(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def decode_all(content: bytes, header: str, size: int = 1000) -> bytes:
    return b"".join(decode(cut_up(content, size), list_encodings(header)))


ENCODED = [
    ("gzip", gzip.compress(TEXT, mtime=0)),
    ("x-gzip", gzip.compress(TEXT, mtime=0)),
    (" GZIP ", gzip.compress(TEXT, mtime=0)),
    ("gzip", gzip.compress(TEXT[:1000], mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(TEXT[1000:], mtime=0)),
    ("gzip", gzip.compress(TEXT, mtime=0) + bytes(100)),
    ("deflate", zlib.compress(TEXT)),
    ("deflate", deflate_raw(TEXT)),
    ("deflate, gzip", gzip.compress(zlib.compress(TEXT), mtime=0)),
    ("gzip, identity", gzip.compress(TEXT, mtime=0)),
    ("", TEXT),
    ("identity", TEXT),
]


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize(("header", "content"), ENCODED)
def test_a_body_is_decoded_in_pieces_of_any_size(header: str, content: bytes, size: int) -> None:
    assert decode_all(content, header, size) == TEXT


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.data())
def test_a_gzip_body_cut_anywhere_within_a_member_is_found(parts: list[bytes], data: st.DataObject) -> None:
    members = [gzip.compress(part) for part in parts]
    body = b"".join(members)
    ends = {sum(map(len, members[:count])) for count in range(len(members) + 1)}
    cut = data.draw(st.integers(0, len(body)).filter(lambda place: place not in ends))
    with pytest.raises(CutStream):
        decode_all(body[:cut], "gzip", data.draw(st.integers(1, 60)))


@pytest.mark.parametrize("content", [zlib.compress(TEXT), deflate_raw(TEXT)])
def test_a_deflated_body_without_its_end_is_found(content: bytes) -> None:
    with pytest.raises(CutStream):
        decode_all(content[:-5], "deflate")


@pytest.mark.parametrize("place", [100, -6])
def test_a_damaged_body_is_found(place: int) -> None:
    content = bytearray(gzip.compress(TEXT) * 2)
    content[place] ^= 0xFF
    with pytest.raises(CutStream):
        decode_all(bytes(content), "gzip")


def test_a_stream_that_is_flushed_at_a_line_but_not_ended_is_cut() -> None:
    stream = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    content = stream.compress(TEXT) + stream.flush(zlib.Z_SYNC_FLUSH)
    pieces = []
    with pytest.raises(CutStream):
        for piece in decode([content], ["gzip"]):
            pieces.append(piece)  # noqa: PERF402  (keeps those before the error)
    assert b"".join(pieces) == TEXT


def test_an_empty_body_has_no_stream_to_end() -> None:
    assert decode_all(b"", "gzip") == b""


@pytest.mark.parametrize(("header", "complaint"), [("br", "'br'"), ("gzip, zstd", "'zstd'"), ("gzip", "not gzip")])
def test_an_encoding_that_is_not_the_bodys_is_named(header: str, complaint: str) -> None:
    with pytest.raises(WrongEncoding, match=complaint):
        decode_all(TEXT, header)


def test_a_bomb_unpacks_in_small_pieces() -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    tracemalloc.start()
    try:
        assert max(map(len, decode([bomb], ["gzip"]))) == PIECE_BYTES
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
