"""A JSON body that is one record, such as the detail of an element of a list."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from etl.conf import conf
from etl.contracts.forms import JSON_FORM, Form
from etl.local_copy import LocalCopy
from etl.readers import json_records
from etl.readers.content import BYTE_ORDER_MARK
from etl.readers.copied_content import CopiedContent
from etl.readers.envelopes import read_envelope
from etl.readers.json_array import report_long
from etl.readers.json_decoder import Decoder
from etl.readers.json_text import WHITE_SPACE, describe_other, is_record, report_error, report_other
from etl.readers.lookalikes import describe_lookalike
from etl.readers.single_records import make_chunk
from etl.readers.source import Source
from etl.records import ORIGINAL_BYTES, Chunk, Cursor, Original, Record, Refusal, StoredRefusal
from etl.vocabulary import BreachCode, SourceKind


@dataclass(frozen=True, slots=True)
class JsonObject:
    """The dialect of a body that is one record."""

    kind: SourceKind = SourceKind.API
    form: Form = JSON_FORM
    has_siblings: bool = False

    def describe(self) -> Mapping[str, Any]:
        return {}

    def open(
        self, copy: LocalCopy, source: Source, *, validators: Mapping[str, str] | None = None, is_proven: bool = True
    ) -> "ObjectContent":
        """Raises SourceError if it is of another format, or an error in the place of a record."""
        if (other := describe_other(copy)) and _is_malformed(_decode(copy)):
            raise report_other(copy, source.location, other)
        envelope = read_envelope(_read(copy))
        if envelope.is_error and not is_record(envelope, source.contract):
            raise report_error(copy, source.location)
        return ObjectContent(copy, validators or {}, is_proven)

    def looks_cut(self, copy: LocalCopy) -> bool:
        return json_records.looks_cut(copy)

    def proves_end(self, copy: LocalCopy) -> bool:
        return isinstance(_decode(copy), Record)

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return json_records.revive(stored)


@dataclass(frozen=True, slots=True)
class ObjectContent(CopiedContent):
    """A copy of one JSON value."""

    copy: LocalCopy
    validators: Mapping[str, str] = field(default_factory=dict)
    is_proven: bool = True

    def describe_lookalike(self) -> str:
        return describe_lookalike(self.read_head())

    def find_columns(self) -> None:
        return None

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        if cursor is None:
            yield make_chunk([_decode(self.copy)], {"position": 1})


def _decode(copy: LocalCopy) -> Record | Refusal:
    """Return the record, or the refusal of a value that is none or is too long."""
    body, most = _read(copy), conf.ETL_MAX_RECORD_BYTES
    if len(body) > most:
        original = Original(body[:ORIGINAL_BYTES], copy.size, bytes.fromhex(copy.fingerprint))
        return Refusal(1, 1, report_long(most), None, original)
    text = body.removeprefix(BYTE_ORDER_MARK).strip(WHITE_SPACE).decode(errors="surrogateescape")
    decoder = Decoder()
    return decoder.make_item(1, 1, text, decoder.decode(text))


def _is_malformed(item: Record | Refusal) -> bool:
    return isinstance(item, Refusal) and item.breach.code is BreachCode.MALFORMED


def _read(copy: LocalCopy) -> bytes:
    return copy.read_head(conf.ETL_MAX_RECORD_BYTES + 1)
