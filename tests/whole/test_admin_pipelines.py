"""Pipelines in the admin: the list, what each verb does and says, deleting, and the page."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from pipelines.choices import Trigger
from pipelines.models import Pipeline, PipelineRun, PipelineState, RunEvent
from pipelines.states import PipelineStatus, RunStatus
from tests.factories import ConnectionFactory, PipelineFactory, RunFactory, WorkerFactory
from tests.whole.admin_pages import listing, page, person, said, standing


def press(client, row, verb):
    return client.post(page(row, verb), follow=True)


def ask(client, action, rows, **more):
    chosen = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return client.post(listing(Pipeline), chosen, follow=True)


# What a verb does.


@pytest.mark.parametrize(
    ("verb", "before", "after", "sentence"),
    [
        ("run", "IDLE", "RUN_REQUESTED", "A run of “films” is requested."),
        ("run", "PAUSED", "RUN_REQUESTED", "A run of “films” is requested."),
        ("run", "FAILED", "RUN_REQUESTED", "A run of “films” is requested."),
        ("pause", "RUNNING", "PAUSE_REQUESTED", "A pause of “films” is requested."),
        ("pause", "PAUSED", "PAUSED", "“films” is paused."),
        ("cancel", "RUN_REQUESTED", "IDLE", "“films” is cancelled."),
        ("cancel", "PAUSED", "IDLE", "“films” is cancelled."),
        ("cancel", "RUNNING", "RUNNING", "The run of “films” is being cancelled."),
        ("disable", "RUN_REQUESTED", "IDLE", "“films” is disabled."),
        ("enable", "IDLE", "IDLE", "“films” is enabled."),
        (
            "reset",
            "IDLE",
            "IDLE",
            "The checkpoint of “films” is reset: its next run reads everything.",
        ),
    ],
)
def test_a_verb_moves_the_pipeline_and_says_so(db, verb, before, after, sentence):
    pipeline = standing(before, name="films", enabled=verb != "enable")

    answer = press(person(), pipeline, verb)

    pipeline.refresh_from_db()
    assert said(answer) == [sentence]
    assert pipeline.status == after
    assert pipeline.enabled == (verb != "disable")
    assert answer.redirect_chain == [(page(pipeline), 302)]


@pytest.mark.parametrize(
    ("verb", "status", "sentence"),
    [
        (
            "run",
            "RUNNING",
            "The pipeline is running already. Wait for the run to end, or pause it.",
        ),
        ("pause", "IDLE", "There is nothing to pause: no run is requested or running."),
        ("cancel", "FAILED", "There is nothing to cancel: no run is requested, running or paused."),
        (
            "reset",
            "RUNNING",
            "The checkpoint cannot be reset while a run is active. Pause or cancel it first.",
        ),
    ],
)
def test_a_refusal_is_a_sentence_and_changes_nothing(db, verb, status, sentence):
    pipeline = standing(status)

    answer = press(person(), pipeline, verb)

    unchanged = Pipeline.objects.get(pk=pipeline.pk)
    assert said(answer) == [sentence]
    assert (unchanged.status, unchanged.checkpoint_epoch) == (status, 0)
    assert not RunEvent.objects.exists()


def test_the_run_knows_who_asked_for_it_and_where(db):
    pipeline, client = PipelineFactory(), person("operator")

    press(client, pipeline, "run")

    pipeline.refresh_from_db()
    assert (pipeline.requested_by, pipeline.trigger) == (client.user, Trigger.ADMIN)
    assert RunEvent.objects.get().by == client.user


def test_a_verb_of_a_pipeline_that_is_gone_leads_to_the_list(db):
    pipeline = PipelineFactory()
    gone = page(pipeline, "run")
    pipeline.delete()

    answer = person().post(gone, follow=True)

    assert answer.redirect_chain == [(listing(Pipeline), 302)]
    assert said(answer) == ["It does not exist any more."]


def test_a_button_of_the_list_leads_back_to_the_list_with_its_filters(db):
    pipeline = PipelineFactory()
    came_from = f"http://testserver{listing(Pipeline)}?status__exact=IDLE"

    answer = person().post(page(pipeline, "run"), headers={"referer": came_from})

    assert answer.url == f"{listing(Pipeline)}?status__exact=IDLE"


@pytest.mark.parametrize("host", ["https://elsewhere.example.com", "//elsewhere.example.com"])
def test_a_button_never_leads_to_another_site(db, host):
    pipeline = PipelineFactory()

    answer = person().post(page(pipeline, "run"), headers={"referer": f"{host}{listing(Pipeline)}"})

    assert answer.url == page(pipeline)


def test_it_is_logged_who_asked_for_what(db):
    pipeline, client = PipelineFactory(), person()

    press(client, pipeline, "run")
    ask(client, "disable", [pipeline])

    log = LogEntry.objects.filter(object_id=pipeline.pk).order_by("action_time")
    assert [(entry.user, entry.get_change_message()) for entry in log] == [
        (client.user, "Run"),
        (client.user, "Disable"),
    ]


# What is asked of many.


@pytest.mark.parametrize(
    ("verb", "before", "after", "sentence"),
    [
        ("run", "IDLE", "RUN_REQUESTED", "Runs of 2 pipelines are requested."),
        ("pause", "RUNNING", "PAUSE_REQUESTED", "Pauses of 2 pipelines are requested."),
        ("cancel", "PAUSED", "IDLE", "2 pipelines are cancelled or being cancelled."),
        ("enable", "IDLE", "IDLE", "2 pipelines are enabled."),
        ("disable", "RUN_REQUESTED", "IDLE", "2 pipelines are disabled."),
    ],
)
def test_a_verb_is_asked_of_many_at_once(db, verb, before, after, sentence):
    rows = [standing(before, enabled=verb != "enable") for _ in range(2)]
    spared = standing(before, enabled=verb != "enable")

    answer = ask(person(), verb, rows)

    assert said(answer) == [sentence]
    for row in rows:
        row.refresh_from_db()
    assert {(row.status, row.enabled) for row in rows} == {(after, verb != "disable")}
    assert Pipeline.objects.get(pk=spared.pk).status == before


def test_each_refusal_among_many_has_its_own_sentence(db):
    fits = PipelineFactory(name="fits")
    running = standing("RUNNING", name="runs")
    disabled = PipelineFactory(name="sleeps", enabled=False)

    answer = ask(person(), "run", [fits, running, disabled])

    assert sorted(said(answer)) == [
        "A run of 1 pipeline is requested.",
        "“runs”: The pipeline is running already. Wait for the run to end, or pause it.",
        "“sleeps”: The pipeline is disabled. Enable it, then run it.",
    ]


def test_hundreds_of_refusals_are_counted_after_the_first_twenty(db):
    rows = [PipelineFactory() for _ in range(25)]

    answer = ask(person(), "pause", rows)

    sentences = said(answer)
    assert len(sentences) == 21
    assert sentences[-1] == "And 5 more were refused."


def test_an_action_with_nothing_selected_changes_nothing(db):
    PipelineFactory()

    answer = ask(person(), "run", [], index="0")

    assert Pipeline.objects.get().status == "IDLE"
    assert "Items must be selected" in said(answer)[0]


# Resetting and deleting.


def test_resetting_asks_first(db):
    pipeline = PipelineFactory(incremental=True)
    client = person()

    question = client.get(page(pipeline, "reset"))

    pipeline.refresh_from_db()
    assert "Reset the checkpoint of" in question.content.decode()
    assert pipeline.checkpoint_epoch == 0


def test_resetting_removes_the_checkpoint_that_people_see(db):
    pipeline = PipelineFactory(incremental=True)
    PipelineState.objects.create(pipeline=pipeline, last_processed_value="7", seq=1)

    press(person(), pipeline, "reset")

    pipeline.refresh_from_db()
    assert pipeline.checkpoint_epoch == 1
    assert not PipelineState.objects.exists()


def test_deleting_asks_first_and_counts_what_goes_too(db):
    pipeline = PipelineFactory()
    RunFactory.create_batch(3, pipeline=pipeline)
    client = person()

    question = client.get(page(pipeline, "delete")).content.decode()
    answer = client.post(page(pipeline, "delete"), {"post": "yes"}, follow=True)

    assert "Runs: 3" in question
    assert "The target table stays as it is" in question
    assert not Pipeline.objects.exists()
    assert not PipelineRun.objects.exists()
    assert "was deleted successfully" in said(answer)[0]


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_active_pipeline_is_not_deleted(db, method):
    pipeline = standing("RUNNING")
    sentence = "The pipeline cannot be deleted while a run is active. Pause or cancel it first."

    answer = getattr(person(), method)(page(pipeline, "delete"), {"post": "yes"}, follow=True)

    assert said(answer) == [sentence]
    assert answer.redirect_chain == [(page(pipeline), 302)]
    assert Pipeline.objects.get() == pipeline


def test_deleting_many_asks_first(db):
    rows = [PipelineFactory(), PipelineFactory()]

    answer = ask(person(), "delete_selected", rows)

    assert "Are you sure" in answer.content.decode()
    assert Pipeline.objects.count() == 2


def test_deleting_many_deletes_what_rests_and_says_what_is_refused(db):
    rests, runs = PipelineFactory(), standing("RUNNING", name="runs")

    answer = ask(person(), "delete_selected", [rests, runs], post="yes")

    assert said(answer) == [
        "1 was deleted.",
        "“runs”: The pipeline cannot be deleted while a run is active. Pause or cancel it first.",
    ]
    assert Pipeline.objects.get() == runs


# The list.


def shown(client, **parameters):
    answer = client.get(listing(Pipeline), parameters)
    assert answer.status_code == 200
    return {row.name for row in answer.context["cl"].result_list}


def test_the_list_is_filtered_by_each_of_its_filters(db):
    shop = ConnectionFactory(name="shop", target_schemas=["marts"])
    PipelineFactory(name="full")
    PipelineFactory(name="more", incremental=True, enabled=False)
    standing("PAUSED", name="rests", source_connection=shop)
    client = person("viewer")

    assert shown(client, status__exact="PAUSED") == {"rests"}
    assert shown(client, enabled__exact="0") == {"more"}
    assert shown(client, mode__exact="incremental") == {"more"}
    assert shown(client, type__exact="SQL") == {"full", "more", "rests"}
    assert shown(client, source_connection__id__exact=str(shop.pk)) == {"rests"}
    assert shown(client, target_connection__id__exact=str(shop.pk)) == {"rests"}


def test_the_list_is_searched_by_name_description_and_table(db):
    PipelineFactory(name="film_dim", target_table="analytics.a")
    PipelineFactory(name="x", description="All the films", target_table="analytics.b")
    PipelineFactory(name="y", target_table="analytics.film_rating")
    PipelineFactory(name="z", target_table="analytics.c")

    assert shown(person("viewer"), q="FILM") == {"film_dim", "x", "y"}


def test_the_list_shows_the_last_run_of_each(db):
    pipeline = PipelineFactory(name="films")
    RunFactory(pipeline=pipeline, status=RunStatus.FAILED, error_message="Out of luck.")
    RunFactory(pipeline=pipeline, rows_written=27_004)

    html = person("viewer").get(listing(Pipeline)).content.decode()

    assert "27,004" in html
    assert "Success" in html
    assert "Out of luck." not in html


@pytest.mark.parametrize("parameter", ["o=1", "o=2", "o=-4", "o=5", "o=-6"])
def test_the_list_can_be_ordered_by_its_columns(db, parameter):
    RunFactory()
    PipelineFactory()

    assert person("viewer").get(f"{listing(Pipeline)}?{parameter}").status_code == 200


def strips(client, **parameters):
    html = client.get(listing(Pipeline), parameters).content.decode()
    return re.findall(r'class="etl-strip"[^>]*aria-label="([^"]*)">(.*?)</a>', html)


def test_the_list_shows_the_last_20_results_of_each_oldest_first(db):
    pipeline = PipelineFactory(name="a")
    for number in range(1, 24):
        failed = number in (2, 5, 23)
        RunFactory(pipeline=pipeline, generation=number, status="FAILED" if failed else "SUCCESS")
    RunFactory(pipeline=PipelineFactory(name="b"), status="RUNNING")
    PipelineFactory(name="c")

    (words, bars), (other, _) = strips(person("viewer"))

    assert words == "Last 20 results. Success: 18, Failed: 2"
    kinds = re.findall(r"etl-bar-(\w+)", bars)
    assert [place for place, kind in enumerate(kinds, start=4) if kind == "danger"] == [5, 23]
    assert len(kinds) == 20
    assert other == "Last result. Running: 1"


def test_each_bar_says_what_it_stands_for(db):
    run = RunFactory(pipeline=PipelineFactory())
    began = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)
    PipelineRun.objects.filter(pk=run.pk).update(
        started_at=began, finished_at=began + timedelta(seconds=12)
    )

    ((_, bars),) = strips(person("viewer"))

    assert 'title="Success, 12.0\N{NO-BREAK SPACE}s, 2026-11-23 05:30 UTC"' in bars


def test_a_strip_leads_to_the_runs_of_its_pipeline(db):
    mine = RunFactory(pipeline=PipelineFactory(name="a"))
    RunFactory(pipeline=PipelineFactory(name="b"))
    client = person("viewer")
    html = client.get(listing(Pipeline)).content.decode()

    url = re.search(rf'id="etl-strip-{mine.pipeline_id}" class="etl-strip" href="([^"]*)"', html)[1]

    assert list(client.get(url).context["cl"].result_list) == [mine]


def test_the_strips_move_with_the_other_cells(db):
    pipeline = standing("RUNNING")
    RunFactory(pipeline=pipeline, status="RUNNING")
    client = person("viewer")
    url = client.get(listing(Pipeline)).context["cl"].watch_url

    html = client.get(url).content.decode()

    assert f'id="etl-strip-{pipeline.pk}"' in html
    assert "etl-bar-info" in html


def test_a_disabled_pipeline_is_marked_on_the_list(db):
    PipelineFactory(enabled=False)

    assert ">disabled<" in person("viewer").get(listing(Pipeline)).content.decode()


@pytest.mark.parametrize(
    ("group", "offered"),
    [
        ("viewer", set()),
        ("operator", {"run", "pause", "cancel", "reconcile"}),
        ("editor", {"run", "pause", "cancel", "reconcile", "enable", "disable"}),
    ],
)
def test_the_list_offers_for_many_what_this_person_may(db, group, offered):
    PipelineFactory()

    html = person(group).get(listing(Pipeline)).content.decode()

    menu = re.search(r'<select name="action".*?</select>', html, re.DOTALL)
    choices = set(re.findall(r'<option value="(\w+)"', menu[0])) if menu else set()
    assert choices == offered


def test_enabling_what_is_enabled_and_disabling_what_runs_is_no_error(db):
    running, disabled = standing("RUNNING", name="runs"), PipelineFactory(name="b", enabled=False)
    client = person("editor")

    assert said(ask(client, "enable", [running, disabled])) == ["2 pipelines are enabled."]
    assert said(ask(client, "disable", [running, disabled])) == ["2 pipelines are disabled."]
    running.refresh_from_db()
    assert (running.status, running.enabled) == ("RUNNING", False)


def test_an_empty_list_says_what_a_pipeline_is(db):
    client = person("viewer")

    assert "A pipeline is a query" in client.get(listing(Pipeline)).content.decode()
    nothing = client.get(listing(Pipeline), {"q": "no such"}).content.decode()
    assert "Nothing matches" in nothing


@pytest.mark.parametrize(
    ("status", "enabled", "verb"),
    [
        ("IDLE", True, "run"),
        ("FAILED", True, "run"),
        ("PAUSED", True, "run"),
        ("RUN_REQUESTED", True, "cancel"),
        ("RUNNING", True, "pause"),
        ("PAUSE_REQUESTED", True, "cancel"),
        ("IDLE", False, "enable"),
    ],
)
def test_the_list_offers_what_comes_next(db, status, enabled, verb):
    pipeline = standing(status, enabled=enabled)

    html = person().get(listing(Pipeline)).content.decode()

    assert f'formaction="{page(pipeline, verb)}"' in html
    assert html.count("formaction") == 1


# The page.


def panel(pipeline, client=None):
    return (client or person()).get(page(pipeline)).context["panel"]


@pytest.mark.parametrize("status", PipelineStatus.values)
def test_every_status_has_a_page_with_a_sentence(db, status):
    pipeline = standing(status)
    if status in ("RUNNING", "PAUSE_REQUESTED"):
        RunFactory(pipeline=pipeline, status=RunStatus.RUNNING, phase="load", rows_read=12_000)

    facts = panel(pipeline)

    assert facts["sentence"]
    offered = {button.name for button in facts["buttons"]}
    assert (
        offered - {"reconcile", "duplicate"}
        == {
            "IDLE": {"run", "disable"},
            "RUN_REQUESTED": {"pause", "cancel", "disable"},
            "RUNNING": {"pause", "cancel", "disable"},
            "PAUSE_REQUESTED": {"cancel", "disable"},
            "PAUSED": {"run", "cancel", "disable"},
            "FAILED": {"run", "disable"},
        }[status]
    )


def test_a_running_pipeline_shows_how_far_it_is(db):
    pipeline = standing("RUNNING")
    RunFactory(pipeline=pipeline, status=RunStatus.RUNNING, phase="load", rows_read=12_000)

    assert "loading: 12,000 rows read" in panel(pipeline)["sentence"]


def test_beside_pause_a_full_load_says_that_it_will_start_again(db):
    full, more = standing("RUNNING"), standing("RUNNING", incremental=True)
    sentence = "A full load that is paused starts again from the beginning"
    client = person()

    assert sentence in client.get(page(full)).content.decode()
    assert sentence not in client.get(page(more)).content.decode()


def test_a_requested_run_says_when_no_worker_is_there(db):
    pipeline = standing("RUN_REQUESTED")

    assert "python manage.py runpipelines" in panel(pipeline)["sentence"]
    WorkerFactory()
    assert "waits for a worker" in panel(pipeline)["sentence"]


def test_a_retry_says_when_and_can_be_made_due_now(db):
    later = timezone.now() + timedelta(minutes=3)
    pipeline = standing("RUN_REQUESTED", next_attempt_at=later)

    facts = panel(pipeline)

    assert "will try again in 2" in facts["sentence"]
    assert "run" in {button.name for button in facts["buttons"]}


def test_a_failed_pipeline_shows_why(db):
    pipeline = standing("FAILED")
    RunFactory(pipeline=pipeline, status=RunStatus.FAILED, error_message="Column “x” is <gone>.")

    html = person().get(page(pipeline)).content.decode()

    assert "Column “x” is &lt;gone&gt;." in html


def test_a_table_that_another_pipeline_writes_to_has_a_warning(db):
    one = PipelineFactory(name="one", target_table="analytics.t")
    PipelineFactory(name="other", target_table="analytics.t")

    assert panel(one)["warnings"] == ["The pipeline “other” writes to the table analytics.t too."]


def test_the_checkpoint_is_shown(db):
    pipeline = PipelineFactory(incremental=True)
    PipelineState.objects.create(
        pipeline=pipeline,
        last_processed_value="2026-01-15T12:30:00.123456Z",
        last_processed_id="ffe985c3",
        seq=10,
        rows=20_000,
        promise="Nothing is missed.",
        updated_at=timezone.now(),
    )

    html = person("viewer").get(page(pipeline)).content.decode()

    for part in ("2026-01-15T12:30:00.123456Z", "ffe985c3", "20,000 in 10", "Nothing is missed."):
        assert part in html


def test_the_last_ten_runs_are_shown_and_linked(db):
    pipeline = PipelineFactory()
    runs = [RunFactory(pipeline=pipeline, generation=n) for n in range(1, 13)]

    html = person("viewer").get(page(pipeline)).content.decode()

    assert [page(run) in html for run in runs] == [False] * 2 + [True] * 10


def test_names_that_look_like_markup_are_text(db):
    pipeline = PipelineFactory(name="<script>alert(1)</script>", description="<b>x</b>")
    PipelineFactory(name="<i>other</i>", target_table=pipeline.target_table)
    RunFactory(pipeline=pipeline, status=RunStatus.FAILED, error_message="<img src=x>")
    client = person()

    pages = [listing(Pipeline), page(pipeline), page(pipeline, "reset"), page(pipeline, "delete")]
    pages += [listing(PipelineRun), page(PipelineRun.objects.get()), "/admin/"]
    for path in pages:
        html = client.get(path).content.decode()
        for markup in ("<script>alert", "<b>x</b>", "<i>other", "<img src=x>"):
            assert markup not in html, path
