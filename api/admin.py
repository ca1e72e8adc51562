"""API tokens in the admin: created (shown once), listed, revoked."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from api.access import tokens
from api.models import Scope, Token


@admin.register(Token)
class TokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The form sets only the user, the scope and the expiry date; the token itself is generated and shown once."""

    list_display = ("prefix", "user", "scope", "created_at", "expires_at", "last_used_at")
    list_filter = ("scope",)
    search_fields = ("prefix",)
    list_select_related = ("user",)
    fields = ("user", "scope", "expires_at")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search user names too, as the project's user model calls them."""
        return (*self.search_fields, f"user__{get_user_model().USERNAME_FIELD}")

    def has_change_permission(self, request: HttpRequest, obj: Token | None = None) -> bool:
        return False

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form again, with the reason, if no token can be created."""
        try:
            return super().add_view(request, form_url, extra_context)
        except tokens.NoGroup as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Token, form: Any, change: bool) -> None:  # noqa: FBT001
        """Create the token and show it once."""
        secret, made = tokens.make_for(obj.user, scope=Scope(obj.scope), expires_at=obj.expires_at)
        obj.pk, obj.prefix = made.pk, made.prefix
        messages.warning(request, f"The token, shown only once: {secret}")
