"""Takes the README's pictures of a running stack: `python -m tests.browser.pictures USER PASSWORD [BASE_URL]`.

The stack should have run its sources, with some records refused and some drift.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.chromium import CHROMIUM, QUIET

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def main(user: str, password: str, base: str = "http://127.0.0.1:8000") -> None:
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1200, "height": 700})
        page.goto(f"{base}/admin/")
        page.fill("#id_username", user)
        page.fill("#id_password", password)
        page.click("input[type=submit]")
        page.wait_for_selector("#overview")
        page.screenshot(path=FOLDER / "home.png", full_page=True)
        lists = {
            "run": "run/?status=partial",
            "drift": "schemasnapshot/",
            "quarantine": "quarantinedrecord/?source=products_csv&status=open",
        }
        for name, address in lists.items():
            page.goto(f"{base}/admin/etl/{address}")
            with page.expect_navigation():
                page.locator("#result_list tbody th a").first.click()
            page.screenshot(path=FOLDER / f"{name}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
