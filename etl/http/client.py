"""One HTTP request: paced, conditional and retried, all of it within a deadline; the body becomes a local copy.

It waits through the run's `ReadContext`, so that an interruption or a lost lease ends the wait.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from etl.conf import conf
from etl.exceptions import AddressRefused, SourceError
from etl.http.attempt import Attempt
from etl.http.credentials import Credentials
from etl.http.request import Body, Request
from etl.http.retries import (
    AttemptFailed,
    NotReady,
    SourceRetry,
    TimeBudget,
    Unauthorized,
    describe_long_wait,
    find_poll_time,
)
from etl.local_copy import LocalCopy, open_temporary
from etl.read_context import ReadContext
from etl.socket_deadlines import Deadline

MOST_OF_A_TOKEN = 1 << 20
"""The bytes that are read of the response to a request for a token."""


@contextmanager
def open_body(
    request: Request,
    validators: Mapping[str, str],
    context: ReadContext,
    looks_cut: Callable[[LocalCopy], bool],
    credentials: Credentials | None = None,
) -> Iterator[Body | None]:
    """Download the body to a temporary file; yield None if it is not modified.

    `looks_cut` detects a truncated body: HTTP itself can't if no length was announced.
    Raises SourceError, TransientSourceError after the last retry or when the time is used up, and RateLimited if the
    wait would be too long.
    """
    with open_temporary() as file:
        yield _Exchange(request, validators, context, file, looks_cut, credentials).repeat()


@dataclass(slots=True)
class _Exchange:
    """A request with its attempts, until one gives a body."""

    request: Request
    validators: Mapping[str, str]
    context: ReadContext
    file: BinaryIO
    looks_cut: Callable[[LocalCopy], bool]
    credentials: Credentials | None
    signed: Request = field(init=False, repr=False)
    is_renewed: bool = False
    polls: int = 0

    def repeat(self) -> Body | None:
        retry, budget = SourceRetry.of(self.request), TimeBudget.of(self.context, self.request.deadline)
        while True:
            try:
                return self._try(budget)
            except Unauthorized:
                if self.is_renewed or self.credentials is None or not self.credentials.renew(self.signed):
                    raise
                self.is_renewed = True
            except NotReady as answer:
                self._wait_until_ready(budget, answer)
                self.is_renewed = False
            except AttemptFailed as failure:
                retry = self._wait(retry, budget, failure)
                self.is_renewed = False  # the renewed token may expire in the wait

    def _try(self, budget: TimeBudget) -> Body | None:
        _await_turn(self.request, self.context, budget)
        request = self.signed = self._sign(budget)
        seconds = min(conf.ETL_HTTP_DEADLINE_SECONDS, budget.left)
        with Deadline(seconds) as deadline, Attempt(request, deadline) as attempt:
            body = attempt.download(self.validators, self.file)
        if body is not None and not body.is_empty and self.looks_cut(body.copy):
            raise AttemptFailed("the body is truncated")
        return body

    def _sign(self, budget: TimeBudget) -> Request:
        if self.credentials is None:
            return self.request

        def ask(request: Request) -> bytes:
            limited = replace(request, retries=self.request.retries, deadline=budget.left)
            return _ask_for_token(limited, self.context)

        return self.credentials.sign(self.request, ask)

    def _wait(self, retry: SourceRetry, budget: TimeBudget, failure: AttemptFailed) -> SourceRetry:
        """Wait before the next attempt. Raises RateLimited or TransientSourceError if there is none."""
        self._refuse_long_wait(budget, failure)
        retry = retry.after(failure, self.request)
        seconds = max(failure.wait, retry.get_backoff_time())
        budget.refuse_if_short(seconds, failure, self.request)
        self.context.note_retry(f"Retrying ({retry.number}/{retry.most}) after {seconds:.2f}s due to: {failure}")
        self.context.wait(seconds)
        return retry

    def _wait_until_ready(self, budget: TimeBudget, answer: NotReady) -> None:
        """Wait before the next request for a response that comes later. Only the time limits their number."""
        self._refuse_long_wait(budget, answer)
        self.polls += 1
        seconds = find_poll_time(answer, self.polls)
        budget.refuse_if_short(seconds, answer, self.request)
        if self.polls == 1:
            self.context.note_retry(f"Asking again until the response is ready: {answer}")
        self.context.wait(seconds)

    def _refuse_long_wait(self, budget: TimeBudget, failure: AttemptFailed) -> None:
        if failure.wait > min(self.context.max_wait_seconds, budget.left):
            raise describe_long_wait(failure.wait, failure, self.request) from None


def _ask_for_token(request: Request, context: ReadContext) -> bytes:
    try:
        with open_body(request, {}, context, _is_never_cut) as body:
            assert body is not None  # nothing was asked on a condition
            return body.copy.read_head(MOST_OF_A_TOKEN)
    except (Unauthorized, AddressRefused) as error:  # neither a token that can be renewed nor a page's address
        raise SourceError(str(error), error.reason) from None


def _is_never_cut(copy: LocalCopy) -> bool:
    return False


def _await_turn(request: Request, context: ReadContext, budget: TimeBudget) -> None:
    """Wait for a place in the host's rate limit. Raises RateLimited if that takes longer than the read can spend."""
    while seconds := context.find_pace(request.host, request.rate_limit):
        if seconds > min(context.max_wait_seconds, budget.left_for_turn):
            raise describe_long_wait(seconds, AttemptFailed(f"its rate limit is {request.rate_limit}"), request)
        context.wait(seconds)
        budget.pause(seconds)
