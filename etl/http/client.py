"""One HTTP GET: paced, conditional and retried, each attempt within a deadline; the body becomes a local copy.

It waits through the run's `ReadContext`, so that an interruption or a lost lease ends the wait.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from etl.conf import conf
from etl.http.addresses import find_host
from etl.http.attempt import Attempt
from etl.http.request import Body, Request
from etl.http.retries import AttemptFailed, SourceRetry, describe_long_wait
from etl.local_copy import LocalCopy, open_temporary
from etl.read_context import ReadContext
from etl.socket_deadlines import set_deadline


@contextmanager
def open_body(
    request: Request, validators: Mapping[str, str], context: ReadContext, looks_cut: Callable[[LocalCopy], bool]
) -> Iterator[Body | None]:
    """Download the body to a temporary file; yield None if it is not modified.

    `looks_cut` detects a truncated body: HTTP itself can't if no length was announced.
    Raises SourceError, TransientSourceError after the last retry, and RateLimited if the wait would be too long.
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
    retry = SourceRetry.from_settings()
    while True:
        try:
            _await_turn(request, context)
            with set_deadline(conf.ETL_HTTP_DEADLINE_SECONDS) as deadline, Attempt(deadline) as session:
                body = session.download(request, validators, file)
            if body is not None and looks_cut(body.copy):
                raise AttemptFailed("the body is truncated")
            return body
        except AttemptFailed as failure:
            requested = retry.parse_retry_after(failure.retry_after or "")
            if requested > context.max_wait_seconds:
                raise describe_long_wait(requested, failure, request) from None
            retry = retry.after(failure, request)
            seconds = max(requested, retry.get_backoff_time())
            context.note_retry(f"Retrying ({retry.number}/{retry.most}) after {seconds:.2f}s due to: {failure}")
            context.wait(seconds)


def _await_turn(request: Request, context: ReadContext) -> None:
    """Wait for a place in the host's rate limit. Raises RateLimited if that takes longer than `max_wait_seconds`."""
    while seconds := context.find_pace(find_host(request.url), request.rate_limit):
        if seconds > context.max_wait_seconds:
            raise describe_long_wait(seconds, AttemptFailed(f"its rate limit is {request.rate_limit}"), request)
        context.wait(seconds)
