"""Content over HTTP: accepted only if it is of the declared format, and if the end of the body is proven."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol

from etl.exceptions import SourceError
from etl.http.client import open_body
from etl.http.credentials import Credentials
from etl.http.request import Body, Request
from etl.local_copy import LocalCopy
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.readers.source import Source

Whole = Literal["proven", "unproven"]
"""Which bodies a source accepts: only those whose end is proven, or also others."""


class Format(Protocol):
    """What this module needs to know of a dialect (etl/readers/file_source.py)."""

    def open(
        self, copy: LocalCopy, source: Source, *, validators: Mapping[str, str] | None = None, is_proven: bool = True
    ) -> Content: ...
    def looks_cut(self, copy: LocalCopy) -> bool: ...
    def proves_end(self, copy: LocalCopy) -> bool: ...


@contextmanager
def open_remote(
    source: Source,
    dialect: Format,
    request: Request,
    opening: Opening,
    context: ReadContext,
    *,
    whole: Whole,
    credentials: Credentials | None = None,
) -> Iterator[Content | None]:
    """Open the records that the server sends; None if they are not modified. Raises SourceError."""
    with open_body(request, opening.validators, context, dialect.looks_cut, credentials) as body:
        yield None if body is None else _accept(source, dialect, body, whole=whole)


def _accept(source: Source, dialect: Format, body: Body, *, whole: Whole) -> Content:
    is_proven = body.is_proven or dialect.proves_end(body.copy)
    try:
        content = dialect.open(body.copy, source, validators=body.validators, is_proven=is_proven)
    except SourceError as error:  # its text shows what the server says, which may echo a key
        raise SourceError(body.request.mask(str(error)), error.reason) from None
    if not is_proven and whole == "proven":
        raise _report_unproven(source.location)
    return content


def _report_unproven(location: str) -> SourceError:
    missing = "it has no Content-Length, no chunks, no compression and no array that closes"
    remedy = 'Have the server send a length or chunks, or set whole = "unproven" in the source to accept this'
    text = f"{location} sent records without a proof of their end, so some may be missing: {missing}. {remedy}."
    return SourceError(text)
