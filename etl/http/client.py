"""One HTTP GET: paced, conditional and retried, all of it within a deadline; the body becomes a local copy.

It waits through the run's `ReadContext`, so that an interruption or a lost lease ends the wait.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from etl.conf import conf
from etl.http.attempt import Attempt
from etl.http.request import Body, Request
from etl.http.retries import AttemptFailed, SourceRetry, TimeBudget, describe_long_wait
from etl.local_copy import LocalCopy, open_temporary
from etl.read_context import ReadContext
from etl.socket_deadlines import set_deadline


@contextmanager
def open_body(
    request: Request, validators: Mapping[str, str], context: ReadContext, looks_cut: Callable[[LocalCopy], bool]
) -> Iterator[Body | None]:
    """Download the body to a temporary file; yield None if it is not modified.

    `looks_cut` detects a truncated body: HTTP itself can't if no length was announced.
    Raises SourceError, TransientSourceError after the last retry or when the time is used up, and RateLimited if the
    wait would be too long.
    """
    with open_temporary() as file:
        yield _get_with_retries(request, validators, context, file, looks_cut)


def _get_with_retries(
    request: Request,
    validators: Mapping[str, str],
    context: ReadContext,
    file: BinaryIO,
    looks_cut: Callable[[LocalCopy], bool],
) -> Body | None:
    retry, budget = SourceRetry.from_settings(), TimeBudget.of(context)
    while True:
        try:
            _await_turn(request, context, budget)
            seconds = min(conf.ETL_HTTP_DEADLINE_SECONDS, budget.left)
            with set_deadline(seconds) as deadline, Attempt(request, deadline) as attempt:
                body = attempt.download(validators, file)
            if body is not None and looks_cut(body.copy):
                raise AttemptFailed("the body is truncated")
            return body
        except AttemptFailed as failure:
            if failure.wait > min(context.max_wait_seconds, budget.left):
                raise describe_long_wait(failure.wait, failure, request) from None
            retry = retry.after(failure, request)
            seconds = max(failure.wait, retry.get_backoff_time())
            budget.refuse_if_short(seconds, failure, request)
            context.note_retry(f"Retrying ({retry.number}/{retry.most}) after {seconds:.2f}s due to: {failure}")
            context.wait(seconds)


def _await_turn(request: Request, context: ReadContext, budget: TimeBudget) -> None:
    """Wait for a place in the host's rate limit. Raises RateLimited if that takes longer than the read can spend."""
    while seconds := context.find_pace(request.host, request.rate_limit):
        if seconds > min(context.max_wait_seconds, budget.left):
            raise describe_long_wait(seconds, AttemptFailed(f"its rate limit is {request.rate_limit}"), request)
        context.wait(seconds)
