"""A shop's models: foreign keys, constraints, columns of the team's, and a table to which another one refers."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, IntegerRangeField, RangeOperators
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Abs, Upper


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


class Thing(models.Model):
    """What the tests of the laws land, in a table with few columns. `note` is the team's."""

    key = models.CharField(max_length=60, unique=True)
    name = models.CharField(max_length=60)
    price = models.DecimalField(max_digits=20, decimal_places=6)
    category = models.ForeignKey(Category, null=True, blank=True, on_delete=models.PROTECT)
    note = models.TextField(blank=True, default="")

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(price__lt=10**9), name="shop_thing_price"),)

    def __str__(self) -> str:
        return self.key


def make_label() -> str:
    return "made"


def make_words() -> list[str | None]:
    return ["é", "a\nb", 'a"b', "a\\b", "a,b", "{}", " ", "", "NULL", None]


def make_table() -> list[list[Decimal]]:
    return [[Decimal("1.5"), Decimal(-2)], [Decimal(0), Decimal("30.1")]]


def make_flags() -> list[bool]:
    return [True, False]


def make_days() -> list[date | None]:
    return [date(2024, 2, 29), None]


def make_moments() -> list[datetime]:
    return [datetime(2024, 5, 1, 8, tzinfo=UTC)]


def make_spans() -> list[timedelta]:
    return [timedelta(days=-1, hours=3)]


def make_addresses() -> list[list[str | None]]:
    return [["10.0.0.1", "::1"], ["10.0.0.2", None]]


def make_blobs() -> list[bytes]:
    return [b"\x00a\\", b""]


def make_payloads() -> list[dict[str, str]]:
    return [{"a": 'é "\\\n'}, {}]


def make_range() -> tuple[int | None, int | None]:
    return (1, None)


def make_stay() -> tuple[datetime, datetime]:
    return (datetime(2024, 5, 1, 8, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC))


class Sample(models.Model):
    """A column of each kind that a source can own, and of each kind that only the team can fill."""

    number = models.CharField(max_length=20, primary_key=True, db_column="No")
    text = models.CharField(max_length=5, default="", blank=True)
    optional_text = models.CharField(max_length=5, null=True, blank=True)
    long_text = models.TextField(null=True)
    slug = models.SlugField(null=True)
    email = models.EmailField(null=True)
    url = models.URLField(null=True)
    small = models.SmallIntegerField(null=True)
    whole = models.IntegerField(null=True, db_column="Whole Number")
    big = models.BigIntegerField(null=True)
    small_positive = models.PositiveSmallIntegerField(null=True)
    positive = models.PositiveIntegerField(null=True)
    big_positive = models.PositiveBigIntegerField(null=True)
    amount = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    ratio = models.FloatField(null=True)
    flag = models.BooleanField(null=True)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    identity = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    payload = models.JSONField(null=True)
    letter = models.CharField(max_length=1, choices=[("Latin", [("a", "A"), ("b", "B")]), ("c", "C")], null=True)
    rank = models.SmallIntegerField(choices=[(1, "first"), (2, "second")], null=True)
    # --- the team's ---
    their_code = models.CharField(max_length=10, default=make_label)
    their_bytes = models.BinaryField(default=b"\x00a\\")
    their_span = models.DurationField(default=timedelta(days=-1, hours=3))
    their_time = models.TimeField(default=time(9, 30))
    their_day = models.DateField(auto_now_add=True)
    their_file = models.FileField(default="a/b.txt")
    their_path = models.FilePathField(default="/tmp")
    their_list = ArrayField(models.CharField(max_length=10), default=make_words)
    their_table = ArrayField(ArrayField(models.DecimalField(max_digits=4, decimal_places=1)), default=make_table)
    their_flags = ArrayField(models.BooleanField(), default=make_flags)
    their_numbers = ArrayField(models.IntegerField(), null=True)
    their_days = ArrayField(models.DateField(), default=make_days)
    their_moments = ArrayField(models.DateTimeField(), default=make_moments)
    their_spans = ArrayField(models.DurationField(), default=make_spans)
    their_addresses = ArrayField(ArrayField(models.GenericIPAddressField()), default=make_addresses)
    their_blobs = ArrayField(models.BinaryField(), default=make_blobs)
    their_payloads = ArrayField(models.JSONField(), default=make_payloads)
    their_range = IntegerRangeField(default=make_range)
    their_stay = DateTimeRangeField(default=make_stay)
    their_address = models.GenericIPAddressField(default="10.0.0.1")
    their_flag = models.BooleanField(default=True)
    their_amount = models.DecimalField(max_digits=6, decimal_places=2, default=Decimal("1.50"))
    their_payload = models.JSONField(default=dict)
    their_uuid = models.UUIDField(default=uuid.UUID(int=7))
    their_moment = models.DateTimeField(null=True)
    of_database = models.IntegerField(db_default=7)
    generated = models.GeneratedField(
        expression=Upper("text"), output_field=models.CharField(max_length=5), db_persist=True
    )

    class Meta:
        constraints = (
            models.CheckConstraint(condition=~Q(generated="NO"), name="shop_sample_generated"),
            models.CheckConstraint(condition=~Q(of_database=8), name="shop_sample_of_database"),
        )

    def __str__(self) -> str:
        return self.number


class Guarded(models.Model):
    """A table with a constraint of each kind. `serial` is its key."""

    serial = models.CharField(max_length=20, unique=True)
    code = models.IntegerField(null=True, unique=True)
    row = models.IntegerField(null=True)
    column = models.IntegerField(null=True)
    main = models.IntegerField(null=True)
    is_main = models.BooleanField(default=False)
    place = models.IntegerField(null=True)
    low = models.IntegerField(null=True)
    high = models.IntegerField(null=True)
    amount = models.IntegerField(default=0)
    supplier = models.ForeignKey(Supplier, to_field="code", null=True, on_delete=models.PROTECT)
    owner = models.ForeignKey(Supplier, default=None, null=True, related_name="+", on_delete=models.PROTECT)

    class Meta:
        unique_together = (("row", "column"),)
        constraints = (
            models.UniqueConstraint(fields=["main"], condition=Q(is_main=True), name="shop_guarded_main"),
            models.UniqueConstraint(fields=["place"], deferrable=models.Deferrable.DEFERRED, name="shop_guarded_place"),
            models.UniqueConstraint(Abs("amount") + F("code"), name="shop_guarded_expression"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="shop_guarded_amount"),
            ExclusionConstraint(
                name="shop_guarded_span",
                expressions=[(Func("low", "high", function="int4range"), RangeOperators.OVERLAPS)],
                condition=Q(low__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return self.serial
