"""The shop's models, for us and for the peer: products with two foreign keys, four constraints and seven indexes."""

from django.db import models
from django.db.models import F, Q


class Supplier(models.Model):
    code = models.CharField(max_length=20, unique=True)

    class Meta:
        app_label = "bench_shop"

    def __str__(self) -> str:
        return self.code


class Category(models.Model):
    slug = models.SlugField(unique=True)

    class Meta:
        app_label = "bench_shop"

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
    name = models.CharField(max_length=120)
    ean = models.CharField(max_length=13, null=True, blank=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    list_price = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    stock = models.IntegerField(default=0)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    listed_on = models.DateField()
    description = models.TextField(blank=True, default="")
    margin = models.DecimalField(max_digits=5, decimal_places=2, null=True, blank=True)
    note = models.TextField(blank=True, default="")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "bench_shop"
        constraints = (
            models.UniqueConstraint(fields=("supplier", "sku"), name="bench_shop_product_key"),
            models.CheckConstraint(condition=Q(price__gt=0) | Q(status="ended"), name="bench_shop_product_price"),
            models.CheckConstraint(condition=Q(stock__gte=0), name="bench_shop_product_stock"),
            models.CheckConstraint(
                condition=Q(list_price__isnull=True) | Q(list_price__gte=F("price")), name="bench_shop_product_list"
            ),
        )
        indexes = (
            models.Index(fields=("name",), name="bench_shop_product_name"),
            models.Index(fields=("ean",), name="bench_shop_product_ean"),
            models.Index(fields=("status", "price"), name="bench_shop_product_status"),
        )

    def __str__(self) -> str:
        return self.sku
