"""Pages at their edges: the reader is signed out, the row is gone, filters are nonsense."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from pipelines.admin.said import said
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import RunStatus
from tests.factories import PipelineFactory, RunFactory
from tests.whole.admin_pages import listing, page, person, standing

pytestmark = pytest.mark.django_db
BY_ITSELF = {"HX-Request": "true"}


@pytest.mark.parametrize("path", ["/admin/", "/admin/pipelines/pipeline/rows/?of="])
def test_a_part_of_a_page_does_not_become_the_sign_in_page(path: str) -> None:
    answer = Client().get(path, headers=BY_ITSELF)
    assert (answer.status_code, answer.headers["HX-Refresh"], answer.content) == (200, "true", b"")
    assert Client().get(path).status_code == 302


def test_a_panel_of_a_pipeline_that_was_deleted_asks_no_more() -> None:
    pipeline = standing("RUNNING")
    address = page(pipeline, "live")
    Pipeline.objects.filter(pk=pipeline.pk).delete()
    answer = person("viewer").get(address, headers=BY_ITSELF)
    assert answer.headers["HX-Refresh"] == "true"
    assert person("viewer").get(address).status_code == 404


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (PipelineRun, "pipeline__id__exact=garbage"),
        (PipelineRun, "pipeline__id__exact="),
        (PipelineRun, "pipeline__id__exact=%00"),
        (PipelineRun, "status__exact=%00"),
        (Pipeline, "status__exact=%00"),
        (Pipeline, "q=%00"),
    ],
)
def test_a_filter_that_is_nonsense_is_no_500(model: type, query: str) -> None:
    answer = person("viewer").get(f"{listing(model)}?{query}", follow=True)
    assert answer.status_code == 200


def test_each_copy_has_a_table_of_its_own() -> None:
    original = PipelineFactory(name="films", target_table="analytics.films")
    PipelineFactory(name="films_copy", target_table="analytics.films_copy")
    address = f"{listing(Pipeline, 'add')}?copy_of={original.pk}"
    html = person("editor").get(address).content.decode()
    assert 'value="analytics.films_copy2"' in html


def test_a_pipeline_that_waits_for_its_next_try_says_why_the_last_one_failed() -> None:
    later = timezone.now() + timedelta(minutes=9)
    pipeline = standing("RUN_REQUESTED", next_attempt_at=later)
    RunFactory(pipeline=pipeline, status=RunStatus.FAILED, error_message="The source was lost.")
    client = person("viewer")
    assert "The source was lost." in client.get(page(pipeline)).content.decode()
    assert "The next try is in" in client.get("/admin/").content.decode()


def test_buttons_that_are_replaced_keep_the_focus_by_their_ids() -> None:
    html = person("operator").get(page(standing("RUNNING"), "live")).content.decode()
    assert all(f'id="etl-do-{verb}"' in html for verb in ("pause", "cancel"))


def test_a_run_that_is_being_cancelled_cannot_be_paused() -> None:
    pipeline = standing("RUNNING", cancel_requested_at=timezone.now())
    html = person("operator").get(page(pipeline, "live")).content.decode()
    assert 'id="etl-do-pause"' not in html


def test_times_in_sentences_are_the_readers() -> None:
    with timezone.override("Asia/Kathmandu"):
        told = said("It failed. Next try at 2026-11-23 05:40:11 UTC.")
    assert "2026-11-23 11:25:11" in told
    assert " UTC." not in told
