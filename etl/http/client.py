"""One HTTP GET, done with care: paced, retried, conditional, within its deadline; the body as a local copy.

Waits go through the run's `ReadContext`, so that an interruption or a lost lease ends them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from etl.conf import conf
from etl.deadlines import set_deadline
from etl.http.addresses import find_host
from etl.http.attempt import Attempt
from etl.http.request import Body, Request
from etl.http.retries import AttemptFailed, SourceRetry, describe_long_wait
from etl.local_copy import LocalCopy, open_temporary
from etl.read_context import ReadContext


@contextmanager
def open_body(
    request: Request, validators: Mapping[str, str], context: ReadContext, looks_cut: Callable[[LocalCopy], bool]
) -> Iterator[Body | None]:
    """The body, downloaded whole to a temporary file, or None if it is not modified.

    `looks_cut` tells a body that ends in the middle: HTTP itself can't, where the length was not announced.
    Raises SourceError, TransientSourceError after the last retry, RateLimited for a wait that is too long.
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
                raise AttemptFailed("the answer was cut in the middle")
            return body
        except AttemptFailed as failure:
            asked = retry.parse_retry_after(failure.retry_after or "")
            if asked > context.max_wait_seconds:
                raise describe_long_wait(asked, failure, request) from None
            retry = retry.after(failure, request)
            seconds = max(asked, retry.get_backoff_time())
            context.note_retry(f"Retrying ({retry.number}/{retry.most}) after {seconds:.2f}s due to: {failure}")
            context.wait(seconds)


def _await_turn(request: Request, context: ReadContext) -> None:
    """Wait until the host may be asked; raises RateLimited if that is longer than the context waits."""
    while seconds := context.find_pace(find_host(request.url), request.rate_limit):
        if seconds > context.max_wait_seconds:
            raise describe_long_wait(seconds, AttemptFailed(f"its rate limit is {request.rate_limit}"), request)
        context.wait(seconds)
