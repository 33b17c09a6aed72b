"""The history of changes in the admin: who changed what, line by line, and bringing it back."""

from html import escape
from unittest import mock

import pytest
from django.template.loader import render_to_string
from django.test import Client

from pipelines import changes, lifecycle
from pipelines.admin.history import latest_changes
from pipelines.models import Connection, Pipeline, PipelineState
from pipelines.states import PipelineStatus
from runner.preflight import Findings
from tests.factories import ConnectionFactory, PipelineFactory, UserFactory
from tests.whole.admin_pages import (
    GROUPS,
    HELD,
    listing,
    new_connection,
    new_pipeline,
    page,
    person,
    posted,
    said,
    standing,
)
from tests.whole.test_admin_queries import queries


@pytest.fixture
def inspect():
    """The servers find nothing wrong, and are not asked really."""
    found = Findings(columns=(), target_columns=(), key=(), method="swap")
    with mock.patch("runner.preflight.inspect", return_value=found) as asked:
        yield asked


def edit(pipeline, by=None, **values):
    pipeline.refresh_from_db()
    for name, value in values.items():
        setattr(pipeline, name, value)
    lifecycle.edit(pipeline, set(values), by=by)


def record(pipeline, number=-1):
    """A record by its place, the oldest being the first; the newest unless told otherwise."""
    return list(changes.newest_first(pipeline).reverse())[number]


def question(pipeline, number=0):
    return page(pipeline, "history") + f"{record(pipeline, number).pk}/restore/"


def restore(client, path):
    """Press the button on the page of the question."""
    version = client.get(path).context["version"]
    return client.post(path, {"version": version}, follow=True)


# What is recorded of what people do here.


def test_a_form_records_one_change_by_its_person(db, inspect):
    client = person("editor")
    client.post(listing(Pipeline, "add"), new_pipeline(name="films"))
    pipeline = Pipeline.objects.get(name="films")

    client.post(page(pipeline), posted(client, pipeline, batch_size="7", description="New."))
    client.post(page(pipeline), posted(client, pipeline))

    records = changes.newest_first(pipeline)
    assert [one.history_user for one in records] == [client.user, client.user]
    assert [one.batch_size for one in records] == [7, 5000]


def test_disabling_many_records_one_change_of_each(db):
    rows, client = PipelineFactory.create_batch(3), person("editor")
    off = PipelineFactory(enabled=False)
    wanted = {"action": "disable", "_selected_action": [row.pk for row in (*rows, off)]}

    client.post(listing(Pipeline), wanted)
    client.post(listing(Pipeline), {**wanted, "action": "enable"})

    for row in rows:
        assert [one.enabled for one in changes.newest_first(row)] == [True, False, True]
        assert record(row).history_user == client.user
    assert [one.enabled for one in changes.newest_first(off)] == [True, False]


def test_what_is_asked_of_a_pipeline_is_no_change(db):
    pipeline, client = PipelineFactory(incremental=True), person()

    for verb in ("run", "cancel", "reset"):
        client.post(page(pipeline, verb))

    assert changes.newest_first(pipeline).count() == 1


def test_a_connection_form_records_one_change_and_no_password(db):
    client = person()
    client.post(listing(Connection, "add"), new_connection(name="shop", password="first secret"))
    shop = Connection.objects.get(name="shop")

    client.post(page(shop), posted(client, shop, port="6432", password="second secret"))
    html = client.get(page(shop, "history")).content.decode()

    assert [one.history_user for one in changes.newest_first(shop)] == [client.user] * 2
    assert "Changed: port, password" in html
    assert "Passwords are not kept here." in html
    assert "secret" not in html


def test_deleting_leaves_a_last_record_by_its_person(db):
    pipeline, shop, client = PipelineFactory(), ConnectionFactory(), person()

    client.post(page(pipeline, "delete"), {"post": "yes"})
    client.post(page(shop, "delete"), {"post": "yes"})

    for row in (pipeline, shop):
        newest = changes.newest_first(row).first()
        assert (newest.history_type, newest.history_user) == ("-", client.user)


# The page.


def test_the_button_of_a_page_leads_to_our_history(db):
    for row in (PipelineFactory(), ConnectionFactory()):
        client = person("viewer")
        assert page(row, "history") in client.get(page(row)).content.decode()
        assert "History of changes" in client.get(page(row, "history")).content.decode()


def test_the_history_says_who_changed_what_newest_first(db):
    pipeline, ann = PipelineFactory(batch_size=5000), UserFactory(username="ann")
    edit(pipeline, by=ann, batch_size=7, enabled=False)
    edit(pipeline, by=UserFactory(username="bob"), source_query="SELECT 2 AS id")

    html = person("viewer").get(page(pipeline, "history")).content.decode()

    newest, _, older = html.partition("Changed: enabled, batch size")
    assert "Changed: source query" in newest
    assert "bob" in newest
    assert "ann" in older
    assert '<del class="etl-old">5000</del>' in older
    assert '<ins class="etl-new">7</ins>' in older
    assert '<del class="etl-old">yes</del>' in older
    assert "<del>SELECT 1 AS id, now() AS modified</del>" in newest
    assert "<ins>SELECT 2 AS id</ins>" in newest
    assert '<span class="etl-mark">−</span>' in newest
    assert '<span class="etl-mark">+</span>' in newest
    assert html.index("Created") > html.index("ann")


def test_what_people_wrote_is_escaped(db):
    pipeline = PipelineFactory()
    edit(
        pipeline,
        source_query="SELECT '<script>alert(1)</script>' AS id",
        target_table='analytics."<b>"',
        name="<i>name</i>",
    )
    client = person("editor")

    html = client.get(page(pipeline, "history")).content.decode()
    html += client.get(question(pipeline)).content.decode()

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    for tag in ("<script>alert", "<b>", "<i>name"):
        assert tag not in html


def test_a_long_text_is_folded(db):
    pipeline = PipelineFactory()
    edit(pipeline, source_query="SELECT\n" + "\n".join(f"{n} AS c{n}," for n in range(40)))

    html = person("viewer").get(page(pipeline, "history")).content.decode()

    folded = html.partition("<details>")[2].partition("</details>")[0]
    assert "+41" in folded.partition("</summary>")[0]
    assert "<ins>39 AS c39,</ins>" in folded


def test_a_person_who_was_deleted_is_not_missed(db):
    pipeline, user = PipelineFactory(), UserFactory()
    edit(pipeline, by=user, batch_size=7)
    user.delete()

    html = person("viewer").get(page(pipeline, "history")).content.decode()

    assert "a deleted user, or a command" in html


def test_the_last_version_of_a_page_is_compared_with_the_first_of_the_next(db):
    pipeline = PipelineFactory(batch_size=1)
    for size in range(2, 31):
        edit(pipeline, batch_size=size)
    client = person("viewer")

    first = client.get(page(pipeline, "history"))
    second = client.get(page(pipeline, "history"), {"p": 2})

    assert [entry.differences[0].new for entry in first.context["entries"]] == [
        str(size) for size in range(30, 5, -1)
    ]
    assert first.context["entries"][-1].differences[0].old == "5"
    assert [entry.title for entry in second.context["entries"]][-1] == "Created"
    assert "?p=2" in first.content.decode()
    assert "?p=1" in second.content.decode()


def test_a_history_costs_the_same_with_3_versions_and_with_30(db):
    pipeline, client = PipelineFactory(source_connection=ConnectionFactory()), person()

    def change(times):
        for _ in range(times):
            connection = ConnectionFactory()
            edit(
                pipeline,
                by=UserFactory(),
                source_connection=connection,
                description=connection.name,
            )

    change(3)
    queries(client, page(pipeline, "history"))
    few = queries(client, page(pipeline, "history"))
    change(27)

    many = queries(client, page(pipeline, "history"))

    assert many == few
    assert many < 15


def test_a_row_that_is_gone_leads_to_the_list(db):
    pipeline, client = PipelineFactory(), person("editor")
    edit(pipeline, batch_size=7)
    paths = [page(pipeline, "history"), question(pipeline)]
    Pipeline.objects.get(pk=pipeline.pk).delete()

    for path in paths:
        assert said(client.get(path, follow=True)) == ["It does not exist any more."]


def test_the_latest_changes_are_five_with_a_link_to_all(db):
    pipeline = PipelineFactory(batch_size=1)
    for size in range(2, 9):
        edit(pipeline, by=UserFactory(username=f"user-of-{size}"), batch_size=size)

    found = latest_changes(pipeline)
    html = render_to_string("admin/pipelines/pipeline/changes.html", {"changes": found})

    assert [entry.who for entry in found["entries"]] == [f"user-of-{n}" for n in range(8, 3, -1)]
    assert all(entry.title == "Changed: batch size" for entry in found["entries"])
    assert page(pipeline, "history") in html
    assert "user-of-4" in html


# Restoring.


def test_a_version_is_offered_where_it_differs_from_the_present_one(db):
    pipeline = PipelineFactory(batch_size=1)
    edit(pipeline, batch_size=2)
    edit(pipeline, batch_size=1)

    html = person("editor").get(page(pipeline, "history")).content.decode()

    offered = [number for number in range(3) if question(pipeline, number) in html]
    assert offered == [1]


def test_connections_are_not_restored(db):
    shop, client = ConnectionFactory(port=1), person()
    client.post(page(shop), posted(client, shop, port="2"))

    assert "/restore/" not in client.get(page(shop, "history")).content.decode()
    path = f"{page(shop, 'history')}{record(shop, 0).pk}/restore/"
    assert client.post(path, {"version": "x"}).status_code in (302, 404)
    shop.refresh_from_db()
    assert shop.port == 2


@pytest.mark.parametrize("group", GROUPS)
def test_only_who_may_edit_is_offered_it_and_may_do_it(db, inspect, group):
    pipeline, client = PipelineFactory(batch_size=1), person(group)
    edit(pipeline, batch_size=2)
    version = person().get(question(pipeline)).context["version"]
    may = group in ("editor", "administrator")

    offered = question(pipeline) in client.get(page(pipeline, "history")).content.decode()
    answers = [
        client.get(question(pipeline)).status_code,
        client.post(question(pipeline), {"version": version}).status_code,
    ]

    pipeline.refresh_from_db()
    assert offered == may
    assert answers == ([200, 302] if may else [403, 403])
    assert pipeline.batch_size == (1 if may else 2)


def test_an_old_query_comes_back_and_the_lifecycle_stays(db, target_url):
    pipeline = standing(
        "PAUSED",
        mode="incremental",
        incremental_key="modified",
        key_columns=["id"],
        generation=4,
        checkpoint_epoch=2,
    )
    state = PipelineState.objects.create(pipeline=pipeline, last_processed_value="x", seq=7)
    edit(pipeline, source_query="SELECT 2 AS id, now() AS modified", batch_size=7)
    edit(pipeline, description="Kept from later on, and gone with it.")
    before = Pipeline.objects.values().get(pk=pipeline.pk)
    client, old = person("editor"), record(pipeline, 0)

    html = client.get(question(pipeline)).content.decode()
    answer = restore(client, question(pipeline))

    assert "<del>SELECT 2 AS id, now() AS modified</del>" in html
    assert "<ins>SELECT 1 AS id, now() AS modified</ins>" in html
    after = Pipeline.objects.values().get(pk=pipeline.pk)
    changed = {name for name, value in after.items() if before[name] != value}
    assert changed == {"source_query", "batch_size", "description", "updated_at"}
    pipeline.refresh_from_db()
    assert changes.values_of(pipeline) == changes.values_of(old)
    state.refresh_from_db()
    assert (state.last_processed_value, state.seq) == ("x", 7)
    assert answer.redirect_chain[-1][0] == page(pipeline)
    assert said(answer)[0].startswith(f"“{pipeline.name}” is defined again as on 20")


def test_a_restored_version_is_a_change_of_its_own(db, inspect):
    pipeline, client = PipelineFactory(batch_size=1), person("editor")
    edit(pipeline, batch_size=2)

    restore(client, question(pipeline))

    newest = record(pipeline)
    assert changes.newest_first(pipeline).count() == 3
    assert newest.history_user == client.user
    assert changes.time_restored(newest.history_change_reason) == record(pipeline, 0).history_date
    html = client.get(page(pipeline, "history")).content.decode()
    assert "Restored from 20" in html
    inspect.assert_not_called()


def test_looking_at_the_question_changes_nothing(db, inspect):
    pipeline, client = PipelineFactory(batch_size=1), person("editor")
    edit(pipeline, batch_size=2)
    before = Pipeline.objects.values().get(pk=pipeline.pk)

    client.get(question(pipeline))
    client.get(page(pipeline, "history"))

    assert Pipeline.objects.values().get(pk=pipeline.pk) == before
    assert changes.newest_first(pipeline).count() == 2


def refused(client, path, **sent):
    """The sentences on the page after pressing the button there."""
    version = client.get(path).context["version"]
    answer = client.post(path, {"version": version, **sent})
    assert answer.status_code == 200
    for sentence in answer.context["refusals"]:
        assert escape(sentence) in answer.content.decode()
    return answer.context["refusals"]


@pytest.mark.parametrize("status", ["RUN_REQUESTED", "RUNNING", "PAUSE_REQUESTED"])
def test_a_run_locks_what_defines_the_data(db, inspect, status):
    pipeline = PipelineFactory()
    edit(pipeline, source_query="SELECT 2 AS id")
    held = {} if status == "RUN_REQUESTED" else HELD
    Pipeline.objects.filter(pk=pipeline.pk).update(status=status, **held)

    (sentence,) = refused(person("editor"), question(pipeline))

    assert sentence == lifecycle.refusal(pipeline.pk, "edit").sentence
    pipeline.refresh_from_db()
    assert pipeline.source_query == "SELECT 2 AS id"
    assert changes.newest_first(pipeline).count() == 2
    inspect.assert_not_called()


def test_a_run_that_begins_meanwhile_refuses_it_too(db, inspect):
    pipeline = PipelineFactory()
    edit(pipeline, source_query="SELECT 2 AS id")

    def begin(_definition):
        Pipeline.objects.filter(pk=pipeline.pk).update(status=PipelineStatus.RUN_REQUESTED)
        return inspect.return_value

    inspect.side_effect = begin

    (sentence,) = refused(person("editor"), question(pipeline))

    assert "a run is requested or running" in sentence
    assert changes.newest_first(pipeline).count() == 2


def test_a_run_does_not_lock_the_rest(db, inspect):
    pipeline = PipelineFactory(batch_size=1)
    edit(pipeline, batch_size=2)
    Pipeline.objects.filter(pk=pipeline.pk).update(status="RUNNING", **HELD)

    restore(person("editor"), question(pipeline))

    pipeline.refresh_from_db()
    assert (pipeline.batch_size, pipeline.status) == (1, "RUNNING")


def test_a_query_that_the_server_refuses_now_is_refused(db, source, target_url, source_connection):
    source.execute("CREATE TABLE films (id int)")
    pipeline = PipelineFactory(
        source_connection=source_connection,
        target_connection=Connection.objects.get(name="default"),
        source_query="SELECT id FROM films",
    )
    edit(pipeline, source_query="SELECT 1 AS id")
    source.execute("DROP TABLE films")

    sentences = refused(person("editor"), question(pipeline))

    assert any("films" in sentence for sentence in sentences)
    pipeline.refresh_from_db()
    assert pipeline.source_query == "SELECT 1 AS id"
    assert changes.newest_first(pipeline).count() == 2


def test_a_name_that_another_pipeline_has_now_is_refused(db, inspect):
    pipeline = PipelineFactory(name="films")
    edit(pipeline, name="films_old")
    PipelineFactory(name="films")

    (sentence,) = refused(person("editor"), question(pipeline))

    assert "films" in sentence
    pipeline.refresh_from_db()
    assert pipeline.name == "films_old"


def test_a_name_that_is_taken_meanwhile_is_refused_too(db, inspect):
    pipeline = PipelineFactory(name="films")
    edit(pipeline, name="films_old", source_query="SELECT 2 AS id")

    def take(_definition):
        PipelineFactory(name="films")
        return inspect.return_value

    inspect.side_effect = take

    (sentence,) = refused(person("editor"), question(pipeline))

    assert "films" in sentence
    pipeline.refresh_from_db()
    assert pipeline.name == "films_old"


def test_a_connection_that_was_deleted_is_said_so(db, inspect):
    shop = ConnectionFactory(name="shop")
    default = Connection.objects.get(name="default")
    pipeline = PipelineFactory(source_connection=shop, target_connection=default)
    edit(pipeline, source_connection=default)
    Connection.objects.get(name="shop").delete()
    client = person("editor")

    (sentence,) = refused(client, question(pipeline))

    assert "a connection that was deleted" in sentence
    html = client.get(page(pipeline, "history")).content.decode()
    assert '<del class="etl-old">shop</del>' in html


def test_a_schema_that_is_not_allowed_any_more_is_refused(db, inspect):
    shop = ConnectionFactory(name="shop", target_schemas=["old", "new"])
    pipeline = PipelineFactory(
        source_connection=Connection.objects.get(name="default"),
        target_connection=shop,
        target_table="old.films",
    )
    edit(pipeline, target_table="new.films")
    Connection.objects.filter(pk=shop.pk).update(target_schemas=["new"])

    (sentence,) = refused(person("editor"), question(pipeline))

    assert "old" in sentence
    inspect.assert_not_called()


@pytest.mark.parametrize("version", ["", "nonsense", "2026-13-45T00:00:00Z"])
def test_a_question_of_no_known_version_is_refused(db, inspect, version):
    pipeline = PipelineFactory(batch_size=1)
    edit(pipeline, batch_size=2)

    (sentence,) = refused(person("editor"), question(pipeline), version=version)

    assert "Somebody changed this pipeline" in sentence


@pytest.mark.django_db(transaction=True)
def test_a_definition_changed_since_the_question_is_not_overwritten(inspect):
    pipeline, client = PipelineFactory(batch_size=1), person("editor")
    edit(pipeline, batch_size=2)
    seen = client.get(question(pipeline)).context["version"]
    edit(pipeline, description="Written meanwhile.")

    answer = client.post(question(pipeline), {"version": seen})

    (sentence,) = answer.context["refusals"]
    assert "Somebody changed this pipeline" in sentence
    assert "Written meanwhile." in answer.content.decode()
    pipeline.refresh_from_db()
    assert pipeline.batch_size == 2
    assert restore(client, question(pipeline)).redirect_chain
    pipeline.refresh_from_db()
    assert (pipeline.batch_size, pipeline.description) == (1, "")


@pytest.mark.django_db(transaction=True)
def test_a_definition_changed_while_the_servers_are_asked_is_not_overwritten(inspect):
    pipeline = PipelineFactory(source_query="SELECT 1 AS id")
    edit(pipeline, source_query="SELECT 2 AS id")

    def change(_definition):
        edit(Pipeline.objects.get(pk=pipeline.pk), source_query="SELECT 3 AS id")
        return inspect.return_value

    inspect.side_effect = change

    (sentence,) = refused(person("editor"), question(pipeline))

    assert "Somebody changed this pipeline" in sentence
    pipeline.refresh_from_db()
    assert pipeline.source_query == "SELECT 3 AS id"


def test_the_present_definition_cannot_be_restored(db, inspect):
    pipeline, client = PipelineFactory(), person("editor")

    (sentence,) = refused(client, question(pipeline))

    assert sentence == "The pipeline is defined like that already."
    assert changes.newest_first(pipeline).count() == 1


def test_a_record_of_another_pipeline_is_not_found(db):
    pipeline, other = PipelineFactory(), PipelineFactory()
    client = person("editor")

    for number in (record(other).pk, 0, 10**12):
        path = f"{page(pipeline, 'history')}{number}/restore/"
        assert client.get(path).status_code == 404
        assert client.post(path).status_code == 404


def test_a_post_without_the_csrf_token_is_refused(db):
    pipeline = PipelineFactory(batch_size=1)
    edit(pipeline, batch_size=2)
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory(groups=["editor"]))

    assert client.post(question(pipeline), {"version": "x"}).status_code == 403
