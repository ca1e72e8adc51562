"""What is in stock, where the shop's figures are: in the database `analytics`, with Kasparro's tables."""

from django.db import models


class Article(models.Model):
    """An article of the supplier's."""

    number = models.CharField(max_length=20, unique=True)
    title = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    def __str__(self) -> str:
        return self.number
