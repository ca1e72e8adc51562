"""Shared by the commands: what they check first, sources by name, and errors as one sentence with the right status."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, ProgrammingError

from etl.database import advise_migrating
from etl.exceptions import NotFound, NotPossible
from etl.installation import SOURCES_TAG, TAG
from etl.management.exit_status import ExitStatus
from etl.readers.source import Source
from etl.sources.registry import list_sources
from etl.storage.transactions import describe, is_missing_table


class PipelineCommand(BaseCommand):
    """Checks only settings and sources before it runs: Django's check of the addresses would import the whole API."""

    requires_system_checks: tuple[str, ...] = (TAG, SOURCES_TAG)


def choose_sources(names: Sequence[str], *, all_of_them: bool) -> list[Source]:
    """Return the named sources, each once, or all. Raises CommandError with the usage status."""
    if bool(names) == all_of_them:
        raise CommandError("Name one or more sources, or give --all.", returncode=ExitStatus.USAGE)
    known = {source.name: source for source in list_sources()}
    unknown = [name for name in names if name not in known]
    if unknown:
        message = f"Unknown source: {', '.join(unknown)}. Known sources: {', '.join(known)} (ETL_SOURCES)."
        raise CommandError(message, returncode=ExitStatus.USAGE)
    return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())


@contextmanager
def clear_database_errors() -> Iterator[None]:
    """Report in one sentence that a table is missing, another error of the database, or an operation not possible."""
    try:
        yield
    except (NotFound, NotPossible) as error:
        raise CommandError(str(error)) from error
    except ProgrammingError as error:
        advice = f": run {advise_migrating()} first" if is_missing_table(error) else ""
        raise CommandError(f"{describe(error)}{advice}.") from error
    except Error as error:
        raise CommandError(f"The database reports an error: {describe(error)}") from error
