"""Repairing from the admin: what a comparison found is confirmed, then a run moves those rows."""

import html as entities
import re

import pytest

from pipelines.choices import RunKind
from pipelines.models import AuditRecord, Pipeline, PipelineRun, Reconciliation
from pipelines.states import PipelineStatus
from tests.factories import PipelineFactory, ReconciliationFactory, RunFactory
from tests.whole.admin_pages import page, person, said, standing
from tests.whole.every_page import DIFFERING

pytestmark = pytest.mark.django_db

FOUND = {"missing": 1, "extra": 2, "different": 4, "status": "WARNING"}


def text(client, row, name="change"):
    answer = client.get(page(row, name))
    assert answer.status_code == 200
    return entities.unescape(re.sub(r"<[^>]*>|\s+", " ", answer.content.decode()))


def has_button(client, row):
    return page(row, "repair") in client.get(page(row)).content.decode()


@pytest.fixture
def found():
    return ReconciliationFactory(**FOUND)


def test_the_page_says_how_many_rows_would_change(found):
    shown = re.sub(r"\s+", " ", text(person("operator"), found, "repair"))

    for words in ("1 To insert", "4 To update", "2 To delete", "Repair 7 rows"):
        assert words in shown
    assert "films" not in shown


def test_what_is_confirmed_is_asked_for(found):
    client = person("operator")

    answer = client.post(page(found, "repair"), {"max_rows": "7"}, follow=True)

    assert answer.redirect_chain[0][0] == page(found.pipeline)
    pipeline = Pipeline.objects.get()
    assert (pipeline.status, pipeline.repair, pipeline.repair_limit) == (
        PipelineStatus.RUN_REQUESTED,
        found,
        7,
    )
    assert said(answer) == [f"A repair of “{pipeline.name}” is requested."]
    record = AuditRecord.objects.get(action="repair")
    assert record.user == client.user


@pytest.mark.parametrize("number", ["", "0", "-1", "many", str(2**53 + 1), "6"])
def test_less_than_was_found_confirms_nothing(found, number):
    answer = person("operator").post(page(found, "repair"), {"max_rows": number})

    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert Pipeline.objects.get().status == PipelineStatus.IDLE


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "OK", "missing": 0, "extra": 0, "different": 0},
        {"level": "checksum", "missing": None},
        {"key": []},
        {"status": "FAILED"},
    ],
)
def test_what_cannot_be_repaired_has_no_button_and_says_why(columns):
    row = ReconciliationFactory(**(FOUND | columns))
    client = person("operator")

    assert not has_button(client, row)
    answer = client.post(page(row, "repair"), {"max_rows": "7"})
    assert answer.context["refusal"]
    assert Pipeline.objects.get().status == PipelineStatus.IDLE


def test_a_definition_that_changed_since_is_compared_again_first(found):
    client = person("operator")
    assert has_button(client, found)
    Pipeline.objects.update(source_query="SELECT 2 AS id")

    assert "The definition has changed since the comparison." in text(client, found, "repair")


def test_a_pipeline_that_runs_is_not_repaired_meanwhile():
    pipeline = standing(PipelineStatus.RUNNING, key_columns=["id"])
    row = ReconciliationFactory(pipeline=pipeline, **FOUND)

    answer = person("operator").post(page(row, "repair"), {"max_rows": "7"})

    assert answer.context["form"].non_field_errors()
    assert Pipeline.objects.get().repair is None


def test_a_disabled_pipeline_is_not_repaired():
    row = ReconciliationFactory(pipeline=PipelineFactory(enabled=False), **FOUND)

    answer = person("operator").post(page(row, "repair"), {"max_rows": "7"})

    assert "disabled" in " ".join(answer.context["form"].non_field_errors())


def test_viewers_see_what_was_found_and_repair_nothing(found):
    client = person("viewer")

    assert not has_button(client, found)
    assert client.get(page(found, "repair")).status_code == 403
    assert client.post(page(found, "repair"), {"max_rows": "7"}).status_code == 403


def test_a_comparison_shows_its_repairs_and_a_repair_its_comparison(found):
    run = RunFactory(pipeline=found.pipeline, kind=RunKind.REPAIR, reconciliation=found)
    client = person("operator")

    assert page(run) in client.get(page(found)).content.decode()
    assert page(found) in client.get(page(run)).content.decode()
    assert not has_button(client, found)
    assert "API, repair" in text(client, found.pipeline)


def test_after_a_repair_both_sides_are_equal(target, work_once):
    target.execute("CREATE SCHEMA analytics")
    target.execute("CREATE TABLE analytics.film (id int PRIMARY KEY, title text)")
    target.execute("INSERT INTO analytics.film VALUES (1, 'Alien'), (2, 'Heat'), (9, 'Gone')")
    pipeline = PipelineFactory(
        source_query="SELECT * FROM (VALUES (1, 'Alien'), (2, 'Heat 2'), (3, 'Ran')) v (id, title)",
        target_table="analytics.film",
        key_columns=["id"],
    )
    client = person("operator")
    client.post(page(pipeline, "reconcile"), {"level": "rows", "sample": "5", "tolerances": ""})
    row = Reconciliation.objects.get()

    client.post(page(row, "repair"), {"max_rows": "3"})
    assert work_once() is True

    run = PipelineRun.objects.get()
    assert (run.kind, run.rows_written, run.error_message) == (RunKind.REPAIR, 3, None)
    client.post(page(pipeline, "reconcile"), {"level": "rows", "sample": "5", "tolerances": ""})
    assert Reconciliation.objects.order_by("-requested_at").first().status == "OK"
    assert "A later comparison found nothing that differs." in text(client, row, "repair")


def test_rows_kept_of_every_kind_are_counted(target):
    row = ReconciliationFactory(**DIFFERING)

    assert "Repair 4 rows" in text(person("operator"), row, "repair")
