"""How the tables of the field types are written: a declared field, a value, and the result."""

from typing import Any

from etl.contracts.forms import FILE_FORM, JSON_FORM, Form
from etl.records import Breach
from etl.sources import Contract
from etl.vocabulary import BreachCode


def declare(hint: Any, options: Any = None) -> type[Contract]:
    """Make a contract with the one field `it`."""
    body = {"__annotations__": {"it": hint}} | ({} if options is None else {"it": options})
    return type("Declared", (Contract,), body)


def judge(contract: type[Contract], value: Any, form: Form = FILE_FORM) -> Any:
    """Return the parsed value, or the code of its breach. Judging it by columns gives the same."""
    judged = contract.judge({"it": value}, form)
    texts, breaches = contract.judge_columns(lambda _: [value], 1, form, names=["it"])
    if isinstance(judged, Breach):
        assert breaches == {0: judged}
        assert judged.message.startswith("it")
        return judged.code
    kind: Any = contract.fields["it"].kind
    assert breaches == {}
    assert texts["it"] == [None if judged["it"] is None else kind.write(judged["it"])]
    return judged["it"]


def find_code(contract: type[Contract], value: Any, form: Form = JSON_FORM) -> BreachCode:
    """Return the code of the breach."""
    code = judge(contract, value, form)
    assert isinstance(code, BreachCode)
    return code
