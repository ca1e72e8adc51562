"""What one may do: Django's permissions, through the groups *viewer* and *operator*; a token's scope bounds them."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from api.access.groups import OPERATE
from api.access.tokens import Key


class MayUse(BasePermission):
    """Reading needs the view's `permission` (such as `view_run`), everything else `operate` too."""

    def has_permission(self, request: Request, view: Any) -> bool:
        permission = getattr(view, "permission", None)
        if permission is None:  # the list of addresses
            return bool(request.user.is_authenticated)
        needed = [permission] if request.method in SAFE_METHODS else [permission, OPERATE]
        return all(may(request, permission) for permission in needed)


def may(request: Request, permission: str) -> bool:
    """Whether whoever asks has this permission of the app `etl`."""
    if isinstance(request.auth, Key):
        return request.auth.may(permission)
    user: Any = request.user
    return bool(user.is_active and user.has_perm(f"etl.{permission}"))
