"""Who did what is kept, from API and admin alike; nobody changes it; it ends with its time."""

from base64 import b64encode
from datetime import timedelta
from io import StringIO
from unittest import mock

import psycopg
import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils import timezone
from knox.models import AuthToken

from pipelines import audit, changes, lifecycle, retention
from pipelines.choices import AuditAction, Trigger
from pipelines.models import AuditRecord, Connection, Pipeline
from runner import preflight
from runner.plan import Method
from runner.preflight import ConnectionReport, Findings
from tests.control.asking import EQUAL, Asker, client
from tests.control.standing import standing
from tests.factories import PASSWORD, ConnectionFactory, PipelineFactory, UserFactory
from tests.whole.admin_pages import (
    listing,
    new_connection,
    new_pipeline,
    page,
    person,
    posted,
)

SENTINEL = "Sesame-open-7"


@pytest.fixture(autouse=True)
def _no_servers():
    """The question here is who did it, not what the servers say."""
    found = Findings(columns=(), target_columns=(), key=(), method=Method.SWAP)
    report = ConnectionReport(ok=True, sentence="Connected.")
    with (
        mock.patch("runner.preflight.inspect", return_value=found),
        mock.patch("runner.preflight.test_connection", return_value=report),
        mock.patch("runner.reconcile.compare", return_value=EQUAL),
    ):
        yield


@pytest.fixture(params=["api", "admin"])
def face(request, db):
    """The two ways in: whoever asks, and what they ask by."""
    client = person("administrator")
    return {"api": Api, "admin": Admin}[request.param](client)


class Api:
    """The deeds over the API."""

    via = "api_session"

    def __init__(self, client):
        self.user = client.user
        self.asker = Asker(user=client.user)

    def ask(self, verb, pipeline):
        if verb == "reset":
            return self.asker.delete(f"/pipelines/{pipeline.pk}/state")
        return self.asker.post(f"/pipelines/{pipeline.pk}/{verb}")

    def edit(self, pipeline, **changes):
        return self.asker.patch(f"/pipelines/{pipeline.pk}", changes)

    def create(self, name):
        body = {"name": name, "target_table": "analytics.t", "source_query": "SELECT 1 AS id"}
        return self.asker.post("/pipelines", body)

    def delete(self, row):
        if isinstance(row, Pipeline):
            return self.asker.delete(f"/pipelines/{row.pk}")
        return self.asker.delete(f"/connections/{row.name}")

    def connect(self, name):
        body = {"name": name, "host": "db.example.com", "dbname": "d", "user": "u"}
        return self.asker.post("/connections", body | {"password": SENTINEL})

    def change(self, row, **changes):
        return self.asker.patch(f"/connections/{row.name}", changes)

    def test(self, row):
        return self.asker.post(f"/connections/{row.name}/test")


class Admin:
    """The deeds in the admin."""

    via = "admin"

    def __init__(self, client):
        self.user = client.user
        self.client = client

    def ask(self, verb, pipeline):
        return self.client.post(page(pipeline, verb))

    def edit(self, pipeline, **changes):
        return self.client.post(page(pipeline), posted(self.client, pipeline, **changes))

    def create(self, name):
        return self.client.post(listing(Pipeline, "add"), new_pipeline(name=name))

    def delete(self, row):
        return self.client.post(page(row, "delete"), {"post": "yes"})

    def connect(self, name):
        form = new_connection(name=name, password=SENTINEL)
        return self.client.post(listing(Connection, "add"), form)

    def change(self, row, **changes):
        return self.client.post(page(row), posted(self.client, row, **changes))

    def test(self, row):
        return self.client.post(page(row, "test"))


def kept(*actions):
    """What is kept, oldest first, without the signing in of tests."""
    rows = AuditRecord.objects.exclude(action=AuditAction.SIGN_IN).order_by("id")
    assert {row.action for row in rows} <= set(actions)
    return list(rows)


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("run", "IDLE"),
        ("pause", "RUN_REQUESTED"),
        ("cancel", "RUN_REQUESTED"),
        ("reset", "PAUSED"),
        ("reconcile", "IDLE"),
    ],
)
def test_a_verb_is_kept_with_who_and_from_where(face, verb, status):
    pipeline = standing(status)
    answer = face.ask(verb, pipeline)
    assert answer.status_code < 400
    (row,) = kept(verb)
    assert (row.user, row.user_name, row.via) == (face.user, face.user.username, face.via)
    assert (row.object_type, row.object_id) == ("pipeline", str(pipeline.pk))
    assert (row.object_name, row.address) == (pipeline.name, "127.0.0.1")


def test_what_is_refused_was_asked_all_the_same(face):
    pipeline = standing("RUNNING")
    face.ask("run", pipeline)
    (row,) = kept("run")
    assert row.details["refused"].startswith("The pipeline is running already.")


def test_asking_twice_is_kept_twice(face):
    pipeline = PipelineFactory()
    face.ask("run", pipeline)
    face.ask("run", pipeline)
    assert [row.details for row in kept("run")] == [{}, {}]


def test_an_edit_is_kept_with_old_and_new_values(face):
    pipeline = PipelineFactory(batch_size=5000)
    face.edit(pipeline, batch_size=700, description="What for.")
    (row,) = kept("edit")
    assert row.details == {"changed": {"batch_size": [5000, 700], "description": ["", "What for."]}}


def test_of_a_long_query_the_beginning_is_kept(face):
    pipeline = PipelineFactory(source_query="SELECT 1 AS id, '" + "x" * 2000 + "' AS a")
    face.edit(pipeline, source_query="SELECT 2 AS id, '" + "y" * 2000 + "' AS a")
    (row,) = kept("edit")
    old, new = row.details["changed"]["source_query"]
    assert (len(old), old[-1]) == (len(new), new[-1]) == (audit.LONGEST, "…")


def test_an_edit_that_changes_nothing_is_none(face):
    face.edit(PipelineFactory(batch_size=5000), batch_size=5000)
    assert kept() == []


def test_making_and_deleting_a_pipeline_is_kept(face):
    face.create("film_dim")
    pipeline = Pipeline.objects.get()
    face.delete(pipeline)
    made, gone = kept("create", "delete")
    assert made.details["changed"]["name"] == [None, "film_dim"]
    assert made.details["changed"]["source_connection"] == [None, "default"]
    assert gone.details["changed"]["name"] == ["film_dim", None]
    assert gone.object_name == "film_dim"


def test_of_a_connection_everything_is_kept_but_its_password(face):
    face.connect("shop")
    shop = Connection.objects.get(name="shop")
    face.change(shop, port=6432, password=f"{SENTINEL}-2")
    face.test(shop)
    face.delete(shop)
    made, edited, secret, tested, gone = kept("create", "edit", "secret", "test", "delete")
    assert made.details["changed"]["host"] == [None, "db.example.com"]
    assert edited.details == {"changed": {"port": [5432, 6432]}}
    assert (secret.details, tested.details) == ({}, {"ok": True})
    assert gone.object_name == "shop"
    everything = str(list(AuditRecord.objects.values()))
    assert SENTINEL not in everything
    assert shop.secret not in everything


def test_a_new_password_alone_is_a_secret_changed_and_no_edit(face):
    face.change(ConnectionFactory(name="shop"), password=SENTINEL)
    assert [row.action for row in kept("secret")] == ["secret"]


def test_where_a_password_is_kept_is_said_and_what_it_is_is_not(face):
    shop = ConnectionFactory(name="shop")
    face.change(shop, password_source="environment", password_reference="ETL_SECRET_SHOP")
    (row,) = kept("edit")
    assert row.details["changed"] == {
        "password_source": ["stored", "environment"],
        "password_reference": ["", "ETL_SECRET_SHOP"],
    }


def test_enabling_and_disabling_are_edits(face):
    pipeline = PipelineFactory()
    if isinstance(face, Admin):
        face.ask("disable", pipeline)
    else:
        face.edit(pipeline, enabled=False)
    (row,) = kept("edit")
    assert row.details == {"changed": {"enabled": [True, False]}}


# Which way


def run(pipeline, authorization):
    path = f"/api/v1/pipelines/{pipeline.pk}/run"
    headers = {"authorization": authorization}
    return client().post(path, content_type="application/json", headers=headers)


def test_a_token_is_kept_by_its_first_letters(db):
    user, pipeline = UserFactory(groups=["operator"]), PipelineFactory()
    token, secret = AuthToken.objects.create(user)
    run(pipeline, f"Token {secret}")
    (row,) = kept("run")
    assert (row.user, row.via, row.token) == (user, "api_token", token.token_key)


def test_a_password_over_the_api_is_another_way(db):
    user, pipeline = UserFactory(groups=["operator"]), PipelineFactory()
    value = b64encode(f"{user.username}:{PASSWORD}".encode()).decode()
    run(pipeline, f"Basic {value}")
    (row,) = kept("run")
    assert (row.user, row.via, row.token) == (user, "api_basic", "")


def test_a_command_says_so(db):
    lifecycle.request_run(PipelineFactory().pk, by=None, trigger=Trigger.COMMAND)
    (row,) = kept("run")
    assert (row.user, row.user_name, row.via, row.address) == (None, "", "command", None)


# Users and groups


def test_what_changes_of_a_user_is_kept(db):
    admin, anna = person(), UserFactory(username="anna", groups=["viewer"])
    editor = Group.objects.get(name="editor")
    admin.post(page(anna), posted(admin, anna, groups=[editor.pk], is_active=""))
    (row,) = kept("rights")
    assert row.details["changed"] == {
        "is_active": [True, False],
        "groups": [["viewer"], ["editor"]],
    }
    assert (row.object_type, row.object_name, row.user) == ("user", "anna", admin.user)


def test_making_and_deleting_a_user_is_kept_without_the_password(db):
    admin = person()
    form = {
        "username": "anna",
        "usable_password": "true",
        "password1": SENTINEL,
        "password2": SENTINEL,
        "is_staff": "on",
        "groups": [Group.objects.get(name="operator").pk],
    }
    admin.post(listing(User, "add"), form)
    admin.post(page(User.objects.get(username="anna"), "delete"), {"post": "yes"})
    made, gone = kept("create", "delete")
    assert made.details["changed"]["groups"] == [[], ["operator"]] or made.details["changed"][
        "groups"
    ] == [None, ["operator"]]
    assert gone.object_name == "anna"
    assert SENTINEL not in str(list(AuditRecord.objects.values()))


def test_a_group_that_a_superuser_changes_is_kept(db):
    boss = person(None, is_superuser=True)
    boss.post(listing(Group, "add"), {"name": "night"})
    group = Group.objects.get(name="night")
    boss.post(page(group), {"name": "day"})
    boss.post(page(group, "delete"), {"post": "yes"})
    made, changed, gone = kept("create", "rights", "delete")
    assert changed.details == {"changed": {"name": ["night", "day"]}}
    assert (made.object_name, gone.object_name) == ("night", "day")


def test_a_deleted_users_records_stay_with_the_name(db):
    anna, pipeline = UserFactory(username="anna"), PipelineFactory()
    lifecycle.request_run(pipeline.pk, by=anna, trigger=Trigger.API)
    anna.delete()
    (row,) = kept("run")
    assert (row.user, row.user_name) == (None, "anna")


# Looking at a query that is not stored

LOOKED = "SELECT secret FROM salaries"


@pytest.fixture
def _nothing_found():
    found = preflight.Rejected({"source_query": ["It does not exist there."]})
    with (
        mock.patch("runner.preflight.preview", side_effect=found),
        mock.patch("runner.preflight.validate", side_effect=found),
    ):
        yield


@pytest.mark.usefixtures("_nothing_found")
def test_a_preview_is_kept_with_its_query(db):
    client, pipeline = person("editor"), PipelineFactory(name="films")
    api = Asker(user=client.user)
    new = new_pipeline(name="new", source_query=LOOKED)
    changed = {"pipeline": str(pipeline.pk), "name": "renamed", "source_query": LOOKED}

    client.post(listing(Pipeline, "preview"), new)
    api.post("/preview", {"source_query": LOOKED, "target_table": "analytics.films"})
    form = posted(client, pipeline, name="renamed", source_query=LOOKED)
    client.post(f"{listing(Pipeline, 'preview')}?pipeline={pipeline.pk}", form)
    api.post("/preview", changed)

    rows = kept("preview")
    key = str(pipeline.pk)
    found = [(row.object_name, row.object_id, row.via) for row in rows]
    assert found == [
        ("new", "", "admin"),
        ("", "", "api_session"),
        ("films", key, "admin"),
        ("films", key, "api_session"),
    ]
    details = {"source_connection": "default", "source_query": LOOKED}
    assert [(row.user, row.details) for row in rows] == [(client.user, details)] * 4
    pages = [person("administrator").get(page(row)).content.decode() for row in rows]
    assert all(LOOKED in shown for shown in pages)


@pytest.mark.usefixtures("_nothing_found")
def test_checking_a_definition_reads_no_rows_and_is_not_kept(db):
    person("editor").post(listing(Pipeline, "validate"), new_pipeline())
    assert kept() == []


def test_bringing_a_definition_back_is_an_edit(db):
    client, pipeline = person("editor"), PipelineFactory(batch_size=7)
    first = changes.newest_first(pipeline).get()
    pipeline.batch_size = 8
    lifecycle.edit(pipeline, {"batch_size"}, by=None)

    restore = reverse("admin:pipelines_pipeline_restore", args=[pipeline.pk, first.pk])
    client.post(restore, {"version": pipeline.updated_at.isoformat()})

    _by_command, row = kept("edit")
    assert (row.user, row.details) == (client.user, {"changed": {"batch_size": [8, 7]}})
    assert changes.newest_first(pipeline).count() == 3


# Both or neither


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_audited_does_not_happen():
    pipeline, shop = PipelineFactory(), ConnectionFactory(name="shop")
    with mock.patch.object(AuditRecord.objects, "create", side_effect=DatabaseError("full")):
        for deed in (
            lambda: lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API),
            lambda: lifecycle.reset_checkpoint(pipeline.pk, by=None),
            lambda: lifecycle.delete(pipeline.pk, by=None),
            lambda: changes.change_connection(shop, {"port": 1}, by=None),
            lambda: changes.delete(shop, by=None),
            lambda: changes.create(Connection(name="new", host="h", dbname="d", user="u"), by=None),
        ):
            with pytest.raises(DatabaseError):
                deed()
        pipeline.batch_size = 7
        with pytest.raises(DatabaseError):
            lifecycle.edit(pipeline, {"batch_size"}, by=None)
    shop = Connection.objects.get(name="shop")
    assert [changes.newest_first(row).count() for row in (pipeline, shop)] == [1, 1]
    pipeline.refresh_from_db()
    assert (pipeline.status, pipeline.checkpoint_epoch, pipeline.batch_size) == ("IDLE", 0, 5000)
    assert shop.port == 5432
    assert not Connection.objects.filter(name="new").exists()


@pytest.mark.django_db(transaction=True)
def test_what_does_not_happen_is_not_audited():
    pipeline = PipelineFactory()
    away = mock.patch("pipelines.lifecycle.people.wake", side_effect=DatabaseError("away"))
    with away, pytest.raises(DatabaseError):
        lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
    assert kept() == []


# Kept for good


def execute(statement):
    with transaction.atomic(), connection.cursor() as cursor:
        # A table with checks that are still to come cannot be truncated in any case.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement)


def refused(statement):
    with pytest.raises(DatabaseError, match="never changed or deleted") as caught:
        execute(statement)
    assert isinstance(caught.value.__cause__, psycopg.errors.RestrictViolation)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pipelines_auditrecord SET user_name = 'somebody else'",
        "UPDATE pipelines_auditrecord SET details = '{}'",
        "UPDATE pipelines_auditrecord SET user_id = NULL, user_name = ''",
        "UPDATE pipelines_auditrecord SET at = now() - interval '10 years'",
        "DELETE FROM pipelines_auditrecord",
        "TRUNCATE pipelines_auditrecord",
        "TRUNCATE auth_user CASCADE",
    ],
)
def test_the_database_refuses_to_change_it(db, statement):
    lifecycle.request_run(PipelineFactory().pk, by=UserFactory(), trigger=Trigger.API)
    refused(statement)


def test_pruning_by_hand_takes_nothing_of_today(db):
    audit.record(AuditAction.RUN, by=None)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL etl.prune = 'on'")
    refused("DELETE FROM pipelines_auditrecord")
    refused("UPDATE pipelines_auditrecord SET user_name = 'x'")
    refused("TRUNCATE pipelines_auditrecord")


def aged(days):
    """A record that is so old already; it is born that way, since it cannot be changed."""
    at = timezone.now() - timedelta(days=days)
    return AuditRecord.objects.create(action="run", via="command", at=at)


def test_records_go_when_their_time_is_over(db, settings):
    settings.AUDIT_DAYS = 30
    kept_row = aged(29)
    for _ in range(3):
        aged(31)
    assert [retention.prune_audit(limit=2) for _ in range(3)] == [2, 1, 0]
    assert list(AuditRecord.objects.all()) == [kept_row]
    refused("DELETE FROM pipelines_auditrecord")


def test_the_command_prunes_the_audit_too(db):
    aged(366)
    aged(364)
    said = StringIO()
    call_command("prune", stdout=said)
    assert AuditRecord.objects.count() == 1
    assert "Deleted 1 audit records older than 365 days." in said.getvalue()


# In the admin


def test_the_list_is_searched_and_filtered(db):
    admin = person()
    anna, pipeline = UserFactory(username="anna"), PipelineFactory(name="film_dim")
    lifecycle.request_run(pipeline.pk, by=anna, trigger=Trigger.API)
    audit.record(AuditAction.SIGN_IN_FAILED, by=None, name="mallory")
    path = listing(AuditRecord)

    def shown(query):
        found = admin.get(f"{path}?{query}").context["cl"].result_list
        return sorted({row.user_name for row in found} - {admin.user.username})

    assert shown("") == ["anna", "mallory"]
    assert shown("action__exact=run") == ["anna"]
    assert shown(f"who={anna.pk}") == ["anna"]
    assert shown("object=pipeline") == ["anna"]
    assert shown("via__exact=command") == ["anna", "mallory"]
    assert shown("q=mallo") == ["mallory"]
    assert shown("q=film") == ["anna"]
    assert shown(f"q={pipeline.pk}") == ["anna"]
    assert shown("who=nobody&q=zzz") == []


def test_a_record_has_old_and_new_side_by_side(db):
    admin, pipeline = person(), PipelineFactory(batch_size=5000)
    Api(admin).edit(pipeline, batch_size=700, description="<script>alert(1)</script>")
    (row,) = kept("edit")
    html = admin.get(page(row)).content.decode()
    assert "Batch size" in html
    assert "5000" in html
    assert "700" in html
    assert page(pipeline) in html
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_record_of_what_is_gone_still_has_its_page(db):
    admin, pipeline = person(), PipelineFactory(name="film_dim")
    Api(admin).delete(pipeline)
    html = admin.get(page(kept("delete")[0])).content.decode()
    assert "film_dim" in html
    assert page(pipeline) not in html


@pytest.mark.parametrize("who", ["administrator", "superuser"])
def test_nobody_changes_or_deletes_a_record_in_the_admin(db, who):
    client = person(None, is_superuser=True) if who == "superuser" else person()
    row = aged(400)
    assert client.post(page(row), {"user_name": "x"}).status_code == 403
    assert client.post(page(row, "delete"), {"post": "yes"}).status_code == 403
    body = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    assert client.post(listing(AuditRecord), body).status_code == 403
    assert b"_save" not in client.get(page(row)).content
    assert AuditRecord.objects.filter(pk=row.pk).exists()
