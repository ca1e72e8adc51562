"""Content over HTTP: accepted only if it is of the declared format, and if the end of the body is proven."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

from etl.exceptions import SourceError
from etl.http.client import open_body
from etl.http.credentials import Credentials
from etl.http.excerpts import make_excerpt
from etl.http.request import Body, Request
from etl.local_copy import LocalCopy
from etl.read_context import ReadContext
from etl.readers.containers import CutContainer, unpack
from etl.readers.content import Content, Opening
from etl.readers.copied_content import EmptyContent
from etl.readers.dialect import Dialect
from etl.readers.lookalikes import HEAD_BYTES, describe_lookalike
from etl.readers.source import Source
from etl.vocabulary import Reason, SourceKind

Whole = Literal["proven", "unproven"]
"""Which bodies a source accepts: only those whose end is proven, or also others."""


@dataclass(frozen=True, slots=True)
class Response:
    """The records of one response, the response, and the copy of its body as it was unpacked."""

    content: Content
    body: Body
    copy: LocalCopy


@contextmanager
def open_response(
    source: Source,
    dialect: Dialect,
    request: Request,
    opening: Opening,
    context: ReadContext,
    *,
    whole: Whole,
    credentials: Credentials | None = None,
) -> Iterator[Response | None]:
    """Open the records that the server sends; None if they are not modified. Raises SourceError."""
    with ExitStack() as opened:
        unpacking = _Unpacking(dialect, request.location, opened)
        body = opened.enter_context(open_body(request, opening.validators, context, unpacking.looks_cut, credentials))
        if body is not None and body.is_empty:
            yield Response(EmptyContent(body.copy), body, body.copy)
            return
        yield None if body is None else _accept(source, dialect, body, unpacking, whole=whole)


class _Unpacking:
    """Unpacks each body that arrives, because only then it shows whether a container is truncated."""

    def __init__(self, dialect: Dialect, location: str, opened: ExitStack) -> None:
        self.dialect, self.location = dialect, location
        self.last = opened.enter_context(ExitStack())
        self.copy: LocalCopy | None = None

    def looks_cut(self, copy: LocalCopy) -> bool:
        """Whether the body, or what is packed in it, ends in the middle."""
        self.last.close()
        try:
            self.copy = self.last.enter_context(unpack(copy, self.location))
        except CutContainer:
            return True
        return self.dialect.looks_cut(self.copy)


def _accept(source: Source, dialect: Dialect, body: Body, unpacking: _Unpacking, *, whole: Whole) -> Response:
    copy = unpacking.copy
    assert copy is not None  # open_body has asked whether it looks cut
    is_proven = body.is_proven or copy is not body.copy or dialect.proves_end(copy)
    try:
        _refuse_page(source, dialect, copy)
        content = dialect.open(copy, source, validators=body.validators, is_proven=is_proven)
    except SourceError as error:  # its text shows what the server says, which may echo a key
        raise SourceError(body.request.mask(str(error)), error.reason) from None
    if not is_proven and whole == "proven":
        raise _report_unproven(source.location)
    return Response(content, body, copy)


def _refuse_page(source: Source, dialect: Dialect, copy: LocalCopy) -> None:
    """Raise SourceError if a server that should send a table sends a web page or an error with status 200."""
    head = copy.read_head(HEAD_BYTES)
    found = describe_lookalike(head) if dialect.kind is SourceKind.CSV else ""
    if found in ("an HTML page", "XML", "JSON"):
        text = f"{source.location} did not send a table but {found}: {make_excerpt(head)}."
        raise SourceError(text, Reason.SOURCE_REFUSED)


def _report_unproven(location: str) -> SourceError:
    missing = "it has no Content-Length, no chunks, no compression, no container and no array that closes"
    remedy = 'Have the server send a length or chunks, or set whole = "unproven" in the source to accept this'
    text = f"{location} sent records without a proof of their end, so some may be missing: {missing}. {remedy}."
    return SourceError(text)
