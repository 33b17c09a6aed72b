"""A pipeline's page: its tabs, charts, and a copy of it; the form's rules are in another file."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from pipelines.models import Pipeline
from pipelines.states import RunStatus
from tests.factories import PipelineFactory, RunFactory
from tests.whole.admin_pages import listing, new_pipeline, page, person

pytestmark = pytest.mark.django_db


def copied(pipeline, group="editor"):
    response = person(group).get(listing(Pipeline, "add"), {"copy_of": str(pipeline.pk)})
    return {name: response.context["adminform"].form[name].value() for name in ALL}


ALL = ("name", "target_table", "source_query", "mode", "incremental_key", "key_columns", "enabled")


# A copy.


def test_a_copy_has_the_definition_and_a_name_and_a_table_of_its_own():
    original = PipelineFactory(
        name="films",
        target_table="analytics.film",
        source_query="SELECT 1 AS id",
        mode="incremental",
        incremental_key="id",
        key_columns=["id"],
        enabled=False,
    )

    assert copied(original) == {
        "name": "films_copy",
        "target_table": "analytics.film_copy",
        "source_query": "SELECT 1 AS id",
        "mode": "incremental",
        "incremental_key": "id",
        "key_columns": "id",
        "enabled": False,
    }


def test_the_next_copy_has_the_next_name():
    original = PipelineFactory(name="films")
    PipelineFactory(name="films_copy")
    PipelineFactory(name="films_copy2")

    assert copied(original)["name"] == "films_copy3"


def test_the_longest_names_are_cut_to_what_may_be():
    original = PipelineFactory(name="f" * 200, target_table=f'analytics."{"я" * 31} "')

    values = copied(original)

    assert values["name"] == "f" * 195 + "_copy"
    assert values["target_table"] == f"analytics.{'я' * 29}_copy"


@pytest.mark.parametrize(
    "asked", ["", "x", "00000000-0000-0000-0000-000000000000", "\0", "'; DROP TABLE x"]
)
def test_a_copy_of_nothing_is_an_empty_form(asked):
    response = person("editor").get(listing(Pipeline, "add"), {"copy_of": asked})

    assert response.status_code == 200
    assert response.context["adminform"].form["name"].value() is None


def test_who_may_not_create_is_offered_no_copy():
    pipeline = PipelineFactory()
    offered = {
        group: [
            button.name
            for button in person(group).get(page(pipeline)).context["panel"]["buttons"]
            if button.name == "duplicate"
        ]
        for group in ("viewer", "operator", "editor", "administrator")
    }

    assert offered == {
        "viewer": [],
        "operator": [],
        "editor": ["duplicate"],
        "administrator": ["duplicate"],
    }


# The charts.


def run_of(pipeline, number, **columns):
    started = timezone.now() - timedelta(hours=100 - number)
    usual = {
        "status": RunStatus.SUCCESS,
        "rows_written": number * 10,
        "finished_at": started + timedelta(seconds=number),
    }
    return RunFactory(
        pipeline=pipeline, generation=number, started_at=started, **{**usual, **columns}
    )


def charts(pipeline):
    return person("viewer").get(page(pipeline)).context["charts"]


def test_the_last_runs_are_charted_oldest_first_each_in_its_colour():
    pipeline = PipelineFactory()
    for number in range(1, 61):
        run_of(pipeline, number, status=RunStatus.FAILED if number == 60 else RunStatus.SUCCESS)
    run_of(pipeline, 61, status=RunStatus.RUNNING, finished_at=None)

    seconds, rows = charts(pipeline)

    drawn = [json.loads(chart["data"])["datasets"][0] for chart in (seconds, rows)]
    assert drawn[0]["data"] == [float(number) for number in range(11, 61)]
    assert drawn[1]["data"] == [number * 10 for number in range(11, 61)]
    assert drawn[0]["backgroundColor"][0] != drawn[0]["backgroundColor"][-1]
    assert set(drawn[0]["backgroundColor"][:-1]) == {drawn[0]["backgroundColor"][0]}
    assert seconds["title"] == "Seconds, last 50 runs"
    assert rows["words"] == "Between 110 and 600; the last one 600."


def test_two_runs_are_not_charted():
    pipeline = PipelineFactory()
    for number in (1, 2):
        run_of(pipeline, number)

    assert charts(pipeline) == []


def test_the_charts_come_with_the_panels_when_a_run_has_ended():
    pipeline = PipelineFactory()
    for number in (1, 2, 3):
        run_of(pipeline, number)

    answer = person("viewer").get(page(pipeline, "live")).content.decode()

    assert 'id="etl-charts" class="etl-columns etl-scripted" hx-swap-oob="true"' in answer


# The form's tabs.


def test_a_tab_says_how_many_of_its_fields_are_wrong():
    response = person("editor").post(
        listing(Pipeline, "add"), new_pipeline(name="", target_table="x", batch_size="0")
    )

    text = response.content.decode()
    assert 'title="2 fields to correct">2<' in text
    assert 'title="1 field to correct">1<' in text


def test_every_field_of_the_definition_is_in_a_tab():
    form = person("editor").get(listing(Pipeline, "add")).context["adminform"]

    assert all("tab" in fieldset.classes for fieldset in form)
    shown = {field.field.name for fieldset in form for line in fieldset for field in line}
    assert shown == {*form.form.fields} - {"version"}
