"""Permissions: Django's, through the groups *viewer* and *operator*, limited by a token's scope."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from api.access.groups import OPERATE
from api.access.tokens import Key


class MayUse(BasePermission):
    """Reading requires the view's `permission` (such as `view_run`); everything else also requires `operate`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        permission = getattr(view, "permission", None)
        if permission is None:  # the API's root, which lists the addresses
            return bool(request.user.is_authenticated)
        needed = [permission] if request.method in SAFE_METHODS else [permission, OPERATE]
        return all(may(request, permission) for permission in needed)


def may(request: Request, permission: str) -> bool:
    """Return whether the request has this permission of the app `etl`."""
    if isinstance(request.auth, Key):
        return request.auth.may(permission)
    user: Any = request.user
    return bool(user.is_active and user.has_perm(f"etl.{permission}"))
