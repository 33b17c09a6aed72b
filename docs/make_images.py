"""Takes pictures of a running demo: `python docs/make_images.py ADDRESS PASSWORD`."""

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def main() -> None:
    """Sign in, then one picture per page."""
    address, password = sys.argv[1:3]
    IMAGES.mkdir(exist_ok=True)
    executable = str(CHROMIUM) if CHROMIUM.exists() else None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 600}, locale="en-GB")
        _sign_in(page, address, password)
        page.goto(f"{address}/admin/pipelines/pipeline/")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=IMAGES / "pipelines.png")
        browser.close()


def _sign_in(page: Page, address: str, password: str) -> None:
    page.goto(f"{address}/admin/login/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(f"{address}/admin/")


if __name__ == "__main__":
    main()
