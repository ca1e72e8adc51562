"""`SourceOwned`: in a team's own admin, the fields that a source owns are read-only, and say where they come from.

from etl.admin.owned import SourceOwned

@admin.register(Product)
class ProductAdmin(SourceOwned, admin.ModelAdmin):
    list_display = ("sku", "price", "source_of_row")
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from etl.admin.rendering import describe_seconds
from etl.clock import as_utc, read_clock
from etl.models import Run, UnifiedRecord
from etl.sources.registry import list_sources
from etl.storage.target_owners import Origin, find_origins
from etl.vocabulary import Status, Trigger

_KEPT = "etl_owned_rows"
"""The attribute of a request that keeps what was found for it: Django asks for the same row several times."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A record that has values in a row, the fields that its source owns, and the record's age."""

    origin: Origin
    fields: frozenset[str]
    age: timedelta


class SourceOwned(admin.ModelAdmin):  # type: ignore[type-arg]
    """Makes the fields that a source owns read-only in the rows that have a record, on the page and in the list.

    All other rows, and all other fields, stay as they are: rows of no record, rows whose record its source no longer
    sends, and rows of a source that is not in ETL_SOURCES.
    """

    class Media:
        css: ClassVar = {"all": ("etl/owned.css",)}

    # --- the page of a row ---
    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        own = [*super().get_readonly_fields(request, obj)]
        if obj is None:
            return own
        owned = self._list_owned(request, obj)
        return [*own, *(name for name in self._list_editable() if name in owned and name not in own)]

    def _list_editable(self) -> list[str]:
        """Return the model's fields that the form of the page has, unless they are read-only."""
        declared = getattr(self.form, "Meta", None)
        hidden = {*(self.exclude or getattr(declared, "exclude", None) or ())}
        shown = getattr(declared, "fields", None)
        chosen = None if shown is None or isinstance(shown, str) else {*shown}
        names = [field.name for field in self.opts.concrete_fields if field.editable]
        return [name for name in names if name not in hidden and (chosen is None or name in chosen)]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Return the fields in the order of the page for a new row."""
        fields = [*super().get_fields(request, obj)]
        if obj is None or self.fields:
            return fields
        order = {name: place for place, name in enumerate(super().get_fields(request)) if isinstance(name, str)}
        return sorted(fields, key=lambda name: order.get(name, len(order)) if isinstance(name, str) else len(order))

    def get_prepopulated_fields(self, request: HttpRequest, obj: Model | None = None) -> dict[str, Sequence[str]]:
        fields = super().get_prepopulated_fields(request, obj)
        owned = self._list_owned(request, obj) if obj is not None else ()
        return {name: origins for name, origins in fields.items() if not owned or not {name, *origins} & {*owned}}

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        """Say under each owned field where its value comes from."""
        owned = self._list_owned(request, obj) if obj is not None else {}
        if obj is not None and owned:
            form = kwargs.get("form", self.form)
            texts = {**(getattr(getattr(form, "Meta", None), "help_texts", None) or {}), **kwargs.get("help_texts", {})}
            shown = {id(owner): self._describe(request, owner) for owner in owned.values()}
            for name, owner in owned.items():
                usual = texts.get(name, getattr(self.opts.get_field(name), "help_text", ""))
                texts[name] = format_html("{}{}{}", usual, " " if usual else "", shown[id(owner)])
            kwargs["help_texts"] = texts
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Write no owned column: a run may have changed it since the page was read."""
        if change:
            for name in self._list_owned(request, obj):
                obj.__dict__.pop(
                    getattr(self.opts.get_field(name), "attname", name), None
                )  # a deferred field is not saved
        super().save_model(request, obj, form, change)

    # --- the list ---
    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Find the owners of all rows of a list at once."""
        base = super().get_changelist(request, **kwargs)
        find = partial(self._find_owners, request)

        class OwnedList(base):  # type: ignore[misc, valid-type]
            def get_results(self, request: HttpRequest) -> None:
                super().get_results(request)
                find(self.result_list)

        return OwnedList

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        """Let nobody edit an owned field in the list: what is sent for it is ignored."""
        base = super().get_changelist_formset(request, **kwargs)
        find = partial(self._find_owners, request)

        class OwnedFormSet(base):  # type: ignore[misc, valid-type]
            def add_fields(self, form: Any, index: int | None) -> None:
                super().add_fields(form, index)
                if index is None or form.instance.pk is None:
                    return
                owners = find(self.get_queryset())
                for owner in owners.get(str(form.instance.pk), ()):
                    for name in owner.fields & form.fields.keys():
                        form.fields[name].disabled = True
                        form.fields[name].widget.attrs["title"] = _describe_age(owner)

        return OwnedFormSet

    @admin.display(description="source")
    def source_of_row(self, obj: Model) -> SafeString | str:
        """For `list_display`: the sources that own fields of the row, with the age of their records."""
        owners = getattr(obj, _KEPT, None)
        owners = self._look_up([obj]).get(str(obj.pk), ()) if owners is None else owners
        return format_html_join(", ", "{}", ((_describe_age(owner),) for owner in owners)) or "–"

    # --- who owns what ---
    def _list_owned(self, request: HttpRequest, row: Model) -> dict[str, Owner]:
        """Return the owned fields of a row, each with its owner."""
        owners = self._find_owners(request, [row]).get(str(row.pk), ())
        return {name: owner for owner in owners for name in owner.fields}

    def _find_owners(self, request: HttpRequest, rows: Iterable[Model]) -> Mapping[str, Sequence[Owner]]:
        """Return the owners by the keys of the rows. Each row is looked up once for a request."""
        kept: dict[str, Sequence[Owner]] = request.__dict__.setdefault(_KEPT, {}).setdefault(self.opts.label, {})
        rows = [*rows]
        if missing := [row for row in rows if str(row.pk) not in kept]:
            found = self._look_up(missing)
            kept |= {str(row.pk): found.get(str(row.pk), ()) for row in missing}
        for row in rows:
            setattr(row, _KEPT, kept[str(row.pk)])
        return kept

    def _look_up(self, rows: Sequence[Model]) -> Mapping[str, Sequence[Owner]]:
        model = self.opts.concrete_model or self.model
        intos = [(source.name, source.into) for source in list_sources() if source.into is not None]
        owned = {name: frozenset(into.owns) for name, into in intos if into.model is model}
        if not owned or not rows:
            return {}
        now, origins = read_clock(), find_origins(model._meta.label, [str(row.pk) for row in rows])
        return {
            key: [
                Owner(each, owned[each.source], now - as_utc(each.changed_at)) for each in found if each.source in owned
            ]
            for key, found in origins.items()
        }

    def _describe(self, request: HttpRequest, owner: Owner) -> SafeString:
        """Say where a row's values come from, with a link to the record's history for a user who may see it."""
        origin = owner.origin
        text = format_html("{}, changed {} ago", origin.source, describe_seconds(owner.age.total_seconds()))
        if (read := _find_last_read(origin.source)) is not None:
            text = format_html("{}, read {} ago", text, describe_seconds(read.total_seconds()))
        address = self._find_history(request, origin)
        link = format_html(' <a href="{}">History of the record</a>', address) if address else ""
        return format_html('<span class="etl-owned">From {}.{}</span>', text, link)

    def _find_history(self, request: HttpRequest, origin: Origin) -> str:
        """Return the address of the record's page, here or on the default site; empty for a user who may not see it."""
        for site in (self.admin_site, admin.site):
            if not site.is_registered(UnifiedRecord):
                continue
            if not site.get_model_admin(UnifiedRecord).has_view_permission(request):
                return ""
            with suppress(NoReverseMatch):
                return reverse("admin:etl_unifiedrecord_change", args=[quote(origin.id)], current_app=site.name)
        return ""


def _describe_age(owner: Owner) -> str:
    return f"{owner.origin.source}, {describe_seconds(owner.age.total_seconds())} ago"


def _find_last_read(source: str) -> timedelta | None:
    """Return the time since the source was last read to the end, whether or not its content had changed."""
    runs = Run.objects.filter(source=source, finished_at__isnull=False, status__in=(Status.SUCCESS, Status.PARTIAL))
    ended = runs.exclude(trigger=Trigger.REPLAY).order_by("-finished_at").values_list("finished_at", flat=True).first()
    return read_clock() - as_utc(ended) if ended is not None else None
