"""A real browser on a real stack: gunicorn, a worker and the test's own broker. Skipped without Chromium."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.apps import apps
from django.contrib.auth.models import Group, User
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, sync_playwright

from api.access.groups import make_groups
from kasparro.embedded import Servers
from tests.api.web import Web, start_web
from tests.browser.chromium import CHROMIUM, QUIET
from tests.processes import Project, run_servers

PASSWORD = "a-password-of-the-tests"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="no Chromium was found: apt-get install chromium"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # Playwright's event loop runs in this thread while its calls wait; Django would refuse to work inside it.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def broker() -> Iterator[Servers]:
    with run_servers(runs_postgresql=False) as servers:
        yield servers


@pytest.fixture
def stack(project: Project, broker: Servers) -> Project:
    """The project's processes on that broker, with the groups that migrations create."""
    make_groups(apps)
    project.environment |= {"REDIS_URL": broker.redis_url(), "ALLOWED_HOSTS": "127.0.0.1", "HTTPS": "off"}
    return project


class AdminPage:
    """The admin as one user sees it. Records each error of a page and each request to another host."""

    def __init__(self, browser: Browser, web: Web, **context: Any) -> None:
        self.address = f"http://127.0.0.1:{web.port}"
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note_request)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:")):
            self.complaints.append(f"request to another host: {request.url}")

    def log_in(self, name: str) -> None:
        self.page.goto(f"{self.address}/admin/")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", PASSWORD)
        self.follow(self.page.locator("input[type=submit]"))
        self.page.wait_for_selector("#overview")

    def follow(self, link_or_button: Locator) -> None:
        """Click what opens another page, and wait until that page is loaded: a click alone returns before it is."""
        with self.page.expect_navigation():
            link_or_button.click()

    def visit(self, path: str) -> Page:
        """Open a page and check it."""
        self.page.goto(f"{self.address}{path}")
        self.check()
        return self.page

    def check(self) -> None:
        """Assert that the shown page is accessible by axe-core, and that there were no complaints so far."""
        # An image is the label of the search field in Django's lists; its help text describes it.
        found = Axe().run(self.page, options={"rules": {"label-title-only": {"enabled": False}}})
        assert found.violations_count == 0, f"{self.page.url}\n{found.generate_report()}"
        assert self.complaints == []


def make_person(name: str, group: str) -> None:
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name=group))


def open_web(stack: Project, **environment: str) -> Web:
    """Start gunicorn with the stack's settings. DEBUG serves static files without collecting them."""
    return start_web(stack.folder, DEBUG="true", **{**stack.environment, **environment})
