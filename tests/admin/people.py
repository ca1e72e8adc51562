"""Clients for each kind of user of the admin, logged in, with a valid host name."""

from django.contrib.auth.models import Group, User
from django.test import Client

KINDS = ("anonymous", "outsider", "newcomer", "viewer", "operator", "superuser")
"""`outsider` is an operator but not staff; `newcomer` is staff without any permission."""


def make_client(kind: str) -> Client:
    client = Client(SERVER_NAME="localhost")
    if kind != "anonymous":
        user, is_new = User.objects.get_or_create(username=kind)
        if is_new:
            user.is_staff = kind != "outsider"
            user.is_superuser = kind == "superuser"
            user.save()
            group = {"viewer": "viewer", "operator": "operator", "outsider": "operator"}.get(kind)
            if group:
                user.groups.add(Group.objects.get(name=group))
        client.force_login(user)
    return client
