"""API tokens, for access without a session. A token itself is never stored, only its keyed hash."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Scope(models.TextChoices):
    """The most that a token may do; its user's permissions limit it further."""

    READ = "read"
    OPERATE = "operate"


class Token(models.Model):
    """A user's key to the API, revoked by deleting it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    prefix = models.TextField(help_text="The token's first characters, by which people tell tokens apart.")
    digest = models.BinaryField(unique=True, help_text="HMAC-SHA256 of the token, keyed by SECRET_KEY.")
    scope = models.TextField(choices=Scope.choices, default=Scope.READ)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")

    class Meta:
        db_table = "api_tokens"
        ordering = ("id",)
        constraints = (models.CheckConstraint(condition=Q(scope__in=Scope.values), name="api_tokens_scope_known"),)

    def __str__(self) -> str:
        return f"{self.prefix}… of {self.user}"
