"""What the shop's API keeps."""

from django.db import models


class Token(models.Model):
    """A key of the shop's app on a customer's phone."""

    phone = models.CharField(max_length=30)

    def __str__(self) -> str:
        return self.phone
