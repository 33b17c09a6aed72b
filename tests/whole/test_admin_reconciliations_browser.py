"""Comparisons in a real browser: asked for, watched while they are made, cancelled, looked at."""

import re

import pytest
from playwright.sync_api import expect

from pipelines import lifecycle
from pipelines.models import Reconciliation
from tests.factories import PipelineFactory, ReconciliationFactory, WorkerFactory
from tests.whole.admin_pages import page

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
QUERY = "SELECT * FROM (VALUES (1, 'Alien'), (2, '{hostile}'), (3, 'Ran')) v (id, title)"


@pytest.fixture
def films(target):
    """A pipeline whose target lacks a row of its source, and has another title in one."""
    target.execute("CREATE SCHEMA analytics")
    target.execute("CREATE TABLE analytics.film (id int PRIMARY KEY, title text)")
    target.execute("INSERT INTO analytics.film VALUES (1, 'Alien'), (2, 'Heat')")
    return PipelineFactory(
        name="films",
        source_query=QUERY.format(hostile=HOSTILE),
        target_table="analytics.film",
        key_columns=["id"],
    )


def held(pipeline):
    """A comparison that somebody makes, and how to say how far it is."""
    lifecycle.ask(pipeline, level="rows", sample=10, tolerances={}, by=None)
    row = lifecycle.claim_reconciliation(worker=WorkerFactory().pk, lease=600)

    def go_on(phase, done, of):
        return lifecycle.renew_reconciliation(row, lease=600, phase=phase, done=done, of=of)

    return row, go_on


def test_people_ask_which_rows_differ_and_see_them(tab, films):
    tab.goto(page(films))
    tab.get_by_role("link", name="Compare", exact=True).click()
    expect(tab.get_by_role("radio", name="Rows")).to_be_checked()
    tab.get_by_role("radio", name="Counts").check()
    expect(tab.get_by_label("Tolerances")).to_be_hidden()
    tab.get_by_role("radio", name="Rows").check()
    tab.get_by_label("Tolerances").fill("title")
    tab.get_by_role("button", name="Compare").click()
    expect(tab.get_by_text("Line 1 is “title”.")).to_be_visible()
    tab.get_by_label("Tolerances").fill("")
    tab.get_by_role("button", name="Compare").click()

    expect(tab.get_by_text("2 rows differ.")).to_be_visible()
    different = tab.get_by_role("region", name="Different rows").last
    expect(different.locator("ins")).to_have_text(HOSTILE)
    expect(different.locator("del")).to_have_text("Heat")
    expect(tab.get_by_role("region", name="Missing rows").last).to_contain_text("Ran")
    tab.get_by_text("Ranges that differ").first.click()
    expect(tab.get_by_role("cell", name="missing: 1, different: 1")).to_be_visible()
    tab.get_by_role("link", name="films", exact=True).click()
    expect(tab.get_by_text("Missing: 1, different: 1.")).to_be_visible()


def test_a_comparison_shows_how_far_it_is_and_what_it_found_without_reloading(tab, films):
    row, go_on = held(films)
    tab.goto(page(row))
    tab.evaluate("window.stays = true")
    bar = tab.get_by_role("progressbar")
    expect(tab.get_by_text("Connecting to both sides.")).to_be_visible()

    go_on("summing", 1_500, 6_000)
    expect(bar).to_have_attribute("aria-valuenow", "25")
    expect(tab.get_by_text("1,500 of about 6,000 rows")).to_be_visible()
    go_on("looking at rows", 4_500, 6_000)
    expect(bar).to_have_attribute("aria-valuenow", "75")
    counts = {"source_count": 3, "target_count": 3, "missing": 0, "extra": 0, "different": 0}
    lifecycle.answer_reconciliation(row, equal=True, values=counts)

    expect(tab.get_by_text("All 3 rows are the same.")).to_be_visible()
    expect(tab.locator("#etl-comparison")).not_to_have_attribute("hx-get", re.compile("."))
    assert tab.evaluate("window.stays")


def test_the_page_of_a_pipeline_shows_how_far_its_comparison_is(tab, films):
    row, go_on = held(films)
    tab.goto(page(films))
    tab.evaluate("window.stays = true")

    go_on("summing", 3_000, 6_000)
    expect(tab.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    lifecycle.fail_reconciliation(row, sentence="The source is away.", code="source_unavailable")

    expect(tab.locator("#etl-compared").get_by_text("The source is away.")).to_be_visible()
    expect(tab.locator("#etl-live")).not_to_have_attribute("hx-get", re.compile("."))
    assert tab.evaluate("window.stays")


def test_a_comparison_is_cancelled_from_its_page(tab, films):
    row, go_on = held(films)
    tab.goto(page(row))

    tab.get_by_role("button", name="Cancel").click()
    expect(tab.get_by_text("The comparison is being cancelled.")).to_be_visible()
    assert go_on("summing", 0, 0)
    lifecycle.cancelled_reconciliation(row)

    expect(tab.get_by_text("It was cancelled before it was done.")).to_be_visible()
    expect(tab.get_by_role("link", name="Compare again")).to_be_visible()


def test_a_comparison_is_asked_for_without_javascript(browser, live_server, tab, films):
    context = browser.new_context(
        base_url=live_server.url,
        java_script_enabled=False,
        storage_state=tab.context.storage_state(),
    )
    plain = context.new_page()
    plain.goto(page(films))
    plain.locator(f"a[href='{page(films, 'reconcile')}']").first.click()
    plain.locator(".etl-question [type=submit]").click()

    expect(plain.get_by_text("2 rows differ.")).to_be_visible()
    context.close()
    assert Reconciliation.objects.count() == 1


def test_on_a_phone_old_and_new_stand_below_each_other(tab):
    change = {"column": "title", "source": "new " * 60, "target": "old " * 60}
    rows = [{"kind": "different", "key": ["7"], "changes": [change]}]
    row = ReconciliationFactory(status="WARNING", different=1, rows=rows)
    tab.set_viewport_size({"width": 390, "height": 844})

    tab.goto(page(row))

    old, new = (tab.locator(f".etl-both-sides {side}").bounding_box() for side in ("del", "ins"))
    assert new["y"] >= old["y"] + old["height"]
    assert max(box["x"] + box["width"] for box in (old, new)) <= 390
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
