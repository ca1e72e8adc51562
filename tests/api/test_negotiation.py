"""Which renderer a request gets: the short way for clients that accept anything equals DRF's own way."""

import pytest
from django.test import RequestFactory
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from api.renderers import Browsable, Json
from api.views.base import Negotiation
from api.views.data import NdJson


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "text/html, */*;q=0.1", "application/*", "*/*;q=0"]
)
@pytest.mark.parametrize("renderers", [[Json(), Browsable()], [Json(), NdJson()], [NdJson()]])
def test_the_renderer_is_the_one_that_drf_would_choose(accept: str | None, renderers: list[BaseRenderer]) -> None:
    headers = {"Accept": accept} if accept is not None else {}
    try:
        expected = DefaultContentNegotiation().select_renderer(ask(headers), renderers)
    except Exception as error:  # noqa: BLE001  (both ways must refuse alike)
        with pytest.raises(type(error)):
            Negotiation().select_renderer(ask(headers), renderers)
    else:
        assert Negotiation().select_renderer(ask(headers), renderers) == expected


def ask(headers: dict[str, str]) -> Request:
    return Request(RequestFactory().get("/", headers=headers))
