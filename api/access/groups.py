"""The groups *viewer* and *operator*, with their Django permissions of the app `etl`."""

from typing import Any

GROUPS = {"read": "viewer", "operate": "operator"}
"""The group that a token's user joins, by the token's scope."""

OPERATE = "operate"
"""The permission `etl.operate`, which a token of scope `read` never has."""


def make_groups(apps: Any) -> None:
    """Create both groups with their permissions; `apps` is the app registry of a migration, or the real one.

    A viewer may view all rows of the pipeline; an operator may also `etl.operate`.
    """
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    of_pipeline = Permission.objects.filter(content_type__app_label="etl")
    viewing = list(of_pipeline.filter(codename__startswith="view_"))
    operating = list(of_pipeline.filter(codename=OPERATE))
    for name, permissions in (("viewer", viewing), ("operator", viewing + operating)):
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(*permissions)
