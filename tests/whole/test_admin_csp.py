"""The policy as browsers meet it: no page has a script in itself, and none asks for what the
policy forbids; pages of the admin are opened in `test_admin_accessible`.
"""

import pytest
from playwright.sync_api import expect

from tests.whole.admin_pages import person
from tests.whole.every_page import Page, pages, rows_of_every_kind


def test_no_page_has_a_script_in_itself(transactional_db, target, work_once) -> None:
    client = person(is_superuser=True)
    rows_of_every_kind(client.user, target, work_once)
    html = {path: client.get(path) for path in [*pages(client), "/api/v1/docs", "/admin/nowhere"]}
    html["add"] = client.post("/admin/pipelines/pipeline/add/", {})
    html["browsable"] = client.get("/api/v1/pipelines", headers={"accept": "text/html"})
    html["popup"] = client.get("/admin/pipelines/connection/add/?_popup=1")
    html["sign in"] = person().post("/admin/login/", {"username": "anna", "password": "wrong"})
    html["sign out"] = client.post("/admin/logout/")

    inline = {
        where: scripts
        for where, answer in html.items()
        if (scripts := Page.read(answer.content.decode()).inline)
    }

    assert inline == {}


def test_scripts_in_a_page_are_noticed() -> None:
    harmless = (
        '<script src="/x.js"></script><script type="application/json">{}</script><a x-on:click>'
    )
    assert Page.read(harmless).inline == []
    for html in ("<script>x()</script>", "<p onclick='x()'>", "<a href=' JavaScript:x()'>y</a>"):
        assert len(Page.read(html).inline) == 1, html


@pytest.mark.browser
def test_a_report_is_noticed(browser, live_server) -> None:
    from tests.whole import browsing

    context = browser.new_context(base_url=live_server.url)
    opened = context.new_page()
    amiss = browsing.watch(opened, live_server.url)
    opened.goto("/admin/login/")
    assert amiss == []
    opened.evaluate(
        """() => new Promise((done) => {
            document.addEventListener("securitypolicyviolation", () => setTimeout(done));
            const script = document.createElement("script");
            script.textContent = "window.foreign = true";
            document.head.append(script);
        })"""
    )
    context.close()
    assert any("CSP: script-src-elem forbids inline" in report for report in amiss), amiss


@pytest.mark.browser
def test_the_description_of_the_api_is_shown_without_a_report(tab) -> None:
    tab.goto("/api/v1/docs")
    expect(tab.get_by_role("heading", name="ETL API")).to_be_visible()
    tab.locator("#operations-pipelines-pipelines_list, .opblock").first.click()
    expect(tab.get_by_role("button", name="Try it out").first).to_be_visible()


@pytest.mark.browser
def test_the_browsable_api_is_shown_without_a_report(tab) -> None:
    for path in ("/api/v1/", "/api/v1/pipelines", "/api/v1/connections", "/api/v1/tokens"):
        tab.goto(path)
        expect(tab.get_by_text("HTTP 200 OK")).to_be_visible()
    # Its own scripts work: the raw form is there and the tooltips are made.
    tab.goto("/api/v1/pipelines")
    assert tab.evaluate("() => typeof window.jQuery.fn.tooltip") == "function"
