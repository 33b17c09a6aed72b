"""Runs and workers in the admin, read-only; and the overview."""

import re
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from pipelines import lifecycle
from pipelines.admin import run_list
from pipelines.admin.words import EVENTS, PHASES
from pipelines.choices import Trigger
from pipelines.definition import freeze
from pipelines.models import Connection, Pipeline, PipelineRun, RunEvent, Worker
from pipelines.states import MOVES, PipelineStatus, RunStatus
from tests.factories import (
    ConnectionFactory,
    PipelineFactory,
    RunFactory,
    UserFactory,
    WorkerFactory,
)
from tests.whole.admin_pages import listing, page, person, standing


def text(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


# Runs.


@pytest.mark.parametrize("status", RunStatus.values)
def test_every_result_has_a_page(db, status):
    run = RunFactory(status=status, error_message="Why <it> failed.", sqlstate="42P01")

    html = text(person("viewer"), page(run))

    assert f">{RunStatus(status).label}<" in html
    assert "Why &lt;it&gt; failed." in html
    assert "42P01" in html


def test_a_failed_run_says_where_and_of_what_kind_the_error_was(db):
    run = RunFactory(
        status=RunStatus.FAILED,
        phase="load",
        batches=7,
        error_class="UniqueViolation",
        sqlstate="23505",
        error_message="A row violates the constraint “t_pkey”.",
    )

    html = text(person("viewer"), page(run))

    for said in ("Failed while</dt><dd>loading", "Batches before</dt><dd>7", "UniqueViolation"):
        assert said in html
    assert "SQLSTATE</dt><dd>23505" in html


def test_the_page_shows_the_definition_as_it_was_frozen(db):
    pipeline = PipelineFactory(source_query="SELECT 1 AS id\nWHERE 1 < 2", key_columns=["a", "b"])
    run = RunFactory(pipeline=pipeline, definition=freeze(pipeline))
    pipeline.source_query = "SELECT 'changed since'"
    lifecycle.edit(pipeline, {"source_query"}, by=UserFactory())

    html = text(person("viewer"), page(run))

    assert "SELECT 1 AS id\nWHERE 1 &lt; 2</pre>" in html
    assert "changed since" not in html
    assert "<dd>a, b</dd>" in html


def test_a_run_without_a_definition_has_a_page_too(db):
    assert text(person("viewer"), page(RunFactory(definition={})))


@pytest.mark.django_db(transaction=True)
def test_the_page_shows_what_happened_in_order():
    pipeline, asker = PipelineFactory(), UserFactory(username="anna")
    lifecycle.request_run(pipeline.pk, by=asker, trigger=Trigger.ADMIN)
    worker = WorkerFactory(label="moving-host")
    held = lifecycle.claim(worker=worker.pk, lease=30)
    lifecycle.request_pause(pipeline.pk, by=asker)
    lifecycle.paused(held, lifecycle.Result(rows_read=5))
    RunEvent.objects.create(pipeline=pipeline, event="checkpoint reset", at=Now())

    answer = person("viewer").get(page(held.run))

    shown = [(str(event["text"]), str(event["by"])) for event in answer.context["events"]]
    assert shown == [
        ("Run requested", "anna"),
        ("A worker took it", str(worker)),
        ("Pause requested", "anna"),
        ("Paused", str(worker)),
    ]


def test_every_event_and_phase_has_words_of_its_own():
    assert {move.event for move in MOVES} <= set(EVENTS)
    assert set(PHASES) >= {"connect", "load", "publish"}


def test_a_run_cannot_be_changed(db):
    run = RunFactory()

    assert person().post(page(run), {"status": "SUCCESS", "rows_read": "1"}).status_code == 403


def runs_shown(client, **parameters):
    answer = client.get(listing(PipelineRun), parameters)
    assert answer.status_code == 200
    return {row.pk for row in answer.context["cl"].result_list}


def test_the_list_of_runs_is_filtered_and_searched(db):
    films = RunFactory(pipeline=PipelineFactory(name="films"))
    failed = RunFactory(status=RunStatus.FAILED, error_message="No route.", trigger=Trigger.RETRY)
    client = person("viewer")

    assert runs_shown(client) == {films.pk, failed.pk}
    assert runs_shown(client, status__exact="FAILED") == {failed.pk}
    assert runs_shown(client, trigger__exact="retry") == {failed.pk}
    assert runs_shown(client, pipeline__id__exact=str(films.pipeline.pk)) == {films.pk}
    assert runs_shown(client, q="films") == {films.pk}
    assert runs_shown(client, q="no route") == {failed.pk}


def test_each_word_is_searched_in_the_name_and_in_the_error(db):
    films = PipelineFactory(name="films")
    told = RunFactory(pipeline=films, status=RunStatus.FAILED, error_message="No route to it.")
    quiet = RunFactory(pipeline=films)
    RunFactory(status=RunStatus.FAILED, error_message="No way to it.")
    client = person("viewer")

    assert runs_shown(client, q="films") == {told.pk, quiet.pk}
    assert runs_shown(client, q="FILMS route") == {told.pk}
    assert runs_shown(client, q='"route to"') == {told.pk}
    assert runs_shown(client, q='"to route"') == set()
    assert runs_shown(client, q="films way") == set()
    assert runs_shown(client, q='"') == set()


def test_runs_are_counted_to_an_end(db, monkeypatch):
    monkeypatch.setattr(run_list, "MOST_COUNTED", 30)
    pipeline = PipelineFactory()
    RunFactory.create_batch(30, pipeline=pipeline)
    client = person("viewer")

    assert "30 runs" in " ".join(text(client, listing(PipelineRun)).split())
    RunFactory(pipeline=pipeline)
    html = " ".join(text(client, listing(PipelineRun)).split())

    assert "30+ runs" in html
    assert "results (" not in html
    assert len(runs_shown(client, p="2")) == 5
    assert client.get(listing(PipelineRun), {"p": "3"}).status_code == 302


def test_the_list_says_how_many_runs_match(db):
    pipeline = PipelineFactory()
    RunFactory.create_batch(2, pipeline=pipeline)
    RunFactory(pipeline=pipeline, status=RunStatus.FAILED)
    client = person("viewer")

    assert "2 results (" in text(client, f"{listing(PipelineRun)}?status__exact=SUCCESS")
    assert "results (" not in text(client, listing(PipelineRun))


def test_the_list_names_the_pipelines_that_ran_last_and_the_chosen_one(db):
    rows = [PipelineFactory(name=f"films-{number:02}") for number in range(12)]
    for hours, pipeline in enumerate(rows):
        RunFactory(pipeline=pipeline, started_at=timezone.now() - timedelta(hours=hours))
    client = person("viewer")

    def named(**parameters):
        answer = client.get(listing(PipelineRun), parameters)
        specs = answer.context["cl"].filter_specs
        (spec,) = [spec for spec in specs if spec.title == "pipeline"]
        return [name for _, name in spec.lookup_choices]

    assert named() == [row.name for row in rows[:10]]
    chosen = named(pipeline__id__exact=str(rows[11].pk))
    assert chosen == [*(row.name for row in rows[:10]), "films-11"]


def test_only_the_runs_of_one_pipeline_are_ordered_by_result_and_rows(db):
    pipeline = PipelineFactory()
    RunFactory.create_batch(2, pipeline=pipeline)
    client = person("viewer")

    def orders(**parameters):
        html = client.get(listing(PipelineRun), parameters).content.decode()
        return set(re.findall(r"[?&;]o=(\d)", html))

    assert orders() == {"0", "1"}
    assert orders(pipeline__id__exact=str(pipeline.pk)) == {"0", "1", "2", "4", "5"}


def test_a_list_that_nothing_matches_leads_to_everything(db):
    RunFactory()
    client = person("viewer")

    assert "Nothing matches" in text(client, f"{listing(PipelineRun)}?q=nowhere")


def test_an_empty_list_of_runs_says_what_to_do(db):
    assert "Nothing has run yet" in text(person("viewer"), listing(PipelineRun))


def test_the_list_has_the_newest_run_first(db):
    long_ago = RunFactory(started_at=timezone.now() - timedelta(days=3))
    newest, older = RunFactory(), RunFactory(started_at=timezone.now() - timedelta(hours=3))

    rows = person("viewer").get(listing(PipelineRun)).context["cl"].result_list

    assert [row.pk for row in rows] == [newest.pk, older.pk, long_ago.pk]


def test_the_list_shows_how_long_each_took(db):
    now = timezone.now()
    for seconds in (0.25, 42, 83, 7260):
        started = now - timedelta(seconds=seconds)
        RunFactory(started_at=started, finished_at=now)

    html = text(person("viewer"), listing(PipelineRun)).replace("\N{NO-BREAK SPACE}", " ")

    for shown in (">250 ms<", ">42.0 s<", ">1 min 23 s<", ">2 h 1 min<"):
        assert shown in html


# Workers.


def test_workers_are_alive_while_they_are_seen(db):
    alive, gone = WorkerFactory(), WorkerFactory()
    Worker.objects.filter(pk=gone.pk).update(last_seen_at=Now() - timedelta(minutes=5))
    client = person("viewer")

    def shown(**parameters):
        rows = client.get(listing(Worker), parameters).context["cl"].result_list
        return {row.pk: row.is_alive for row in rows}

    assert shown() == {alive.pk: True, gone.pk: False}
    assert shown(alive="1") == {alive.pk: True}
    assert shown(alive="0") == {gone.pk: False}
    assert text(client, page(alive))


def test_a_worker_that_looks_for_work_seldom_is_not_taken_for_gone(db, settings):
    settings.RUNNER_POLL_SECONDS = 600
    quiet = WorkerFactory()
    Worker.objects.filter(pk=quiet.pk).update(last_seen_at=Now() - timedelta(minutes=5))

    rows = person("viewer").get(listing(Worker)).context["cl"].result_list

    assert rows[0].is_alive


def test_a_worker_shows_what_it_runs(db):
    worker = WorkerFactory()
    pipeline = standing("RUNNING", worker=worker)

    html = text(person("viewer"), listing(Worker))

    assert page(pipeline) in html


# The overview.


def test_the_overview_counts_the_pipelines_by_status_with_links(db):
    for status in ("IDLE", "IDLE", "FAILED"):
        standing(status)

    answer = person("viewer").get("/admin/")

    counts = {count["url"]: count["count"] for count in answer.context["counts"]}
    path = listing(Pipeline)
    assert counts == {
        f"{path}?status__exact={status}": {"IDLE": 2, "FAILED": 1}.get(status, 0)
        for status in PipelineStatus.values
    }
    for url in counts:
        assert person("viewer").get(url).status_code == 200


def test_the_overview_shows_the_latest_failures_with_their_sentences(db):
    failed = RunFactory(status=RunStatus.FAILED, error_message="No route <to> the source.")

    html = text(person("viewer"), "/admin/")

    assert "No route &lt;to&gt; the source." in html
    assert page(failed) in html


def test_the_overview_says_when_no_worker_is_there(db):
    client = person("viewer")

    assert "No worker is running" in text(client, "/admin/")
    worker = WorkerFactory()
    assert page(worker) in text(client, "/admin/")


def test_a_newcomer_is_led_to_a_connection_and_a_pipeline(db):
    html = text(person(), "/admin/")

    assert listing(Connection, "add") in html
    assert listing(Pipeline, "add") in html


def test_a_step_that_is_done_or_not_allowed_has_no_button(db):
    ConnectionFactory()

    html = text(person("viewer"), "/admin/")

    assert 'class="etl-done"' in html
    assert listing(Connection, "add") not in html
    assert listing(Pipeline, "add") not in html
