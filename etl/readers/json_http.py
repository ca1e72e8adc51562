"""JSON records over HTTP: accepted only if they are records, and if the end of the body is proven."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from etl.exceptions import SourceError
from etl.http.client import open_body
from etl.http.request import Body, Request
from etl.read_context import ReadContext
from etl.readers.content import Opening
from etl.readers.json_records import JsonContent, looks_cut
from etl.readers.json_text import describe_other, is_closed_array, refuse_other, report_other
from etl.readers.source import Source

Whole = Literal["proven", "unproven"]
"""Which bodies a source accepts: only those whose end is proven, or also others."""


@contextmanager
def open_json(
    source: Source, request: Request, opening: Opening, context: ReadContext, *, whole: Whole, must_be_array: bool
) -> Iterator[JsonContent | None]:
    """Open the records that the server sends; None if they are not modified. Raises SourceError."""
    with open_body(request, opening.validators, context, looks_cut) as body:
        yield None if body is None else _accept(source, request, body, whole=whole, must_be_array=must_be_array)


def _accept(source: Source, request: Request, body: Body, *, whole: Whole, must_be_array: bool) -> JsonContent:
    try:
        if other := describe_other(body.copy):
            raise report_other(body.copy, source.location, other)
        refuse_other(body.copy, source, must_be_array=must_be_array)
    except SourceError as error:  # its text shows what the server says, which may echo a key
        raise SourceError(request.mask(str(error)), error.reason) from None
    is_proven = body.is_proven or is_closed_array(body.copy)
    if not is_proven and whole == "proven":
        raise _report_unproven(source.location)
    return JsonContent(body.copy, source.location, must_be_array, body.validators, is_proven)


def _report_unproven(location: str) -> SourceError:
    missing = "it has no Content-Length, no chunks, no compression and no array that closes"
    remedy = 'Have the server send a length or chunks, or set whole = "unproven" in the source to accept this'
    text = f"{location} sent lines without a proof of their end, so some may be missing: {missing}. {remedy}."
    return SourceError(text)
