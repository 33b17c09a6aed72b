"""The admin in a real browser: from signing in to rows that moved, nothing amiss on the way."""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.models import Connection, Pipeline, PipelineRun, Worker
from tests.factories import PipelineFactory, RunFactory
from tests.whole import browsing
from tests.whole.admin_pages import listing, page
from tests.whole.editing import write_query

pytestmark = pytest.mark.browser


def test_a_newcomer_adds_a_connection_and_a_pipeline_and_sees_rows_move(
    tab, source, source_url, target, work_once
):
    source.execute("CREATE SCHEMA content; CREATE TABLE content.film (id int, title text)")
    source.execute("INSERT INTO content.film SELECT n, 'Film ' || n FROM generate_series(1, 42) n")
    target.execute("CREATE SCHEMA analytics")
    address = urlsplit(source_url)

    tab.get_by_role("link", name="Add connection").click()
    tab.get_by_label("Name").fill("shop")
    tab.get_by_label("Host").fill(address.hostname)
    tab.get_by_label("Port").fill(str(address.port))
    tab.get_by_label("Database").fill(address.path.lstrip("/"))
    tab.get_by_label("User").fill(address.username)
    tab.get_by_label("Password", exact=True).fill(address.password)
    tab.get_by_label("TLS").select_option("disable")
    tab.get_by_role("button", name="Save").click()
    tab.get_by_role("button", name="Test").click()
    expect(tab.get_by_text("Connected: PostgreSQL")).to_be_visible()

    tab.goto("/admin/")
    tab.get_by_role("link", name="Create pipeline").click()
    tab.get_by_label("Name").fill("films")
    tab.get_by_label("Source connection").select_option(label="shop")
    write_query(tab, "SELECT id, titel FROM content.film")
    tab.get_by_label("Target table").fill("analytics.film")
    tab.get_by_label("Key columns").fill("id")
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_text('column "titel" does not exist')).to_be_visible()
    expect(tab.locator(".ace_gutter-cell.ace_error")).to_be_visible()
    write_query(tab, "SELECT id, title FROM content.film")
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_text("the first run makes it, with 2 columns")).to_be_visible()

    tab.get_by_role("button", name="Run").click()
    expect(tab.get_by_text("A run of “films” is requested.")).to_be_visible()
    assert work_once() is True
    # The page finds out by itself, and then asks no more.
    expect(tab.get_by_text("The last run ended well")).to_be_visible()
    expect(tab.get_by_role("cell", name="42").first).to_be_visible()
    expect(tab.locator("#etl-live")).not_to_have_attribute("hx-get", re.compile("."))
    assert target.execute("SELECT count(*) FROM analytics.film").fetchone() == (42,)


def test_verbs_are_asked_from_the_list(tab, target):
    target.execute("CREATE SCHEMA analytics")
    default = Connection.objects.get(name="default")
    for name in ("one", "two", "three"):
        Pipeline.objects.create(
            name=name,
            source_connection=default,
            target_connection=default,
            source_query="SELECT 1 AS id",
            target_table=f"analytics.{name}",
        )

    tab.get_by_role("link", name="Pipelines").first.click()
    tab.get_by_role("row", name="three").get_by_role("button", name="Run").click()
    expect(tab.get_by_text("A run of “three” is requested.")).to_be_visible()
    # What is selected stays so while the list asks itself again.
    tab.get_by_role("row", name="two").get_by_role("checkbox").check()
    lifecycle.request_run(Pipeline.objects.get(name="one").pk, by=None, trigger=Trigger.API)
    expect(tab.get_by_role("row", name="one")).to_contain_text("Run requested")
    lifecycle.request_cancel(Pipeline.objects.get(name="one").pk, by=None)
    expect(tab.get_by_role("row", name="one")).to_contain_text("Idle")
    for name in ("one", "two", "three"):
        tab.get_by_role("row", name=name).get_by_role("checkbox").check()
    expect(tab.get_by_text("3 of 3 selected")).to_be_visible()
    tab.get_by_label("Select action to run").select_option("cancel")
    tab.locator("button[name=index]").click()

    expect(tab.get_by_text("1 pipeline is cancelled")).to_be_visible()
    expect(tab.get_by_text("“one”: There is nothing to cancel")).to_be_visible()
    expect(tab.get_by_text("“two”: There is nothing to cancel")).to_be_visible()
    assert set(Pipeline.objects.values_list("status", flat=True)) == {"IDLE"}


def test_a_checkpoint_is_reset_after_a_question(tab, work_once, target):
    target.execute("CREATE SCHEMA analytics")
    default = Connection.objects.get(name="default")
    pipeline = Pipeline.objects.create(
        name="more",
        mode="incremental",
        incremental_key="id",
        key_columns=["id"],
        source_connection=default,
        target_connection=default,
        source_query="SELECT n AS id FROM generate_series(1, 7) AS n",
        target_table="analytics.more",
    )
    tab.goto(page(pipeline))
    tab.get_by_role("button", name="Run").click()
    assert work_once() is True
    tab.reload()

    tab.get_by_role("link", name="Reset checkpoint").click()
    tab.get_by_role("button", name="Reset checkpoint").click()

    expect(tab.get_by_text("its next run reads everything")).to_be_visible()
    expect(tab.get_by_text("None yet: the next run reads everything.")).to_be_visible()


def test_every_page_opens_without_a_complaint(tab, work_once, target):
    target.execute("CREATE SCHEMA analytics")
    default = Connection.objects.get(name="default")
    for name, query in (("good", "SELECT 1 AS id"), ("bad", "SELECT 1/0 AS id")):
        made = Pipeline.objects.create(
            name=name,
            source_connection=default,
            target_connection=default,
            source_query=query,
            target_table=f"analytics.{name}",
        )
        tab.goto(page(made))
        tab.get_by_role("button", name="Run").click()
        work_once()

    models = (Pipeline, PipelineRun, Connection, Worker)
    paths = ["/admin/", "/admin/auth/user/", "/admin/auth/user/add/", "/admin/auth/group/"]
    paths += ["/admin/knox/authtoken/", "/admin/password_change/"]
    paths += [listing(model) for model in models]
    paths += [listing(Pipeline, "add"), listing(Connection, "add")]
    paths += [page(row) for model in models for row in model.objects.all()]
    paths += [page(row, "delete") for row in Pipeline.objects.all()]

    for path in paths:
        tab.goto(path)
        assert tab.title(), path


def test_a_browser_that_cannot_be_had_is_a_failure_with_a_sentence(monkeypatch, tmp_path):
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(browsing, "DEBIANS", broken)
    # In a thread of its own: one can hold no more than one Playwright.
    with ThreadPoolExecutor() as threads:
        failed = threads.submit(lambda: browsing.started().__enter__()).exception()

    assert isinstance(failed, pytest.fail.Exception)
    assert "No browser could be started" in str(failed)
    assert "make browser" in str(failed)


def test_the_first_page_follows_what_goes_on_and_then_rests(tab):
    pipeline = PipelineFactory(name="films", status="FAILED")
    why = {"status": "FAILED", "error_message": "No route to the source."}
    RunFactory(pipeline=pipeline, generation=1, **why)
    tab.goto("/admin/")
    expect(tab.get_by_text("No route to the source.")).to_be_visible()
    expect(tab.locator("#etl-failing")).to_contain_text("1 pipeline is failing")
    tab.locator("canvas").evaluate("drawn => { drawn.isTheSame = true }")

    tab.get_by_role("button", name="Run again: films").click()
    expect(tab.get_by_text("A run of “films” is requested.")).to_be_visible()
    expect(tab.locator("#etl-moving")).to_have_attribute("hx-get", "/admin/")
    tab.locator("canvas").evaluate("drawn => { drawn.isTheSame = true }")
    tab.locator("#etl-all-failing").focus()
    lifecycle.request_pause(pipeline.pk, by=None)
    expect(tab.locator("#etl-count-pause_requested strong")).to_have_text("1", timeout=15_000)
    # What had the focus has it still, and the chart was not drawn again.
    expect(tab.locator("#etl-all-failing")).to_be_focused()
    assert tab.locator("canvas").evaluate("drawn => drawn.isTheSame") is True

    Pipeline.objects.filter(pk=pipeline.pk).update(status="IDLE")
    RunFactory(pipeline=pipeline, generation=2)
    expect(tab.get_by_text("No pipeline is failing, and none is overdue.")).to_be_visible(
        timeout=15_000
    )
    expect(tab.locator("#etl-moving")).not_to_have_attribute("hx-get", "/admin/")
    expect(tab.locator("#etl-failing")).to_be_hidden()
    expect(tab.locator("#etl-latest").get_by_role("link", name="films")).to_have_count(2)
