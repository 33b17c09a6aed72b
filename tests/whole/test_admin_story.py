"""A team's whole day in the admin, in a real browser and with a real worker beside it."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from pipelines.models import Pipeline
from tests.factories import PipelineFactory, UserFactory
from tests.whole import browsing
from tests.whole.admin_pages import page
from tests.whole.editing import write_query

pytestmark = pytest.mark.browser

# Slow enough to be looked at: a thousand rows take some seconds.
SLOW = (
    "SELECT id, title, modified FROM content.film,"
    " LATERAL (SELECT pg_sleep(CASE WHEN id > 0 THEN 0.004 END)) AS waited"
)
FAST = "SELECT id, title, modified FROM content.film"
FAILS = "SELECT id, title, modified, 1 / (id - id) AS share FROM content.film"
ROWS = 4000


@pytest.fixture
def films(source):
    """A table worth copying."""
    source.execute("CREATE SCHEMA content")
    source.execute("CREATE TABLE content.film (id int PRIMARY KEY, title text, modified int)")
    source.execute(
        "INSERT INTO content.film SELECT n, 'Film ' || n, n FROM generate_series(1, %s) AS n",
        [ROWS],
    )
    source.execute("CREATE INDEX ON content.film (modified, id)")


def figure(tab: Page, label: str) -> int:
    """A figure of the live panel."""
    found = tab.locator(".etl-figure", has_text=label).locator("strong").first
    return int(re.sub(r"\D", "", found.inner_text()) or 0)


def until_more(tab: Page, label: str, than: int) -> int:
    """Wait for a figure to grow, and give what it is then."""
    for _look in range(200):
        if tab.locator(".etl-figure", has_text=label).count() and figure(tab, label) > than:
            return figure(tab, label)
        tab.wait_for_timeout(50)
    raise AssertionError(f"{label} stays at {than}")


def open_tab_of(tab: Page, name: str) -> None:
    """One of the page's tabs."""
    tab.get_by_role("navigation", name="Parts of the page").get_by_role("link", name=name).click()


def save_query(tab: Page, query: str) -> None:
    """Change the query and nothing else."""
    open_tab_of(tab, "Definition")
    write_query(tab, query)
    tab.get_by_role("button", name="Save").click()


def add_connection(tab: Page, url: str) -> None:
    address = urlsplit(url)
    tab.get_by_role("link", name="Add connection").click()
    tab.get_by_label("Name").fill("shop")
    tab.get_by_label("Host").fill(address.hostname or "")
    tab.get_by_label("Port").fill(str(address.port))
    tab.get_by_label("Database").fill(address.path.lstrip("/"))
    tab.get_by_label("User").fill(address.username or "")
    tab.get_by_label("Password", exact=True).fill(address.password or "")
    tab.get_by_label("TLS").select_option("disable")
    tab.get_by_role("button", name="Save").click()
    tab.get_by_role("button", name="Test").click()
    expect(tab.get_by_text("Connected: PostgreSQL")).to_be_visible()


def add_pipeline(tab: Page) -> None:
    tab.goto("/admin/")
    tab.get_by_role("link", name="Create pipeline").click()
    tab.get_by_label("Name").fill("films")
    tab.get_by_label("Source connection").select_option(label="shop")
    write_query(tab, SLOW)
    tab.get_by_label("Target table").fill("analytics.film")
    tab.get_by_label("Key columns").fill("id")
    tab.get_by_role("tab", name="Loading").click()
    tab.get_by_label("Mode").select_option("incremental")
    tab.get_by_label("Incremental key").fill("modified")
    tab.get_by_label("Batch size").fill("100")
    tab.get_by_role("button", name="Preview").click()
    answer = tab.locator("#etl-answer")
    expect(answer.get_by_text("Film 1", exact=True)).to_be_visible()
    expect(answer).to_contain_text("CREATE TABLE")
    assert Pipeline.objects.count() == 0
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_text("the first run makes it, with 3 columns")).to_be_visible()


def test_a_team_builds_watches_stops_mends_and_restores(
    tab, films, source_url, target, start_worker
):
    target.execute("CREATE SCHEMA analytics")
    add_connection(tab, source_url)
    add_pipeline(tab)
    start_worker(RUNNER_LEASE_SECONDS=2, RUNNER_POLL_SECONDS=0.2)

    # Rows grow before one's eyes, on a page that is not loaded again.
    tab.evaluate("window.isTheSamePage = true")
    panel = tab.locator("#etl-live")
    panel.get_by_role("button", name="Run").click()
    tab.evaluate("window.isTheSamePage = true")
    first = until_more(tab, "Rows read", 0)
    until_more(tab, "Rows read", first)
    assert tab.evaluate("window.isTheSamePage") is True

    panel.get_by_role("button", name="Pause").click()
    expect(panel.get_by_text("The next run goes on from the checkpoint.")).to_be_visible()
    paused = target.execute("SELECT count(*) FROM analytics.film").fetchone()[0]
    assert 0 < paused < ROWS
    panel.get_by_role("button", name="Run").click()
    until_more(tab, "Rows read", 0)
    panel.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_text("The last run was cancelled")).to_be_visible()

    save_query(tab, FAST)
    expect(tab.get_by_text("was changed successfully")).to_be_visible()
    panel.get_by_role("button", name="Run").click()
    expect(panel.get_by_text("The last run ended well")).to_be_visible()
    assert target.execute("SELECT count(*) FROM analytics.film").fetchone() == (ROWS,)

    # What fails says why, and the old query comes back.
    target.execute("ALTER TABLE analytics.film ADD share int")
    target.execute("TRUNCATE analytics.film")
    tab.get_by_role("link", name="Reset checkpoint").click()
    tab.get_by_role("button", name="Reset checkpoint").click()
    expect(tab.get_by_text("None yet: the next run reads everything.")).to_be_visible()
    save_query(tab, FAILS)
    panel.get_by_role("button", name="Run").click()
    expect(panel.get_by_text("division by zero")).to_be_visible()
    open_tab_of(tab, "Changes")
    tab.get_by_role("link", name="All changes").click()
    tab.get_by_role("link", name="Restore").first.click()
    expect(tab.get_by_text(FAST, exact=True).first).to_be_visible()
    tab.get_by_role("button", name="Restore").click()
    assert Pipeline.objects.get().source_query == FAST
    tab.goto(page(Pipeline.objects.get()))
    panel.get_by_role("button", name="Run").click()
    expect(panel.get_by_text("The last run ended well")).to_be_visible()
    assert target.execute("SELECT count(*) FROM analytics.film").fetchone() == (ROWS,)


def test_a_viewer_looks_and_touches_nothing(browser, live_server, transactional_db):
    UserFactory(username="vera", groups=["viewer"])
    pipeline = PipelineFactory(name="films", source_query=FAST)
    context = browser.new_context(base_url=live_server.url, locale="en-US")
    tab = context.new_page()
    browsing.sign_in(tab, "vera")
    tab.goto(page(pipeline))

    for name in ("Run", "Pause", "Cancel", "Disable", "Duplicate", "Save", "Preview", "Delete"):
        assert tab.get_by_role("button", name=name, exact=True).count() == 0, name
    token = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "csrftoken")
    answer = context.request.post(
        f"{live_server.url}{page(pipeline, 'run')}",
        form={"csrfmiddlewaretoken": token},
        headers={"Referer": live_server.url},
    )
    assert answer.status == 403
    assert "You may not do this" in answer.text()
    assert Pipeline.objects.get().status == "IDLE"
    context.close()


def test_the_language_is_switched_by_the_person(tab):
    tab.goto("/admin/")
    switch_to(tab, "Русский")
    expect(tab.get_by_role("link", name="Обзор").first).to_be_visible()
    assert tab.locator("html").get_attribute("lang") == "ru"
    tab.goto("/admin/pipelines/pipelinerun/")
    assert tab.locator("html").get_attribute("lang") == "ru"
    switch_to(tab, "English")
    expect(tab.get_by_role("link", name="Overview").first).to_be_visible()


def switch_to(tab: Page, language: str) -> None:
    tab.get_by_role("button", name="anna").click()
    tab.get_by_role("button", name=re.compile(language, re.IGNORECASE)).click()
