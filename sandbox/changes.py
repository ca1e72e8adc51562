"""A stand-in for APIs that can be asked for what has changed between two times, over real HTTP.

By GET: /array in one piece, with an ETag, and /link in pages. By POST: /graphql, whose bounds are in its variables.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from sandbox.pages import Answer, Item, PagedApi

PAGE = 2


class ChangingApi(PagedApi):
    """The server; each of its `records` has been changed last at `updated_at`, in ISO 8601 with `Z`.

    It sends those that were changed at `since` or later, and at `until` or earlier, in the order of the list.
    """

    def __init__(self, records: Sequence[Item] = ()) -> None:
        super().__init__([])
        self.records = list(records)

    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        asked = {**query, **(body["variables"] if body else {})}
        chosen = [record for record in self.records if _is_within(record, asked)]
        if path == "/array":
            return chosen, {"ETag": f'"{hashlib.sha256(json.dumps(chosen).encode()).hexdigest()}"'}
        index = int(asked.get("cursor") or 0)
        page, end = chosen[index : index + PAGE], index + PAGE
        has_more = end < len(chosen)
        if path == "/graphql":
            return {"data": {"items": page, "page": {"more": has_more, "end": str(end)}}}, {}
        following = f"{self.url}{path}?{urlencode({**query, 'cursor': end})}"
        return page, {"Link": f'<{following}>; rel="next"'} if has_more else {}


def _is_within(record: Item, asked: Mapping[str, Any]) -> bool:
    time: str = record["updated_at"]
    return (asked.get("since") or "") <= time and (not asked.get("until") or time <= asked["until"])
