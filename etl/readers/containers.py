"""Unpacks gzip (any number of members) and zip (one member), known by their first bytes. Never keeps a part of one.

The copy that a reader gets is of the unpacked bytes, and so is its fingerprint: the same content packed again, which
writes another time into the container, is the same content (docs/decisions/0032).
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from etl.conf import conf
from etl.exceptions import SourceError
from etl.local_copy import COPY_BYTES, LocalCopy, open_temporary, write_copy

GZIP_START, ZIP_STARTS = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
PIECE_BYTES = 1 << 20
"""The most that is unpacked at once, however much a few packed bytes may become."""

SPREADSHEET_MEMBERS = ("[Content_Types].xml", "mimetype")
"""A zip with one of these is a document (XLSX, ODS), whose dialect reads it as it is."""

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
OTHER_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
ENCRYPTED = 0x1

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError, RuntimeError)
"""What zipfile raises about an archive that it can't read."""


class CutContainer(SourceError):
    """The container ends in the middle: a server that is asked again may send all of it."""


def is_container(copy: LocalCopy) -> bool:
    """Whether the copy is a gzip file, or a zip file that is not a document."""
    head = copy.read_head(4)
    return head.startswith(GZIP_START) or (head in ZIP_STARTS and not _is_document(copy))


@contextmanager
def unpack(copy: LocalCopy, location: str) -> Iterator[LocalCopy]:
    """Provide the container's content as a copy of its own, or the copy itself. Raises SourceError.

    A container in a container stays packed.
    """
    if not is_container(copy):
        yield copy
        return
    with open_temporary() as file:
        unpacked = _list_pieces(copy, location)
        fingerprint, size = write_copy(_limit(unpacked, location), file, location)
        yield replace(copy, file=file, fingerprint=fingerprint, size=size)


def _list_pieces(copy: LocalCopy, location: str) -> Iterator[bytes]:
    return (gunzip if copy.read_head(2) == GZIP_START else _unzip)(copy, location)


def _limit(pieces: Iterable[bytes], location: str) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > conf.ETL_UNPACKED_MAX_BYTES:
            limit = f"{conf.ETL_UNPACKED_MAX_BYTES:,} bytes (ETL_UNPACKED_MAX_BYTES)"
            raise SourceError(f"{location} unpacks to more than {limit}.")
        yield piece


def gunzip(copy: LocalCopy, location: str) -> Iterator[bytes]:
    """Yield the content of all members. Zeros after the last one are padding; anything else is damage."""
    copy.file.seek(0)
    member: zlib._Decompress | None = None
    for block in iter(partial(copy.file.read, COPY_BYTES), b""):
        data = block
        while data:
            if member is None or member.eof:
                data = data if member is None else data.lstrip(b"\0")
                member = zlib.decompressobj(16 + zlib.MAX_WBITS) if data else member
                continue
            try:
                yield member.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise SourceError(f"{location} is a damaged gzip file: nothing of it was read.") from None
            data = member.unconsumed_tail or member.unused_data
    while member is not None and not member.eof and (piece := _drain(member, location)):
        yield piece
    if member is None or not member.eof:
        raise CutContainer(f"{location} is a gzip file that is cut off: its end is missing, so nothing of it was read.")


def _drain(member: "zlib._Decompress", location: str) -> bytes:
    try:
        return member.decompress(b"", PIECE_BYTES)
    except zlib.error:
        raise SourceError(f"{location} is a damaged gzip file: nothing of it was read.") from None


def _unzip(copy: LocalCopy, location: str) -> Iterator[bytes]:
    try:
        archive = zipfile.ZipFile(copy.file)
    except _DAMAGE:
        raise CutContainer(
            f"{location} is a zip file that is cut off: its end is missing, so nothing of it was read."
        ) from None
    with archive:
        member = _choose_member(archive, location)
        try:
            with archive.open(member) as file:
                yield from iter(partial(file.read, PIECE_BYTES), b"")  # compares the checksum at its end
        except _DAMAGE:
            raise SourceError(f"{location} is a damaged zip file: nothing of it was read.") from None


def _choose_member(archive: zipfile.ZipFile, location: str) -> zipfile.ZipInfo:
    members = _list_members(archive)
    if len(members) != 1:
        found = f"{len(members):,} files" if members else "no file"
        raise SourceError(f"{location} is a zip file with {found}; one file is read. Pack each file by itself.")
    (member,) = members
    if member.flag_bits & ENCRYPTED:
        raise SourceError(f"{location} is an encrypted zip file: have it sent without a password.")
    if member.compress_type not in METHODS:
        method = OTHER_METHODS.get(member.compress_type, f"method {member.compress_type}")
        raise SourceError(f"{location} is a zip file compressed with {method}; Deflate is read. Pack it again.")
    return member


def _list_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files, without folders and without what macOS adds to each of them."""
    names = ((info, info.filename) for info in archive.infolist())
    return [info for info, name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]


def _is_document(copy: LocalCopy) -> bool:
    try:
        with zipfile.ZipFile(copy.file) as archive:
            return any(name in SPREADSHEET_MEMBERS for name in archive.namelist())
    except _DAMAGE:
        return False
