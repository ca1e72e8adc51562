"""A shop's models: foreign keys, constraints, columns of the team's, and a table to which another one refers."""

import uuid

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q


class Supplier(models.Model):
    code = models.CharField(max_length=20, unique=True)
    country = models.CharField(max_length=2, default="DE")

    def __str__(self) -> str:
        return self.code


class Category(models.Model):
    slug = models.SlugField(unique=True)

    def __str__(self) -> str:
        return self.slug


class Status(models.TextChoices):
    ACTIVE = "active"
    ENDED = "ended"


class Product(models.Model):
    """What suppliers sell. `margin` and `note` are the team's."""

    supplier = models.ForeignKey(Supplier, on_delete=models.PROTECT)
    category = models.ForeignKey(Category, null=True, blank=True, on_delete=models.SET_NULL)
    sku = models.CharField(max_length=20)
    name = models.CharField(max_length=60)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    barcode = models.CharField(max_length=13, null=True, unique=True, validators=[RegexValidator(r"^[0-9]{13}$")])
    attributes = models.JSONField(default=dict)
    margin = models.DecimalField(max_digits=5, decimal_places=2, null=True)
    note = models.TextField(blank=True, default="")
    reference = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("supplier", "sku"), name="shop_product_key"),
            models.CheckConstraint(condition=Q(price__gt=0) | Q(stock=0), name="shop_product_price"),
            models.CheckConstraint(
                condition=Q(margin__isnull=True) | Q(margin__lt=F("price")), name="shop_product_margin"
            ),
        )

    def __str__(self) -> str:
        return self.sku


class OrderLine(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="lines")

    def __str__(self) -> str:
        return f"a line with product {self.product_id}"
