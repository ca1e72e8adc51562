"""What all pages of the desk have in common: read-only rows, a page for each, buttons for those who may operate."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from etl.exceptions import NotFound, NotPossible
from etl.models import Run

OPERATE = "etl.operate"
SHOWN_ENTRIES = 200


def may_operate(request: HttpRequest) -> bool:
    """Whether the user may start, cancel, replay, discard, acknowledge, release and pause."""
    return bool(request.user.is_active and request.user.has_perm(OPERATE))


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an action, in words for the operator and the log, and the runs that it has queued."""

    text: str
    runs: Sequence[Run] = ()

    def __str__(self) -> str:
        return " ".join((self.text, ", ".join(f"run {run.pk}" for run in self.runs))).strip()


@dataclass(frozen=True, slots=True)
class Button:
    """Something an operator may do with one row. Where `question` says what it does, its page asks first."""

    name: str
    label: str
    act: Callable[[], Done]
    question: str = ""


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that the pipeline wrote: nobody adds, changes or deletes one by hand.

    Each row has a page (`page_template` with what `describe` gives) and buttons; lists and pages are for whoever
    may view, everything that is POSTed for operators alone.
    """

    actions_on_bottom = False
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "etl/list.html"
    page_template: ClassVar[str]
    defer: ClassVar[Sequence[str]] = ()
    """Columns that a list leaves where they are."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For actions declared with `permissions=["operate"]`: viewers don't see them."""
        return may_operate(request)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Lists are narrowed by their filters alone: any other condition might read a whole table."""
        return any(lookup == each.parameter_name for each in self.list_filter)  # type: ignore[union-attr]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer(*self.defer)

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_press"
        press = path("<path:object_id>/press/<slug:button>/", self.admin_site.admin_view(self.press), name=name)
        return [press, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST" and not may_operate(request):
            raise PermissionDenied
        context = {"title": self.name_list(), "etl_note": self.describe_list(request)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def name_list(self) -> str:
        """The list's title."""
        return str(self.opts.verbose_name_plural).capitalize()

    def describe_list(self, request: HttpRequest) -> str:
        """A sentence above the list."""
        return ""

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """The row of this page; None if there is none."""
        return self.get_object(request, object_id) if "\0" not in object_id else None

    def describe(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the page's template shows."""
        raise NotImplementedError

    def list_buttons(self, request: HttpRequest, row: Any) -> list[Button]:
        """What an operator may do with this row as it stands now."""
        return []

    def name_row(self, row: Any) -> str:
        """The page's title."""
        return f"{str(self.opts.verbose_name).capitalize()} {row.pk}"

    @admin.display(description=format_html('<input type="checkbox" id="action-toggle" aria-label="{}">', "Select all"))
    def action_checkbox(self, obj: Any) -> SafeString:
        """As Django's, without the row's own words: those may come from outside."""
        words = {"class": "action-select", "aria-label": f"Select {self.name_row(obj)}"}
        box = forms.CheckboxInput(words, lambda value: False)  # noqa: ARG005
        return box.render(ACTION_CHECKBOX_NAME, str(obj.pk))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The row's page; nothing can be changed there, so nothing can be sent to it."""
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        row = self.find(request, unquote(object_id))
        if row is None:
            return self._find_nothing(request)
        buttons = self.list_buttons(request, row) if may_operate(request) else []
        return self.render(request, self.page_template, row, {"buttons": buttons, **self.describe(request, row)})

    def render(self, request: HttpRequest, template: str, row: Any, context: dict[str, Any]) -> TemplateResponse:
        """A page of the admin about this row (None: about the list)."""
        about = {"row": row, "object_id": quote(row.pk), "title": self.name_row(row)} if row is not None else {}
        site = self.admin_site.each_context(request)
        return TemplateResponse(
            request, template, {**site, "opts": self.opts, "list_title": self.name_list(), **about, **context}
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Who did what with this row, from the admin's log."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.find(request, unquote(object_id))
        if row is None:
            return self._find_nothing(request)
        model = ContentType.objects.get_for_model(self.model)
        entries = LogEntry.objects.filter(content_type=model, object_id=str(row.pk)).select_related("user")
        context = {"entries": entries.order_by("-pk")[:SHOWN_ENTRIES], "page": self.name_row(row)}
        return self.render(request, "etl/history.html", row, context)

    def _find_nothing(self, request: HttpRequest) -> HttpResponse:
        text = f"There is no such {self.opts.verbose_name}: it may have been pruned."
        self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(self.find_address("changelist"))

    def press(self, request: HttpRequest, object_id: str, button: str) -> HttpResponse:
        """Do what the button says, or ask first whether it is meant."""
        if not (self.has_view_permission(request) and may_operate(request)):
            raise PermissionDenied
        row = self.find(request, unquote(object_id))
        if row is None:
            return self._find_nothing(request)
        pressed = next((each for each in self.list_buttons(request, row) if each.name == button), None)
        if pressed is None:
            self.message_user(request, "That is not possible any more: see how it stands now.", messages.ERROR)
        elif request.method == "POST":
            self._act(request, row, pressed)
        elif pressed.question:
            return self.render(request, "etl/confirm.html", row, {"button": pressed})
        else:
            return HttpResponseNotAllowed(["POST"])
        return HttpResponseRedirect(self.find_address("change", quote(row.pk)))

    def _act(self, request: HttpRequest, row: Any, pressed: Button) -> None:
        try:
            done = pressed.act()
        except (NotFound, NotPossible) as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.log_change(request, row, str(done))
            self.tell(request, done)

    def tell(self, request: HttpRequest, done: Done) -> None:
        """Show what came of an action, with links to its runs."""
        links = format_html_join(", ", "{}", ((link_row("run", run.pk, f"run {run.pk}"),) for run in done.runs))
        self.message_user(request, format_html("{} {}", done.text, links), messages.SUCCESS)

    def log_all(self, request: HttpRequest, rows: Iterable[Any], message: str) -> None:
        """An entry in the admin's log for each of these rows."""
        user: Any = request.user
        LogEntry.objects.log_actions(user.pk, list(rows), CHANGE, message)

    def log_list(self, request: HttpRequest, described: str, message: str) -> None:
        """One entry for what was done with many rows."""
        user: Any = request.user
        LogEntry.objects.create(
            user_id=user.pk,
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=described[:200],
            action_flag=CHANGE,
            change_message=message,
        )

    def find_address(self, page: str, *arguments: object) -> str:
        """The address of a page of this model: `changelist`, `change`, `history`, `press`."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=arguments)


def show_status(status: str) -> SafeString:
    """A status in colour and word."""
    return format_html('<span class="etl-status etl-{}">{}</span>', status, status)


def link_list(model: str, text: object, **filters: Any) -> SafeString:
    """A number or word that links to the filtered list of this model of `etl`."""
    query = f"?{urlencode(filters)}" if filters else ""
    return format_html('<a href="{}{}">{}</a>', reverse(f"admin:etl_{model}_changelist"), query, text)


def link_row(model: str, pk: int | str, text: object) -> SafeString:
    """A link to one row of this model of `etl`."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:etl_{model}_change", args=[quote(pk)]), text)


def describe_seconds(seconds: float | None) -> str:
    """A duration for people: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if seconds is None:
        return "–"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def describe_time(time: datetime | None) -> str:
    """A time in UTC, to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S}" if time is not None else "–"
