"""Every page, light and dark, wide and narrow: no finding of axe-core, nothing beyond the edge of
a phone, all of it within reach of the keyboard, and no complaint of the browser.

Swagger UI at /api/v1/docs and the browsable API are left out: their markup is their makers'.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.template.loader import render_to_string
from django.test import Client
from playwright.sync_api import Page, expect

from tests.factories import UserFactory
from tests.whole import browsing
from tests.whole.every_page import pages, rows_of_every_kind

pytestmark = pytest.mark.browser

WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 390, "height": 844}
_COLOURS = ["color-contrast", "link-in-text-block"]
#: What depends on the colours only is looked for where only the colours differ.
_LOOKS = (
    ("light", WIDE, None),
    ("dark", WIDE, _COLOURS),
    ("dark", NARROW, _COLOURS),
    ("light", NARROW, None),
)
#: Colours on their way from one to another are nobody's choice.
_AT_REST = "*, *::before, *::after { transition: none !important; animation: none !important }"
_AXE = """async (rules) => (await axe.run(document, {
    resultTypes: ["violations"], ...(rules && {runOnly: {type: "rule", values: rules}}),
})).violations"""
_BEYOND = """() => document.documentElement.scrollWidth <= window.innerWidth ? [] :
    [...document.querySelectorAll("body *")]
        .filter((element) => element.getBoundingClientRect().right > window.innerWidth + 1)
        .map((element) => element.outerHTML.slice(0, 120)).slice(0, 5)"""
#: What takes clicks and no focus, and what has the focus without showing it.
_UNREACHED = r"""() => {
    const said = (what, element) =>
        `${what}: ${element.outerHTML.replace(/\s+/g, " ").slice(0, 160)}`;
    const seen = (element) => element.checkVisibility({visibilityProperty: true});
    const native = "a[href], button, input, select, textarea, summary, [tabindex]";
    const clicks = "[x-on\\:click], [\\@click], [hx-get]:not([hx-trigger])";
    const found = [...document.querySelectorAll(clicks)]
        .filter((element) => seen(element) && element.textContent.trim())
        .filter((element) => !element.matches(native))
        .map((element) => said("takes clicks only", element));
    for (const element of document.querySelectorAll(native)) {
        if (!seen(element) || element.disabled || element.tabIndex < 0) continue;
        element.focus({preventScroll: true});
        if (document.activeElement !== element) continue;
        const outlined = [element, element.parentElement].some((one) => {
            const style = getComputedStyle(one);
            return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        });
        if (!outlined) found.push(said("has the focus unseen", element));
    }
    document.activeElement.blur();
    return found;
}"""


def findings(tab: Page, where: str) -> Iterator[str]:
    """What is wrong with the page that the tab shows, in each of its looks."""
    tab.add_style_tag(content=_AT_REST)
    tab.evaluate(Axe().axe_script)
    for theme, size, rules in _LOOKS:
        look = f"{where} ({theme}, {size['width']} px)"
        tab.set_viewport_size(size)
        tab.emulate_media(color_scheme=theme)
        tab.evaluate(
            "(theme) => window.Alpine?.$data(document.documentElement).switchTheme(theme)", theme
        )
        yield from (f"{look}: {found}" for found in _violations(tab, rules))
        yield from (f"{look}: too wide: {found}" for found in tab.evaluate(_BEYOND))
        tab.keyboard.press("Tab")  # a browser shows the focus to who uses the keyboard
        yield from (f"{look}: {found}" for found in tab.evaluate(_UNREACHED))


def _violations(tab: Page, rules: list[str] | None) -> Iterator[str]:
    for violation in tab.evaluate(_AXE, rules):
        for node in violation["nodes"]:
            checks: list[Any] = [*node["any"], *node["all"], *node["none"]]
            why = "; ".join(check["message"] for check in checks)
            yield f"{violation['id']} ({violation['impact']}): {node['html'][:200]} — {why}"


@pytest.fixture
def anna(transactional_db):
    """Somebody who sees every page."""
    return UserFactory(username="anna", is_superuser=True)


def every_page_of(user: Any) -> list[str]:
    """What this person can open."""
    client = Client()
    client.force_login(user)
    return pages(client)


@pytest.mark.parametrize("half", [0, 1])
def test_every_page_is_for_everybody(anna, open_tab, target, work_once, half):
    rows_of_every_kind(anna, target, work_once)
    browsing.sign_in(open_tab, "anna")
    every = every_page_of(anna)
    assert len(every) > 35, every

    found = []
    for path in every[half::2]:
        open_tab.goto(path)
        found += findings(open_tab, path)

    assert not found, "\n".join(found)


def test_every_page_of_an_empty_installation_is_for_everybody(anna, open_tab):
    browsing.sign_in(open_tab, "anna")
    found = []
    for path in every_page_of(anna):
        # Forms to fill in are as empty with rows as without.
        if not any(part in path for part in ("/auth/", "/add/", "/password_change/")):
            open_tab.goto(path)
            found += findings(open_tab, path)
    assert not found, "\n".join(found)


def test_forms_that_were_refused_are_for_everybody(anna, open_tab):
    browsing.sign_in(open_tab, "anna")
    found = []
    for path in every_page_of(anna):
        if path.endswith("/add/"):
            open_tab.goto(path)
            open_tab.locator("[name=_save], .etl-panel [type=submit]").click()
            expect(open_tab.locator(".errorlist, .errornote, .errors").first).to_be_visible()
            found += findings(open_tab, f"{path} refused")
    assert not found, "\n".join(found)


def test_signing_in_and_out_is_for_everybody(anna, open_tab):
    open_tab.goto("/admin/login/")
    found = [*findings(open_tab, "sign in")]
    open_tab.get_by_label("Username").fill("anna")
    open_tab.get_by_label("Password").fill("wrong")
    open_tab.get_by_role("button", name="Log in").click()
    expect(open_tab.get_by_text("Please enter")).to_be_visible()
    found += findings(open_tab, "refused")
    open_tab.set_viewport_size(WIDE)
    browsing.sign_in(open_tab, "anna")
    open_tab.get_by_role("button", name="anna").click()
    open_tab.get_by_role("button", name="Log out").click()
    expect(open_tab.get_by_role("link", name="Log in again")).to_be_visible()
    found += findings(open_tab, "sign out")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "template", ["400.html", "403.html", "404.html", "500.html", "installation_moved.html"]
)
def test_pages_of_errors_are_for_everybody(open_tab, template):
    body = render_to_string(template, {"sentence": "This database is a copy."})
    open_tab.route(
        "**/error", lambda route: route.fulfill(body=body, content_type="text/html; charset=utf-8")
    )
    open_tab.goto("/error")
    found = [*findings(open_tab, template)]
    assert not found, "\n".join(found)


def test_what_opens_over_a_page_is_for_everybody(anna, open_tab, target, work_once):
    rows_of_every_kind(anna, target, work_once)
    browsing.sign_in(open_tab, "anna")
    open_tab.set_viewport_size(WIDE)

    open_tab.get_by_role("button", name="anna").click()
    found = [*findings(open_tab, "person's menu")]
    open_tab.goto("/admin/pipelines/pipeline/")
    open_tab.set_viewport_size(WIDE)
    open_tab.get_by_role("row", name="good").get_by_role("checkbox").check()
    found += findings(open_tab, "rows selected")
    open_tab.reload()
    open_tab.set_viewport_size(WIDE)
    open_tab.get_by_role("button", name="Filters").click()
    found += findings(open_tab, "filters")
    open_tab.reload()
    open_tab.set_viewport_size(NARROW)
    open_tab.get_by_role("button", name="Navigation").click()
    found += findings(open_tab, "sidebar of a phone")
    assert not found, "\n".join(found)


def test_a_pipeline_is_run_with_the_keyboard_alone(anna, open_tab, target, work_once):
    rows_of_every_kind(anna, target, work_once)
    browsing.sign_in(open_tab, "anna")
    open_tab.set_viewport_size(WIDE)
    keys = open_tab.keyboard

    open_tab.goto("/admin/pipelines/pipeline/")
    keys.press("Tab")
    expect(open_tab.get_by_role("link", name="Skip to the content")).to_be_focused()
    keys.press("Enter")
    expect(open_tab.locator("#content")).to_be_focused()
    _tab_to(open_tab, "Filters")
    keys.press("Enter")
    expect(open_tab.locator("#changelist-filter a").first).to_be_focused()
    keys.press("Escape")
    expect(open_tab.locator("#changelist-filter")).to_be_hidden()
    expect(open_tab.get_by_role("button", name="Filters")).to_be_focused()
    _tab_to(open_tab, "Run: good")
    keys.press("Enter")
    expect(open_tab.get_by_text("A run of “good” is requested.")).to_be_visible()


def test_menus_open_and_close_with_the_keyboard_alone(anna, open_tab):
    browsing.sign_in(open_tab, "anna")
    open_tab.set_viewport_size(WIDE)
    menu = open_tab.get_by_role("button", name="Log out")

    open_tab.get_by_role("button", name="anna").focus()
    open_tab.keyboard.press("Enter")
    expect(menu).to_be_visible()
    dark = open_tab.get_by_role("button", name="Dark")
    dark.focus()
    open_tab.keyboard.press("Space")
    expect(open_tab.locator("html")).to_have_class("dark")
    open_tab.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(open_tab.get_by_role("button", name="anna")).to_be_focused()

    open_tab.set_viewport_size(NARROW)
    navigation = open_tab.get_by_role("button", name="Navigation")
    navigation.focus()
    open_tab.keyboard.press("Enter")
    expect(open_tab.locator("#nav-sidebar a").first).to_be_focused()
    open_tab.keyboard.press("Escape")
    expect(open_tab.locator("#nav-sidebar")).to_be_hidden()
    expect(navigation).to_be_focused()


def _tab_to(tab: Page, name: str) -> None:
    """Press Tab until what has this name has the focus."""
    named = "() => (document.activeElement.ariaLabel || document.activeElement.innerText).trim()"
    for _press in range(60):
        tab.keyboard.press("Tab")
        if tab.evaluate(named).startswith(name):
            return
    pytest.fail(f"Tab never leads to “{name}”.")
