"""The first page: what fails, what is running, what is overdue, and the last day as a chart."""

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.utils import timezone

from pipelines.admin import failing
from pipelines.admin.overview import at_work, overdue, workers
from pipelines.models import Pipeline, PipelineRun, Worker
from pipelines.states import RunStatus
from tests.factories import PipelineFactory, RunFactory, WorkerFactory
from tests.whole.admin_pages import listing, page, person, said, standing

pytestmark = pytest.mark.django_db


def ran(pipeline: Pipeline, *hours_ago: float, status: str = RunStatus.SUCCESS) -> None:
    """Runs that ended so many hours ago, the oldest first."""
    for number, hours in enumerate(hours_ago, start=1):
        run = RunFactory(pipeline=pipeline, generation=number, status=status)
        at = timezone.now() - timedelta(hours=hours)
        PipelineRun.objects.filter(pk=run.pk).update(
            started_at=at - timedelta(minutes=1), finished_at=at, rows_written=1000
        )


def text(group: str = "viewer") -> str:
    """The first page."""
    answer = person(group).get("/admin/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def chart(html: str) -> Any:
    """What the chart draws."""
    found = re.search(r'data-type="bar" data-value="([^"]*)"', html)
    return json.loads(unescape(found[1])) if found else None


@pytest.mark.parametrize(
    ("hours", "is_overdue"),
    [
        ((10, 9, 8, 7, 6), True),
        ((5, 4, 3, 2), False),
        ((6.5, 5.5, 4.5, 3.5), True),
        ((10, 9, 8), False),
        ((100, 50, 49, 48, 47), True),
        ((40, 30, 20, 10), False),
        ((0.088, 0.087, 0.086, 0.085), True),
        ((0.083, 0.082, 0.081, 0.080), False),
    ],
)
def test_a_pipeline_is_overdue_by_what_is_usual_for_it(
    hours: tuple[float, ...], is_overdue: bool
) -> None:
    pipeline = PipelineFactory()
    ran(pipeline, *hours)
    assert bool(overdue()) is is_overdue
    assert (str(pipeline) in text()) is True
    assert ("Overdue" in text()) is is_overdue


def test_failures_do_not_make_up_for_a_missing_success() -> None:
    pipeline = PipelineFactory()
    ran(pipeline, 10, 9, 8, 7)
    RunFactory(pipeline=pipeline, generation=9, status=RunStatus.FAILED)
    assert [row.pk for row in overdue()] == [pipeline.pk]
    Pipeline.objects.update(enabled=False)
    assert overdue() == []


def test_what_is_running_is_shown_with_its_rows() -> None:
    run = RunFactory(status=RunStatus.RUNNING, rows_read=12_345)
    assert [row["rows"] for row in at_work()] == ["12,345"]
    html = text()
    assert "Running now" in html
    assert page(run) in html


def test_the_last_day_is_drawn_by_the_hour() -> None:
    ran(PipelineFactory(), 30, 2, 1)
    ran(PipelineFactory(), 1, status=RunStatus.FAILED)

    html = text()
    drawn = chart(html)

    assert len(drawn["labels"]) == 24
    assert {bars["label"]: sum(bars["data"]) for bars in drawn["datasets"]} == {
        "Success": 2,
        "Failed": 1,
    }
    assert "3 runs" in html
    assert "3,000 rows written" in html


def test_a_day_without_runs_has_no_chart() -> None:
    ran(PipelineFactory(), 30)
    assert chart(text()) is None


# What fails.


def results(pipeline: Pipeline, *statuses: str) -> None:
    """Runs that ended so, an hour apart, the last one an hour ago."""
    for number, status in enumerate(statuses):
        run = RunFactory(
            pipeline=pipeline,
            generation=number + 1,
            status=status,
            error_message=f"Error {number}." if status == "FAILED" else None,
        )
        at = timezone.now() - timedelta(hours=len(statuses) - number)
        ended = None if status == "RUNNING" else at
        PipelineRun.objects.filter(pk=run.pk).update(started_at=at, finished_at=ended)


def panel(group: str = "operator") -> Any:
    """What the panel of failing pipelines shows."""
    return person(group).get("/admin/").context["failing"]


@pytest.mark.parametrize(
    ("status", "before", "failures"),
    [
        ("FAILED", ["SUCCESS", "FAILED"], 1),
        ("FAILED", ["FAILED", "SUCCESS", "FAILED", "FAILED", "FAILED"], 3),
        ("FAILED", ["FAILED", "FAILED"], 2),
        ("FAILED", ["SUCCESS", "FAILED", "CANCELLED", "FAILED"], 2),
        ("RUN_REQUESTED", ["SUCCESS", "FAILED", "FAILED"], 2),
        ("RUNNING", ["SUCCESS", "FAILED", "FAILED", "RUNNING"], 2),
        ("IDLE", ["FAILED", "SUCCESS"], 0),
        ("IDLE", ["FAILED", "CANCELLED"], 0),
        ("IDLE", [], 0),
        ("RUNNING", ["FAILED", "SUCCESS", "RUNNING"], 0),
    ],
)
def test_a_pipeline_fails_from_its_first_failure_to_its_next_success(
    status: str, before: list[str], failures: int
) -> None:
    results(standing(status, name="films"), *before)

    shown = panel()

    assert [row["failures"] for row in shown["rows"]] == [failures] * bool(failures)
    assert failing.how_many() == bool(failures)
    if failures:
        (row,) = shown["rows"]
        last = max(number for number, result in enumerate(before) if result == "FAILED")
        first_after = [n for n, result in enumerate(before) if result == "FAILED"][-failures]
        assert row["error"] == f"Error {last}."
        assert f">{len(before) - first_after} hour" in row["since"].replace(
            "\N{NO-BREAK SPACE}", " "
        )


def test_a_disabled_pipeline_does_not_fail() -> None:
    results(standing("FAILED", enabled=False), "FAILED")

    assert panel()["rows"] == []
    assert failing.how_many() == 0


def test_failures_are_counted_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failing, "MOST_COUNTED", 3)
    results(standing("FAILED"), *["FAILED"] * 5)

    assert "3 failures in a row or more" in text()


def test_the_longest_failing_come_first_and_the_latest_last() -> None:
    for hours in range(1, 9):
        pipeline = standing("FAILED", name=f"fails-{hours}")
        run = RunFactory(pipeline=pipeline, status="FAILED", error_message="Why.")
        at = timezone.now() - timedelta(hours=hours)
        PipelineRun.objects.filter(pk=run.pk).update(finished_at=at)

    shown = panel()

    assert [str(row["pipeline"]) for row in shown["rows"]] == [
        "fails-8",
        "fails-7",
        "fails-6",
        "fails-2",
        "fails-1",
    ]
    assert (shown["number"], shown["hidden"]) == (8, 3)
    html = text()
    assert "3 more between these and the latest" in html
    assert html.index(">fails-6<") < html.index("3 more between") < html.index(">fails-2<")


@pytest.mark.parametrize(
    ("group", "status", "is_offered"),
    [("operator", "FAILED", True), ("viewer", "FAILED", False), ("operator", "RUNNING", False)],
)
def test_it_is_run_again_by_who_may_and_while_that_fits(
    group: str, status: str, is_offered: bool
) -> None:
    pipeline = standing(status)
    results(pipeline, "FAILED")

    html = text(group)

    assert (f'action="{page(pipeline, "run")}"' in html) is is_offered
    assert (f'id="etl-open-{pipeline.pk}"' in html) is not is_offered


def test_run_again_leads_back_to_the_first_page() -> None:
    pipeline = standing("FAILED", name="films")
    results(pipeline, "FAILED")
    client = person("operator")

    answer = client.post(
        page(pipeline, "run"), headers={"referer": "http://testserver/admin/"}, follow=True
    )

    assert answer.redirect_chain == [("/admin/", 302)]
    assert said(answer) == ["A run of “films” is requested."]


def test_all_failing_are_a_list() -> None:
    results(standing("FAILED", name="fails"), "FAILED")
    results(standing("RUN_REQUESTED", name="is-tried-again"), "FAILED")
    results(PipelineFactory(name="went-well"), "FAILED", "SUCCESS")
    client = person("viewer")

    url = client.get("/admin/").context["failing"]["url"]
    shown = client.get(url).context["cl"].result_list

    assert {row.name for row in shown} == {"fails", "is-tried-again"}


def test_an_error_that_looks_like_markup_is_text() -> None:
    pipeline = standing("FAILED", name="<i>films</i>")
    RunFactory(pipeline=pipeline, status="FAILED", error_message="<img src=x>")

    html = text()

    assert "&lt;img src=x&gt;" in html
    assert "<img src=x>" not in html
    assert "<i>films" not in html


def test_while_all_is_well_the_page_says_so() -> None:
    pipeline = PipelineFactory()
    assert "No pipeline is failing" not in text()
    results(pipeline, "SUCCESS")
    assert "No pipeline is failing" in text()
    results(standing("FAILED"), "FAILED")
    assert "No pipeline is failing" not in text()


def test_the_sidebar_says_how_many_fail_to_who_may_know() -> None:
    assert '<span id="etl-failing"></span>' in text()
    for _ in range(2):
        results(standing("FAILED"), "FAILED")
    assert "2 pipelines are failing" in text("viewer")
    assert "etl-failing" not in person(None).get("/admin/").content.decode()


# Who works.


def test_the_workers_that_are_alive_are_shown_with_what_they_run() -> None:
    busy, _, gone = (WorkerFactory(label=name) for name in ("busy", "idle", "gone"))
    Worker.objects.filter(pk=gone.pk).update(last_seen_at=timezone.now() - timedelta(hours=1))
    pipeline = standing("RUNNING", name="films", worker=busy)
    run = RunFactory(pipeline=pipeline, status="RUNNING", worker=busy)
    began = timezone.now() - timedelta(minutes=5)
    PipelineRun.objects.filter(pk=run.pk).update(started_at=began)

    shown = {row["worker"].label: row["held"] for row in workers()["workers"]}

    assert shown.keys() == {"busy", "idle"}
    assert shown["idle"] == []
    assert [(str(held["pipeline"]), held["time"][:1]) for held in shown["busy"]] == [("films", "5")]
    html = text()
    assert page(busy) in html
    assert "waiting" in html
    assert page(gone) not in html


def test_of_many_workers_ten_are_shown() -> None:
    WorkerFactory.create_batch(10)
    assert "There are more of them" not in text()
    WorkerFactory()
    assert len(workers()["workers"]) == 10
    assert "There are more of them" in text()


def test_without_a_worker_the_page_says_how_to_start_one() -> None:
    assert "python manage.py runpipelines" in text()
    WorkerFactory()
    assert "python manage.py runpipelines" not in text()


# Keeping up to date.


@pytest.mark.parametrize(
    ("status", "asks"),
    [
        ("IDLE", False),
        ("FAILED", False),
        ("PAUSED", False),
        ("RUN_REQUESTED", True),
        ("RUNNING", True),
        ("PAUSE_REQUESTED", True),
    ],
)
def test_the_page_asks_again_only_while_something_is_going_on(status: str, asks: bool) -> None:
    standing(status)
    assert ('hx-trigger="every 5s"' in text()) is asks


def test_what_the_page_asks_for_again_leaves_the_chart_as_it_is() -> None:
    results(standing("RUNNING"), "SUCCESS", "RUNNING")

    html = person("viewer").get("/admin/", headers={"HX-Request": "true"}).content.decode()

    assert 'id="etl-moving"' in html
    assert 'id="etl-latest"' in html
    assert chart(html) is None
    assert chart(text()) is not None


def test_a_newcomer_is_led_to_the_first_rows() -> None:
    html = text("administrator")
    assert "Three steps to the first rows" in html
    assert listing(Pipeline, "add") in html
    assert "Running now" not in html


def test_who_may_nothing_sees_nothing() -> None:
    results(standing("FAILED", name="films"), "FAILED")
    answer = person(None).get("/admin/")
    assert b"films" not in answer.content
    assert b"etl-workers-title" not in answer.content
