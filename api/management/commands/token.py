"""`manage.py token create|list|revoke`: keys to the API."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from api.access import tokens
from api.models import Scope, Token
from etl.management.command_line import clear_database_errors
from etl.management.exit_status import ExitStatus
from etl.management.tables import print_table

COLUMNS = ("id", "token", "user", "scope", "created", "expires", "last used")


class Command(BaseCommand):
    help = "Create, list and revoke API tokens."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="print a new token once; the user is created if missing")
        create.add_argument("user")
        create.add_argument("--scope", choices=Scope.values, default=Scope.READ, help="what it may do (default read)")
        create.add_argument("--expires", type=int, metavar="DAYS", help="days until it expires (default never)")
        actions.add_parser("list", help="list all tokens by their first characters")
        actions.add_parser("revoke", help="revoke a token").add_argument(
            "token", help="its id, its first characters as listed, or the entire token"
        )

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        with clear_database_errors():
            getattr(self, f"_{action}")(**options)

    def _create(self, *, user: str, scope: str, expires: int | None, **options: Any) -> None:
        try:
            secret, token = tokens.make(user, scope=Scope(scope), days=expires)
        except tokens.NoGroup as error:
            raise CommandError(str(error)) from error
        except ValueError as error:
            raise CommandError(str(error), returncode=ExitStatus.USAGE) from error
        self.stderr.write(f"Token {token.pk} of {user} may {scope}. It is shown only once:")
        self.stdout.write(secret)

    def _list(self, **options: Any) -> None:
        rows = [
            (
                *(token.pk, f"{token.prefix}…", token.user.get_username(), token.scope),
                *(f"{time:%Y-%m-%d %H:%M}" if time else "-" for time in _list_times(token)),
            )
            for token in Token.objects.select_related("user")
        ]
        print_table(COLUMNS, rows, numbers=("id",))

    def _revoke(self, *, token: str, **options: Any) -> None:
        revoked = tokens.revoke(token)
        if not revoked:
            raise CommandError("No token has this id or these first characters. See `token list`.")
        if revoked > 1:
            raise CommandError("Several tokens have these first characters. Give the id.")
        self.stderr.write("Revoked.")


def _list_times(token: Token) -> tuple[Any, ...]:
    return token.created_at, token.expires_at, token.last_used_at
