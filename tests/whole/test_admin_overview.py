"""The first page: what is running, what is overdue, and the last day as a chart."""

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.utils import timezone

from pipelines.admin.overview import at_work, overdue
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import RunStatus
from tests.factories import PipelineFactory, RunFactory
from tests.whole.admin_pages import page, person

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
