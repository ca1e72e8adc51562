"""The base of all admin pages: read-only rows, one page per row, and buttons for operators."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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

from etl.database import keep_out_of_transactions
from etl.exceptions import NotFound, NotPossible
from etl.models import Run

OPERATE = "etl.operate"
SHOWN_ENTRIES = 200


def may_operate(request: HttpRequest) -> bool:
    """Return whether the user may start, cancel, replay, discard, acknowledge, release and pause."""
    return bool(request.user.is_active and request.user.has_perm(OPERATE))


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an action: a sentence for the operator and the log, and the runs that it queued."""

    text: str
    runs: Sequence[Run] = ()

    def __str__(self) -> str:
        return " ".join((self.text, ", ".join(f"run {run.pk}" for run in self.runs))).strip()


@dataclass(frozen=True, slots=True)
class Input:
    """A text that an action needs from the operator."""

    name: str
    label: str
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Button:
    """An action on one row. If it has a `question`, which says what it does, a page asks for confirmation.

    That page also asks for the `inputs`.
    """

    name: str
    label: str
    act: Callable[[], Done]
    question: str = ""
    inputs: Sequence[Input] = ()


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that the pipeline wrote; no user can add, change or delete them by hand.

    Each row has buttons and a page (`page_template`, rendered with the context of `describe`). Lists and pages require
    the permission to view; every POST requires the permission to operate.
    """

    actions_on_bottom = False
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "etl/list.html"
    page_template: ClassVar[str]
    defer: ClassVar[Sequence[str]] = ()
    """Columns that a list does not load."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Hide actions declared with `permissions=["operate"]` from viewers; Django calls this by its name."""
        return may_operate(request)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow only a list's own filters, because any other condition might scan a whole table."""
        return any(lookup == each.parameter_name for each in self.list_filter)  # type: ignore[union-attr]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer(*self.defer)

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_press"
        press = path("<path:object_id>/press/<slug:button>/", self.admin_site.admin_view(self.press), name=name)
        return [press, *super().get_urls()]

    @keep_out_of_transactions  # an action commits by itself, even in a project with ATOMIC_REQUESTS
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST" and not may_operate(request):
            raise PermissionDenied
        context = {"title": self.name_list(), "etl_note": self.describe_list(request)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def name_list(self) -> str:
        """Return the list's title."""
        return str(self.opts.verbose_name_plural).capitalize()

    def describe_list(self, request: HttpRequest) -> str:
        """Return a note to show above the list."""
        return ""

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row with this id, or None if it does not exist."""
        return self.get_object(request, object_id) if "\0" not in object_id else None

    def describe(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the context of the page's template."""
        raise NotImplementedError

    def list_buttons(self, request: HttpRequest, row: Any) -> list[Button]:
        """Return the buttons that the row's current state allows."""
        return []

    def name_row(self, row: Any) -> str:
        """Return the page's title."""
        return f"{str(self.opts.verbose_name).capitalize()} {row.pk}"

    @admin.display(description=format_html('<input type="checkbox" id="action-toggle" aria-label="{}">', "Select all"))
    def action_checkbox(self, obj: Any) -> SafeString:
        """Render Django's checkbox without the row's string, which may come from a source."""
        words = {"class": "action-select", "aria-label": f"Select {self.name_row(obj)}"}
        box = forms.CheckboxInput(words, lambda value: False)  # noqa: ARG005
        return box.render(ACTION_CHECKBOX_NAME, str(obj.pk))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the row's page. It has no form, so only GET and HEAD are allowed."""
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        row = self.find(request, unquote(object_id))
        if row is None:
            return self._find_nothing(request)
        buttons = self.list_buttons(request, row) if may_operate(request) else []
        return self.render(request, self.page_template, row, {"buttons": buttons, **self.describe(request, row)})

    def render(self, request: HttpRequest, template: str, row: Any, context: dict[str, Any]) -> TemplateResponse:
        """Render an admin page about this row, or about the list if the row is None."""
        about = {"row": row, "object_id": quote(row.pk), "title": self.name_row(row)} if row is not None else {}
        site = self.admin_site.each_context(request)
        return TemplateResponse(
            request, template, {**site, "opts": self.opts, "list_title": self.name_list(), **about, **context}
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show which users acted on this row, from the admin's log."""
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
        text = f"There is no such {self.opts.verbose_name}; it may have been pruned."
        self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(self.find_address("changelist"))

    @keep_out_of_transactions
    def press(self, request: HttpRequest, object_id: str, button: str) -> HttpResponse:
        """Perform the button's action, or ask for confirmation first."""
        if not (self.has_view_permission(request) and may_operate(request)):
            raise PermissionDenied
        row = self.find(request, unquote(object_id))
        if row is None:
            return self._find_nothing(request)
        pressed = next((each for each in self.list_buttons(request, row) if each.name == button), None)
        if pressed is None:
            self.message_user(request, "That is no longer possible. Check the current state below.", messages.ERROR)
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
        """Show the result of an action, with links to its runs."""
        links = format_html_join(", ", "{}", ((link_row("run", run.pk, f"run {run.pk}"),) for run in done.runs))
        self.message_user(request, format_html("{} {}", done.text, links), messages.SUCCESS)

    def log_all(self, request: HttpRequest, rows: Iterable[Any], message: str) -> None:
        """Write an entry to the admin's log for each of these rows."""
        user: Any = request.user
        LogEntry.objects.log_actions(user.pk, list(rows), CHANGE, message)

    def log_list(self, request: HttpRequest, described: str, message: str) -> None:
        """Write a single entry to the admin's log for an action on many rows."""
        user: Any = request.user
        LogEntry.objects.create(
            user_id=user.pk,
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=described[:200],
            action_flag=CHANGE,
            change_message=message,
        )

    def find_address(self, page: str, *arguments: object) -> str:
        """Return the address of one of this model's pages: `changelist`, `change`, `history` or `press`."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=arguments)


def link_list(model: str, text: object, **filters: Any) -> SafeString:
    """Render a number or word as a link to the filtered list of this `etl` model."""
    query = f"?{urlencode(filters)}" if filters else ""
    return format_html('<a href="{}{}">{}</a>', reverse(f"admin:etl_{model}_changelist"), query, text)


def link_row(model: str, pk: int | str, text: object) -> SafeString:
    """Render a link to one row of this `etl` model."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:etl_{model}_change", args=[quote(pk)]), text)
