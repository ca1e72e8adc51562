"""The issues of a GitHub repository: pages by Link header."""

from etl.sources import (Bearer, Contract, JsonApiSource, LinkHeader, NonBlank, PositiveInt, Since, Text,  # noqa: I001
    ZonedTime, setting, timedelta)  # fmt: skip


class Author(Contract):
    login: NonBlank


class Issue(Contract):
    number: PositiveInt
    title: NonBlank
    state: Text
    user: Author | None
    updated_at: ZonedTime


class GitHubIssues(JsonApiSource):
    name, every, contract = "github_issues", "*/15 * * * *", Issue
    base_url, endpoint = "https://api.github.com", "/repos/django/django/issues"
    params = {"state": "all", "per_page": "100"}
    auth, rate_limit, pages = Bearer(setting("GITHUB_TOKEN")), "5000/hour", LinkHeader()
    since = Since("since", of="updated_at", overlap=timedelta(minutes=5))
    unified = {"external_id": "number", "name": "title", "category": "state", "event_timestamp": "updated_at"}
