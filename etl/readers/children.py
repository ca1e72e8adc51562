"""The detail of each element of a list, asked for one by one: `each = "/issues/{id}"`. Its answer is the record."""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urljoin

from etl.contracts.field_type import Number
from etl.exceptions import SourceError
from etl.http.pages import find_origin, find_value
from etl.http.request import Meaning, Request
from etl.readers.http_content import Response
from etl.readers.http_source import HttpSource
from etl.records import Breach, Record, Refusal
from etl.vocabulary import BreachCode

GONE: Mapping[int, Meaning] = {404: "empty", 410: "empty"}
_NAME = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Children:
    """How the detail of an element is asked for.

    `template` is a path after `root` with names of the element's values in braces, or one name in braces: then that
    value is the address of the detail.
    """

    template: str
    root: str
    source: HttpSource
    open: Callable[[Request], AbstractContextManager[Response]]

    def read(self, element: Record | Refusal, page: Request, place: str) -> Record | Refusal:
        """Return the detail of this element, or its refusal if it has none. `place` says where the element is.

        Raises SourceError for any error but 404 and 410.
        """
        if isinstance(element, Refusal):
            return element
        url = self._find_url(element.values, page)
        if isinstance(url, Breach):
            return self._refuse(element, f"{url.message}; it is {place}")
        request = self.source.make_request(url)
        request = replace(request, statuses={**GONE, **request.statuses}, is_page=True)
        try:
            with self.open(request) as response:
                if response.body.is_empty:
                    told = f"{request.location} responded with {response.body.status}"
                    return self._refuse(element, f"has no detail: {told}; it is {place}")
                ((item,),) = (chunk.items for chunk in response.content.read(None, 1))
                return replace(item, line=element.line)
        except SourceError as error:
            error.args = (f"{error} It happened at the detail of {place}, {request.location}.",)
            raise

    def _find_url(self, values: Mapping[str, Any], page: Request) -> str | Breach:
        """Return the address of the detail, or why there is none."""
        names = _NAME.findall(self.template)
        texts = {name: _write(find_value(values, name)) for name in names}
        for name, text in texts.items():
            if not text or not text.strip("."):  # a segment of dots leads elsewhere
                return Breach(BreachCode.CHILD_MISSING, f"has no {name} that can name its detail", name)
        if self.template != f"{{{names[0]}}}":
            return self.root + _NAME.sub(lambda match: quote(texts[match[1]], safe=""), self.template)
        url = urljoin(page.url, texts[names[0]])
        if find_origin(url) != find_origin(page.url):
            return Breach(BreachCode.CHILD_MISSING, f"names in {names[0]} a detail of another origin", names[0])
        return url

    def _refuse(self, element: Record, message: str) -> Refusal:
        breach = Breach(BreachCode.CHILD_MISSING, message)
        return Refusal.of(element, breach, self.source.find_external_id(element.values))


def _write(value: Any) -> str:
    """Return a text, or a number as it was sent; empty for any other value."""
    if isinstance(value, Number):
        return value.text
    return value if isinstance(value, str) else ""


def find_misuse(template: object) -> str:
    """Return what to write instead if it can't be used as `each`; empty if it can."""
    if template == "":
        return ""
    is_path = isinstance(template, str) and bool(_NAME.search(template))
    if is_path and (str(template).startswith(("/", "?")) or _NAME.fullmatch(str(template))):
        return ""
    return 'Use a path with the name of a value of the list\'s elements, such as "/issues/{id}", or "{url}" alone.'
