"""The parsed values of one record of a slice, for a source's own code: each is parsed when it is asked for. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from etl.contracts.contract import Contract
from etl.contracts.forms import Form
from etl.records import Slice


@dataclass(frozen=True, slots=True, eq=False)
class _ParsedValues(Mapping[str, Any]):
    """Gives what `Contract.judge` gives for the record, but parses only the few fields at which `skips` looks."""

    contract: type[Contract]
    form: Form
    sent: Mapping[str, Any]
    paths: Mapping[str, Any]

    def __getitem__(self, path: str) -> Any:
        if path not in self.paths:
            raise KeyError(path)
        return self.contract.parse_field(path, self.sent, self.form)

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def list_values(contract: type[Contract], part: Slice, form: Form) -> Iterator[Mapping[str, Any]]:
    """Yield the parsed values of each record by field path. Only those of a record without breach may be used."""
    columns, paths = part.list_columns(), contract.list_fields()
    for row in range(len(part)):
        if columns is None:
            sent = part.make_record(row).values
        else:
            sent = {name: column[row] for name, column in columns.items()}
        yield _ParsedValues(contract, form, sent, paths)
