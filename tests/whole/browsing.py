"""A real browser for the tests: starting it, signing in, and noting what goes wrong in a tab."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.factories import PASSWORD

DEBIANS = Path("/usr/bin/chromium")
# A browser that phones home would fail the test that nothing leaves the machine.
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_MISSING = (
    "No browser could be started, and these tests are not passed over without one. "
    "`make browser` installs it: Debian's chromium as root, Playwright's own elsewhere. "
    "What the browser's start said:\n"
)
#: Browsers report some of what a policy forbids on the console only, some in an event only.
_REPORTS = """
addEventListener("securitypolicyviolation", (event) => console.error(
    `CSP: ${event.effectiveDirective} forbids ${event.blockedURI} in ${event.documentURI}`));
"""


@contextmanager
def started() -> Iterator[Browser]:
    """Debian's chromium, or the one that Playwright has installed; without one the test fails.

    Playwright's event loop lives in this thread, and must not keep the tests from the ORM.
    """
    own = str(DEBIANS) if DEBIANS.exists() else None
    arguments = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else QUIET
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        try:
            browser = playwright.chromium.launch(executable_path=own, args=arguments)
        except Error as error:
            pytest.fail(_MISSING + error.message, pytrace=False)
        yield browser
        browser.close()


def sign_in(tab: Page, username: str) -> None:
    """By the form, as people do, up to the first page."""
    tab.goto("/admin/")
    tab.get_by_label("Username").fill(username)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Log in").click()
    expect(tab.get_by_role("link", name="Overview").first).to_be_visible()


def watch(tab: Page, site: str) -> list[str]:
    """What goes wrong in the tab from now on: it grows while the tab is used."""
    amiss: list[str] = []
    tab.add_init_script(_REPORTS)
    tab.on("pageerror", lambda error: amiss.append(f"script: {error}"))
    tab.on(
        "requestfailed",
        # A page that is left takes back what it still waits for: its icon, its own questions.
        lambda request: (
            request.failure != "net::ERR_ABORTED"
            and amiss.append(f"failed: {request.url} {request.failure}")
        ),
    )
    tab.on(
        "console",
        lambda message: (
            message.type in ("error", "warning") and amiss.append(f"console: {message.text}")
        ),
    )
    tab.on(
        "response",
        lambda answer: answer.status >= 400 and amiss.append(f"{answer.status}: {answer.url}"),
    )
    tab.on(
        "request",
        lambda request: (
            not request.url.startswith((site, "data:", "blob:"))
            and amiss.append(f"elsewhere: {request.url}")
        ),
    )
    return amiss
