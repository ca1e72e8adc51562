"""Laws of gzip and zip: all of their content is read, or nothing, from a file as from a server."""

import base64
import bz2
import gzip
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.exceptions import SourceError, TransientSourceError
from etl.readers import containers
from etl.readers.containers import unpack
from etl.readers.content import Content, Opening
from etl.readers.file_source import FileSource
from etl.sources import Contract, CsvSource, JsonLinesSource, NonBlank
from etl.vocabulary import Reason
from tests.factories import hold, read_items
from tests.fakes import RecordingContext
from tests.http.raw_server import RawServer, answer

TABLE = b"id,name\n1,Nut\n2,Bolt\n"
LINES = b'{"id": "1", "name": "Nut"}\n{"id": "2", "name": "Bolt"}\n'
PACKED_TABLE = gzip.compress(TABLE)
CLOSED = b"HTTP/1.1 200 OK\r\n\r\n"


class Part(Contract):
    id: NonBlank
    name: NonBlank


class Parts(CsvSource):
    name, every, contract = "parts", timedelta(hours=1), Part
    unified = {"external_id": "id", "name": "name"}


class Feed(JsonLinesSource):
    name, every, contract = "feed", timedelta(hours=1), Part
    unified = {"external_id": "id", "name": "name"}


def zip_files(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def encrypt(archive: bytes) -> bytes:
    """Set the flag in the file's own header and in the directory."""
    marked = bytearray(archive)
    marked[6] |= 1
    marked[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(marked)


def damage(packed: bytes, place: int) -> bytes:
    return packed[:place] + bytes([packed[place] ^ 0xFF]) + packed[place + 1 :]


def make(kind: type[FileSource], path: str | Path) -> FileSource:
    source = kind()
    setattr(source, "path", str(path))  # noqa: B010  (a class attribute)
    return source


def open_content(source: FileSource, opened: ExitStack) -> Content:
    content = opened.enter_context(source.open(Opening(), RecordingContext()))
    assert content is not None
    return content


def read_names(source: FileSource) -> list[str]:
    with ExitStack() as opened:
        return [item.values["name"] for item in read_items(open_content(source, opened))]  # type: ignore[union-attr]


def fail(source: FileSource) -> SourceError:
    with pytest.raises(SourceError) as caught, source.open(Opening(), RecordingContext()):
        pass
    return caught.value


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data"


# What is unpacked

PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip of several members": lambda text: b"".join(gzip.compress(text[at : at + 5]) for at in range(0, len(text), 5)),
    "gzip with padding": lambda text: gzip.compress(text) + bytes(512),
    "gzip with padding between members": lambda text: gzip.compress(text[:9]) + bytes(99) + gzip.compress(text[9:]),
    "zip": lambda text: zip_files({"data.csv": text}),
    "zip without compression": lambda text: zip_files({"data.csv": text}, zipfile.ZIP_STORED),
    "zip in a folder": lambda text: zip_files({"export/": b"", "export/data.csv": text}),
    "zip by macOS": lambda text: zip_files({"data.csv": text, "__MACOSX/._data.csv": b"\0\5\x16\7"}),
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize(("kind", "text"), [(Parts, TABLE), (Feed, LINES)])
def test_a_packed_file_is_read_as_its_content(file: Path, kind: type[FileSource], text: bytes, packing: str) -> None:
    file.write_bytes(PACKED[packing](text))
    assert read_names(make(kind, file)) == ["Nut", "Bolt"]


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize(("kind", "text"), [(Parts, TABLE), (Feed, LINES)])
def test_a_packed_body_is_read_as_its_content(
    server: RawServer, kind: type[FileSource], text: bytes, packing: str
) -> None:
    server.answers.append(answer(PACKED[packing](text)))
    assert read_names(make(kind, server.origin)) == ["Nut", "Bolt"]


@pytest.mark.parametrize("packing", PACKED)
def test_the_fingerprint_is_of_the_content_and_not_of_how_it_is_packed(packing: str) -> None:
    with unpack(hold(PACKED[packing](TABLE)), "data") as copy:
        assert (copy.fingerprint, copy.size) == (hold(TABLE).fingerprint, len(TABLE))


def test_what_is_no_container_is_not_copied_again() -> None:
    plain = hold(TABLE)
    with unpack(plain, "data") as copy:
        assert copy is plain


@pytest.mark.parametrize("member", ["[Content_Types].xml", "mimetype"])
def test_a_document_that_is_a_zip_file_stays_as_it_is(member: str) -> None:
    document = hold(zip_files({member: b"", "content.xml": b"<x/>"}))
    with unpack(document, "data") as copy:
        assert copy is document


def test_what_is_packed_twice_is_named_by_what_it_is_then(file: Path) -> None:
    file.write_bytes(gzip.compress(gzip.compress(LINES)))
    assert "looks like a gzip file" in str(fail(make(Feed, file)))


def test_another_format_is_named_after_unpacking(file: Path) -> None:
    file.write_bytes(gzip.compress(b"<!doctype html><title>Sign in</title>"))
    assert "looks like an HTML page: Sign in" in str(fail(make(Feed, file)))


@given(parts=st.lists(st.binary(max_size=300), max_size=5), block=st.integers(1, 40), piece=st.integers(1, 40))
def test_any_members_in_any_blocks_give_their_content(parts: list[bytes], block: int, piece: int) -> None:
    copy = hold(b"".join(map(gzip.compress, parts)) or gzip.compress(b""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containers, "COPY_BYTES", block)
        patch.setattr(containers, "PIECE_BYTES", piece)
        assert b"".join(containers.gunzip(copy, "data")) == b"".join(parts)


# What fails

CUT_AT_LINE_END = base64.b64decode(
    "H4sIAAAAAAACA6tWykxRslJQMlDSUVDKS8xNBXHyDJRquaqhMoYoMoZIMkYoMkZIMsYoMsZIMiYoMiZAGQA="
)
"""A gzip stream of five lines, flushed but not ended, as a process that was killed leaves it."""

BROKEN = {
    "a stream flushed at a line end": (CUT_AT_LINE_END, "is a gzip file that is cut off"),
    "a stream without its checksum": (gzip.compress(LINES)[:-8], "is a gzip file that is cut off"),
    "two bytes": (b"\x1f\x8b", "is a gzip file that is cut off"),
    "a second member cut": (gzip.compress(LINES) + gzip.compress(LINES)[:9], "is a gzip file that is cut off"),
    "a second member damaged": (gzip.compress(LINES) + b"\0\0x" + gzip.compress(LINES), "is a damaged gzip file"),
    "a wrong checksum": (damage(gzip.compress(LINES), -8), "is a damaged gzip file"),
    "an archive without its directory": (zip_files({"a": LINES})[:-30], "is a zip file that is cut off"),
    "an archive of which only the head came": (zip_files({"a": LINES})[:40], "is a zip file that is cut off"),
    "an archive with a wrong checksum": (
        damage(zip_files({"a": LINES}, zipfile.ZIP_STORED), 40),
        "is a damaged zip file",
    ),
    "two files": (zip_files({"a": LINES, "b": LINES}), "is a zip file with 2 files; one file is read"),
    "no file": (zip_files({}), "is a zip file with no file; one file is read"),
    "a password": (encrypt(zip_files({"a": LINES})), "is an encrypted zip file"),
    "bzip2": (zip_files({"a": LINES}, zipfile.ZIP_BZIP2), "is a zip file compressed with bzip2; Deflate is read"),
    "LZMA": (zip_files({"a": LINES}, zipfile.ZIP_LZMA), "is a zip file compressed with LZMA; Deflate is read"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_container_fails_with_its_cause(file: Path, case: str) -> None:
    content, message = BROKEN[case]
    file.write_bytes(content)
    error = fail(make(Feed, file))
    assert str(error).startswith(f"{file} {message}")
    assert error.reason is Reason.SOURCE_UNREADABLE


@given(length=st.integers(2, len(PACKED_TABLE) - 1))
def test_any_cut_of_a_gzip_file_is_noticed(length: int) -> None:
    with pytest.raises(SourceError, match="cut off"), unpack(hold(PACKED_TABLE[:length]), "data"):
        pass


@pytest.mark.parametrize("bits", [0x01, 0x10, 0x15, 0x80, 0xFF])
def test_any_damage_of_a_zip_file_gives_its_content_or_an_error(bits: int) -> None:
    whole = zip_files({"a": TABLE})
    for place in range(len(whole)):
        packed = bytearray(whole)
        packed[place] ^= bits
        with suppress(SourceError), unpack(hold(bytes(packed)), "data") as copy:
            assert copy.read_head(99) in (TABLE, packed[:99])


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zip_files({"a": content})])
def test_a_bomb_meets_the_cap(file: Path, settings: Any, pack: Any) -> None:
    settings.ETL_UNPACKED_MAX_BYTES = 1 << 20
    file.write_bytes(pack(bytes(1 << 26)))
    assert str(fail(make(Feed, file))) == f"{file} unpacks to more than 1,048,576 bytes (ETL_UNPACKED_MAX_BYTES)."


def test_content_of_exactly_the_cap_is_read(file: Path, settings: Any) -> None:
    settings.ETL_UNPACKED_MAX_BYTES = len(LINES)
    file.write_bytes(gzip.compress(LINES))
    assert read_names(make(Feed, file)) == ["Nut", "Bolt"]


def test_other_compressions_are_named(file: Path) -> None:
    file.write_bytes(bz2.compress(LINES))
    assert "looks like a bzip2 file" in str(fail(make(Feed, file)))


# Over HTTP


def test_a_container_proves_the_end_of_its_body(server: RawServer) -> None:
    server.answers.append(CLOSED + PACKED_TABLE)
    with ExitStack() as opened:
        assert open_content(make(Parts, server.origin), opened).is_proven


def test_a_cut_container_is_asked_for_again(server: RawServer) -> None:
    server.answers += [answer(PACKED_TABLE[:-4]), answer(PACKED_TABLE)]
    assert read_names(make(Parts, server.origin)) == ["Nut", "Bolt"]
    assert len(server.requests) == 2


def test_a_container_that_stays_cut_fails(server: RawServer, settings: Any) -> None:
    settings.ETL_HTTP_RETRIES = 1
    server.answers.append(answer(CUT_AT_LINE_END))
    error = fail(make(Feed, server.origin))
    assert isinstance(error, TransientSourceError)
    assert "the body is truncated" in str(error)
    assert len(server.requests) == 2


def test_a_damaged_container_is_not_asked_for_again(server: RawServer) -> None:
    server.answers.append(answer(damage(PACKED_TABLE, -8)))
    assert "is a damaged gzip file" in str(fail(make(Parts, server.origin)))
    assert len(server.requests) == 1
