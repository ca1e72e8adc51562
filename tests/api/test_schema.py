"""The generated schema is correct: requests that it describes get the responses that it describes, and never a 5xx."""

from contextlib import suppress
from typing import Any

import schemathesis
import yaml
from django.core.management import call_command
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import booleans
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.landed import land
from tests.api.people import People
from tests.api.test_access import list_api_endpoints
from tests.api.web import Web

EXAMPLES = 5
CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_schema_conformance, response_headers_conformance),
]


def test_the_schema_is_valid_and_complete(capsys: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn")
    schema = yaml.safe_load(capsys.readouterr().out)
    described = {
        (method.upper(), path.replace("{id}", "{pk}")) for path, item in schema["paths"].items() for method in item
    }
    endpoints = {
        (method, path) for method, path in list_api_endpoints() if path.startswith("/api/v1/") and path != "/api/v1/"
    }
    assert described == endpoints


def test_responses_conform_to_the_schema(web: Web, people: People) -> None:
    landed = land()
    document = web.ask("/api/schema", token=people.viewer, headers={"Accept": "application/json"})
    assert document.status == 200, document.text
    schema = schemathesis.openapi.from_dict(document.json())
    results: list[Any] = list(schema.get_all_operations())
    operations = [result.ok() for result in results]
    assert len(operations) > 20
    for operation in operations:
        ask_examples(web, operation, GenerationMode.POSITIVE, token=people.operator, row=landed.refused)
    wrong = 0
    for operation in operations:
        with suppress(Unsatisfiable):  # operations without any input that could be wrong
            ask_examples(web, operation, GenerationMode.NEGATIVE, token=people.operator, row=landed.refused)
            wrong += 1
    assert wrong > 15


def ask_examples(web: Web, operation: Any, mode: GenerationMode, *, token: str, row: int) -> None:
    """Send valid or invalid examples of one operation, some about an existing row; all responses must conform."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_of_row=booleans())
    def ask(case: Any, is_of_row: bool) -> None:
        if is_of_row and "id" in case.path_parameters:
            case.path_parameters["id"] = row
        answer = case.call(base_url=f"http://127.0.0.1:{web.port}", headers={"X-API-Key": token}, timeout=30)
        if answer.status_code != 414:  # gunicorn itself refuses an address that is too long, without a problem
            case.validate_response(answer, checks=CHECKS)

    ask()
