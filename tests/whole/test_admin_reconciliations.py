"""Comparisons in the admin: how they are asked for, and what their pages show to whom."""

import html as entities
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pipelines import lifecycle
from pipelines.admin import comparing
from pipelines.busy import alone
from pipelines.models import MOST_SAMPLE, AuditRecord, Connection, Pipeline, Reconciliation
from runner.reconcile import Level
from tests.factories import PipelineFactory, ReconciliationFactory, UserFactory, WorkerFactory
from tests.whole.admin_pages import GROUPS, listing, page, person, said
from tests.whole.every_page import DIFFERING

pytestmark = pytest.mark.django_db

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def films(target):
    """A pipeline whose target lacks a row of its source, and has another title in one."""
    target.execute("CREATE SCHEMA analytics")
    target.execute("CREATE TABLE analytics.film (id int PRIMARY KEY, title text)")
    target.execute("INSERT INTO analytics.film VALUES (1, 'Alien'), (2, 'Heat')")
    return PipelineFactory(
        name="films",
        source_query="SELECT * FROM (VALUES (1, 'Alien'), (2, 'Heat 2'), (3, 'Ran')) v (id, title)",
        target_table="analytics.film",
        key_columns=["id"],
    )


def text(client, row, name="change"):
    answer = client.get(page(row, name))
    assert answer.status_code == 200
    return entities.unescape(re.sub(r"\s+", " ", answer.content.decode()))


def compare(client, pipeline, **form):
    return client.post(page(pipeline, "reconcile"), form)


# Asking.


def test_the_question_begins_with_what_the_pipeline_makes_possible():
    with_key, without = PipelineFactory(key_columns=["id"]), PipelineFactory()
    found_one = PipelineFactory()
    ReconciliationFactory(pipeline=found_one, key=["id"])
    client = person("operator")

    def level(pipeline):
        return client.get(page(pipeline, "reconcile")).context["form"]["level"].value()

    assert [level(row) for row in (with_key, without, found_one)] == ["rows", "checksum", "rows"]
    assert "names no key columns" in text(client, without, "reconcile")


def test_asking_again_begins_with_what_was_asked():
    row = ReconciliationFactory(level="checksum", sample_size=7, tolerances={"price": 0.01})
    path = page(row.pipeline, "reconcile")
    client = person("operator")

    again = client.get(path, {"again": row.pk}).context["form"]
    closer = client.get(path, {"again": row.pk, "level": "rows"}).context["form"]
    strange = client.get(path, {"again": "x", "level": "y"}).context["form"]

    values = {name: again[name].value() for name in again.fields}
    assert values == {"level": "checksum", "sample": 7, "tolerances": "price = 0.01"}
    assert (closer["level"].value(), closer["sample"].value()) == ("rows", 7)
    assert strange["level"].value() == "rows"


@pytest.mark.parametrize(
    ("level", "found"),
    [
        ("count", "The source has 1 row more than the target."),
        ("checksum", "The rows are not the same."),
        ("rows", "2 rows differ."),
    ],
)
def test_a_comparison_that_takes_a_moment_lands_on_its_answer(films, level, found):
    client = person("operator")

    answer = compare(client, films, level=level, sample="5", tolerances="")

    row = Reconciliation.objects.get()
    assert answer.url == page(row)
    assert (row.level, row.requested_by) == (level, client.user)
    assert found in text(client, row)
    assert AuditRecord.objects.filter(action="reconcile").count() == 1


def test_a_long_comparison_lands_on_a_page_that_waits_for_a_worker(films, settings):
    settings.RECONCILE_ROWS_AT_ONCE = 0
    ReconciliationFactory(pipeline=films, source_count=9)
    client = person("operator")

    answer = compare(client, films, level="rows", sample="5", tolerances="price = 0.5\nsum = 1,5")

    row = Reconciliation.objects.get(status="REQUESTED")
    assert answer.url == page(row)
    assert (row.sample_size, row.tolerances) == (5, {"price": 0.5, "sum": 1.5})
    assert "no worker is there" in text(client, row)
    WorkerFactory()
    assert "You may leave this page" in text(client, row)


def test_a_comparison_that_cannot_be_made_lands_on_why(target):
    broken = PipelineFactory(source_query="SELECT id FROM nothing")
    client = person("operator")

    answer = compare(client, broken, level="count")

    row = Reconciliation.objects.get()
    assert (answer.url, row.status) == (page(row), "FAILED")
    shown = text(client, row)
    assert "does not exist" in shown
    assert "Correct the pipeline's definition" in shown


def test_a_busy_connection_is_told_on_the_question_whose_answers_stay(films):
    with alone(Connection.objects.get(name="default")):
        answer = compare(person("operator"), films, level="rows", sample="7", tolerances="")

    assert "is busy" in answer.content.decode()
    assert answer.context["form"]["sample"].value() == "7"
    assert not Reconciliation.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("sample", "many", f"from 0 to {MOST_SAMPLE}"),
        ("sample", str(MOST_SAMPLE + 1), f"from 0 to {MOST_SAMPLE}"),
        ("tolerances", "a = 1\nprice", "Line 2 is “price”."),
        ("tolerances", "price = 0", "Line 1 is “price = 0”."),
        ("tolerances", "price = nan", "Line 1 is “price = nan”."),
        ("tolerances", "= 1", "Line 1 is “= 1”."),
        ("tolerances", "\n".join(f"c{n} = 1" for n in range(101)), "at most 100 tolerances"),
        ("level", "closest", "Select a valid choice."),
    ],
)
def test_what_is_wrong_with_an_answer_is_said_at_its_field(field, value, sentence):
    form = {"level": "rows", "sample": "5", "tolerances": "", field: value}

    answer = compare(person("operator"), PipelineFactory(), **form)

    assert answer.status_code == 200
    assert sentence in " ".join(answer.context["form"].errors[field])
    assert not Reconciliation.objects.exists()


def test_counting_does_not_care_for_tolerances(films):
    compare(person("operator"), films, level="count", sample="many", tolerances="what")

    assert Reconciliation.objects.get().tolerances == {}


def test_comparing_too_often_is_refused_on_the_question(films, settings):
    settings.LIMIT_RECONCILE = 1
    client = person("operator")
    compare(client, films, level="count")

    answer = compare(client, films, level="count")

    assert "1 time in a minute" in answer.content.decode()
    assert Reconciliation.objects.count() == 1


# Counting many.


def count_many(client, *pipelines):
    keys = [row.pk for row in pipelines]
    body = {"action": "reconcile", "_selected_action": keys}
    return client.post(listing(Pipeline), body, follow=True)


def test_many_are_counted_with_a_sentence_for_each(films):
    same = PipelineFactory(
        name="same", source_query="SELECT 1 AS id UNION SELECT 2", target_table="analytics.film"
    )
    broken = PipelineFactory(name="broken", source_query="SELECT id FROM nothing")

    answer = count_many(person("operator"), films, same, broken)

    found = {str(message): message.level_tag for message in answer.context["messages"]}
    refusal = next(sentence for sentence in found if "broken" in sentence)
    assert "does not exist" in refusal
    assert found == {
        "“films”: rows in the source 3, in the target 2. "
        "Source and target do not have as many rows.": "warning",
        "“same”: rows in the source 2, in the target 2.": "success",
        refusal: "error",
    }


def test_counting_many_ends_in_time(films, monkeypatch):
    clock = iter(range(0, 1000, 100))
    monkeypatch.setattr(comparing, "monotonic", lambda: next(clock))

    answer = count_many(person("operator"), films, PipelineFactory(), PipelineFactory())

    refused = [one for one in said(answer) if "those before it took 30 seconds" in one]
    assert len(refused) == 2


# The page.


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_sees_as_much_of_a_comparison_as_it_may(group):
    row = ReconciliationFactory(**DIFFERING)
    client = person(group)

    shown = text(client, row)

    assert "4 rows differ." in shown
    assert "2 of 3 ranges of keys differ." in shown
    sees_keys, sees_values = group != "viewer", group in ("editor", "administrator")
    assert ("id from 10 up to" in shown, "Different rows" in shown) == (sees_keys, sees_keys)
    assert ("Alien" in shown, "Gone" in shown) == (sees_values, sees_values)
    assert ("shown to people who may compare" in shown) == (group == "viewer")
    assert ("shown to people who may preview" in shown) == (group == "operator")
    assert ("Compare again" in shown) == sees_keys


def test_old_and_new_stand_side_by_side_with_what_differs_marked():
    row = ReconciliationFactory(**DIFFERING)

    shown = text(person("editor"), row)

    assert 'Alien <del class="etl-old">3</del>' in shown
    assert 'Alien <ins class="etl-new">2</ins>' in shown
    assert '<span class="etl-nothing">empty</span>' in shown
    assert '<span class="etl-nothing">NULL</span>' in shown
    assert "1 of 2 rows are kept. Compare again with more rows to show" in shown


def test_a_hostile_key_and_its_values_are_only_text():
    change = {"column": HOSTILE, "source": HOSTILE, "target": HOSTILE[::-1]}
    row = ReconciliationFactory(
        status="WARNING",
        different=1,
        key=[HOSTILE],
        notes=[HOSTILE],
        rows=[{"kind": "different", "key": [HOSTILE], "changes": [change]}],
        ranges=[
            {"low": None, "high": HOSTILE, "source": 1, "target": 1, "missing": 0, "extra": 0}
            | {"different": 1, "differs": True},
            {"low": HOSTILE, "high": None, "source": 1, "target": 1, "missing": 0, "extra": 0}
            | {"different": 0, "differs": False},
        ],
    )

    body = person().get(page(row)).content.decode()

    assert "<img" not in body
    assert body.count("&lt;img src=x") >= 6


@pytest.mark.parametrize("status", ["OK", "WARNING"])
@pytest.mark.parametrize("level", ["count", "checksum", "rows"])
@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (1, 1), (5, 1200)])
def test_every_answer_has_a_sentence(status, level, counts):
    looked = {} if level == "rows" else dict.fromkeys(("missing", "extra", "different"))
    row = ReconciliationFactory(
        status=status, level=level, source_count=counts[0], target_count=counts[1], **looked
    )

    answer = person("viewer").get(page(row))

    assert answer.context["sentence"].endswith(".")


def test_a_comparison_that_was_never_claimed_has_a_page():
    row = lifecycle.ask(
        PipelineFactory(), level=Level.ROWS, sample=1, tolerances={}, by=UserFactory()
    )

    assert "It waits for a worker" in text(person("viewer"), row)


def test_neighbours_are_of_the_same_pipeline():
    first = ReconciliationFactory()
    ReconciliationFactory()
    second = ReconciliationFactory(pipeline=first.pipeline)
    client = person("viewer")

    older, newer = client.get(page(first)).context, client.get(page(second)).context

    assert (older.get("previous"), older["next"]) == (None, page(second))
    assert (newer["previous"], newer.get("next")) == (page(first), None)


# Cancelling.


def test_a_comparison_that_waits_is_cancelled():
    row = ReconciliationFactory(status="REQUESTED", finished_at=None, source_count=None)

    answer = person("operator").post(page(row, "cancel"), follow=True)

    row.refresh_from_db()
    assert row.status == "CANCELLED"
    assert said(answer) == ["The comparison is cancelled."]


def test_cancelling_one_that_is_being_made_is_noted_once():
    row = ReconciliationFactory(open=True)
    client = person("operator")

    answer = client.post(page(row, "cancel"), follow=True)

    row.refresh_from_db()
    assert (row.status, row.cancel_requested_at is None) == ("RUNNING", False)
    assert said(answer) == ["The comparison is being cancelled."]
    shown = text(client, row)
    assert "It is being cancelled." in shown
    assert page(row, "cancel") not in shown


def test_cancelling_one_that_has_ended_is_refused():
    row = ReconciliationFactory()

    answer = person("operator").post(page(row, "cancel"), follow=True)

    assert said(answer) == ["The comparison has ended already."]


# The list, and the pipeline's page.


def listed(client, **parameters):
    answer = client.get(listing(Reconciliation), parameters)
    assert answer.status_code == 200
    return [row.pk for row in answer.context["cl"].result_list]


def test_the_list_is_newest_first_filtered_and_searched():
    films = ReconciliationFactory(pipeline=PipelineFactory(name="films"), level="count")
    other = ReconciliationFactory(**DIFFERING)
    client = person("viewer")

    assert listed(client) == [other.pk, films.pk]
    assert listed(client, level__exact="count") == [films.pk]
    assert listed(client, status__exact="WARNING") == [other.pk]
    assert listed(client, pipeline__id__exact=str(films.pipeline.pk)) == [films.pk]
    assert listed(client, q="films") == [films.pk]
    assert (
        "missing: 1, extra: 1, different: 2"
        in person("viewer").get(listing(Reconciliation)).content.decode()
    )


def test_the_list_does_not_read_what_only_a_page_shows():
    ReconciliationFactory(**DIFFERING)
    client = person("viewer")

    with CaptureQueriesContext(connection) as captured:
        listed(client)

    assert not any('"pipelines_reconciliation"."rows"' in one["sql"] for one in captured)


def test_an_empty_list_says_what_to_do():
    assert (
        "Open a pipeline and press Compare"
        in person("viewer").get(listing(Reconciliation)).content.decode()
    )


def test_the_page_of_a_pipeline_shows_its_last_comparison():
    pipeline = PipelineFactory()
    client = person("operator")
    assert "Compare now" in text(client, pipeline)
    assert "Compare now" not in text(person("viewer"), pipeline)
    ReconciliationFactory(pipeline=pipeline)
    last = ReconciliationFactory(pipeline=pipeline, **DIFFERING)

    shown = text(client, pipeline)

    assert page(last) in shown
    assert "4 rows differ. Missing: 1, extra: 1, different: 2." in shown
    assert f"{listing(Reconciliation)}?pipeline__id__exact={pipeline.pk}" in shown


def test_the_page_of_a_pipeline_asks_again_while_it_is_compared():
    pipeline = PipelineFactory()
    row = ReconciliationFactory(pipeline=pipeline, open=True, rows_done=1, rows_of=4)
    client = person("viewer")

    assert client.get(page(pipeline)).context["live_url"] == page(pipeline, "live")
    assert 'aria-valuenow="25"' in text(client, pipeline, "live")
    Reconciliation.objects.filter(pk=row.pk).update(status="OK", lease_until=None)
    assert client.get(page(pipeline, "live")).context["live_url"] is None


def test_comparisons_go_with_their_pipeline_and_are_counted_before():
    pipeline = PipelineFactory()
    ReconciliationFactory.create_batch(2, pipeline=pipeline)

    assert "comparisons: 2" in text(person(), pipeline, "delete").lower()
