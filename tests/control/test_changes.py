"""What is recorded of changes: one record each, with whose it was, and never a secret."""

import base64
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from knox.models import AuthToken

from pipelines import changes, lifecycle
from pipelines.admin.differences import Kind, between, connection_names
from pipelines.choices import Trigger
from pipelines.definition import FIELDS
from pipelines.lifecycle import TransitionRefused
from pipelines.models import Connection, Pipeline, PipelineState
from pipelines.states import RUN_REQUESTED, RUNNING
from runner.preflight import Findings
from tests.control.asking import Asker, Stranger
from tests.control.standing import holding, standing
from tests.factories import PASSWORD, ConnectionFactory, PipelineFactory, UserFactory, WorkerFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_servers():
    """The question here is what is recorded, not what the servers say."""
    found = Findings(columns=(), target_columns=(), key=(), method="swap")
    with mock.patch("runner.preflight.inspect", return_value=found):
        yield


def kept(row):
    """The records, oldest first: their kind and whose they are."""
    records = changes.newest_first(row).reverse()
    return [(one.history_type, one.history_user) for one in records]


def last(row):
    return changes.newest_first(row).first()


def edit(pipeline, by=None, **values):
    for name, value in values.items():
        setattr(pipeline, name, value)
    lifecycle.edit(pipeline, set(values), by=by)


class TestWhatIsKept:
    def test_of_a_pipeline_the_definition_and_nothing_else(self):
        assert set(changes.values_of(PipelineFactory())) == set(FIELDS)

    def test_of_a_connection_all_but_the_secret(self):
        assert set(changes.values_of(ConnectionFactory())) == {
            "name",
            "host",
            "port",
            "dbname",
            "user",
            "sslmode",
            "password_source",
            "password_reference",
            "target_schemas",
        }

    def test_a_record_has_what_was_stored(self):
        pipeline = PipelineFactory()
        edit(pipeline, source_query="SELECT 2 AS id", key_columns=["id"], batch_size=7)

        assert changes.values_of(last(pipeline)) == changes.values_of(pipeline)
        assert last(pipeline).source_query == "SELECT 2 AS id"


class TestPipelines:
    """One record per change, by the person who made it."""

    @pytest.mark.parametrize("way", ["session", "token", "basic"])
    def test_the_api_records_the_person_however_they_sign_in(self, way):
        user = UserFactory(groups=["administrator"])
        asker, header = Stranger(), {}
        if way == "session":
            asker = Asker(user=user)
        elif way == "token":
            header = {"HTTP_AUTHORIZATION": f"Token {AuthToken.objects.create(user)[1]}"}
        else:
            words = base64.b64encode(f"{user.username}:{PASSWORD}".encode()).decode()
            header = {"HTTP_AUTHORIZATION": f"Basic {words}"}
        new = {"name": "films", "target_table": "analytics.films", "source_query": "SELECT 1 AS id"}

        made = asker.post("/pipelines", new, **header)
        path = f"/pipelines/{made.json()['id']}"
        changed = asker.patch(path, {"batch_size": 7, "source_query": "SELECT 2 AS id"}, **header)
        deleted = asker.delete(path, **header)

        assert [made.status_code, changed.status_code, deleted.status_code] == [201, 200, 204]
        gone = Pipeline(pk=made.json()["id"])
        assert kept(gone) == [("+", user), ("~", user), ("-", user)]

    def test_a_change_of_several_fields_is_one(self):
        pipeline, user = PipelineFactory(), UserFactory()

        edit(pipeline, by=user, name="other", enabled=False, batch_size=1)

        assert kept(pipeline) == [("+", None), ("~", user)]

    def test_an_edit_that_changes_nothing_is_none(self):
        pipeline = PipelineFactory(batch_size=7)

        edit(pipeline, batch_size=7)
        answer = Asker("editor").patch(f"/pipelines/{pipeline.pk}", {"batch_size": 7})
        nothing = Asker("editor").patch(f"/pipelines/{pipeline.pk}", {})

        assert (answer.status_code, nothing.status_code) == (200, 200)
        assert kept(pipeline) == [("+", None)]

    def test_a_refused_edit_is_none(self):
        pipeline = standing(RUNNING)

        with pytest.raises(TransitionRefused):
            edit(pipeline, source_query="SELECT 2 AS id")

        assert kept(pipeline) == [("+", None)]

    def test_an_edit_that_the_database_refuses_is_none(self):
        PipelineFactory(name="taken")
        pipeline = PipelineFactory()

        with pytest.raises(IntegrityError), transaction.atomic():
            edit(pipeline, name="taken")

        assert kept(pipeline) == [("+", None)]

    def test_one_that_cannot_be_recorded_is_not_stored(self):
        pipeline = PipelineFactory(batch_size=7)

        with (
            mock.patch("pipelines.changes.record", side_effect=RuntimeError),
            pytest.raises(RuntimeError),
        ):
            edit(pipeline, batch_size=8)

        pipeline.refresh_from_db()
        assert pipeline.batch_size == 7

    def test_what_is_rolled_back_leaves_none(self):
        pipeline = PipelineFactory()

        with transaction.atomic():
            edit(pipeline, batch_size=7)
            changes.create(PipelineFactory.build(name="new"), by=None)
            transaction.set_rollback(True)

        assert kept(pipeline) == [("+", None)]
        assert not Pipeline.history.filter(name="new").exists()

    def test_what_cannot_be_created_leaves_none(self):
        PipelineFactory(name="taken")

        with pytest.raises(IntegrityError):
            changes.create(PipelineFactory.build(name="taken"), by=None)
        connection.set_rollback(False)

        assert Pipeline.history.filter(name="taken").count() == 1

    def test_the_lifecycle_records_none(self):
        pipeline, user = standing(RUN_REQUESTED), UserFactory()

        claim = lifecycle.claim(worker=WorkerFactory().pk, lease=30)
        assert claim is not None
        lifecycle.request_pause(pipeline.pk, by=user)
        lifecycle.fail(
            claim, lifecycle.Result(), lifecycle.Failure(sentence="No.", error_class="X")
        )
        lifecycle.reset_checkpoint(pipeline.pk, by=user)
        lifecycle.request_run(pipeline.pk, by=user, trigger=Trigger.API)
        lifecycle.request_cancel(pipeline.pk, by=user)

        assert kept(pipeline) == [("+", None)]

    def test_finishing_a_run_records_none(self):
        pipeline = standing(RUNNING)

        lifecycle.finish(holding(pipeline), lifecycle.Result())

        assert kept(pipeline) == [("+", None)]

    def test_disabling_one_that_waits_is_one_change(self):
        pipeline, user = standing(RUN_REQUESTED), UserFactory()

        edit(pipeline, by=user, enabled=False)

        assert kept(pipeline) == [("+", None), ("~", user)]
        assert not last(pipeline).enabled

    def test_a_deleted_person_leaves_the_record(self):
        pipeline, user = PipelineFactory(), UserFactory()
        edit(pipeline, by=user, batch_size=7)

        User.objects.get(pk=user.pk).delete()

        assert kept(pipeline) == [("+", None), ("~", None)]
        assert last(pipeline).batch_size == 7

    def test_a_change_past_us_is_in_the_next_record(self):
        pipeline = PipelineFactory()
        Pipeline.objects.filter(pk=pipeline.pk).update(batch_size=9)
        pipeline.refresh_from_db()

        edit(pipeline, description="New.")

        assert (last(pipeline).batch_size, last(pipeline).description) == (9, "New.")


class TestConnections:
    """The same, and no password anywhere."""

    def test_each_change_is_one_record_by_its_person(self):
        asker = Asker()
        new = {"name": "shop", "host": "db.example.com", "dbname": "d", "user": "u"}

        asker.post("/connections", new)
        row = Connection.objects.get(name="shop")
        asker.patch("/connections/shop", {"port": 6432, "sslmode": "prefer"})
        asker.patch("/connections/shop", {"port": 6432})
        asker.delete("/connections/shop")

        assert kept(row) == [("+", asker.user), ("~", asker.user), ("-", asker.user)]

    def test_a_new_password_is_recorded_as_that_alone(self):
        row, asker = ConnectionFactory(name="shop"), Asker()

        asker.patch("/connections/shop", {"password": "first secret"})
        asker.patch("/connections/shop", {"password": "second secret", "port": 6432})

        assert [one.history_change_reason for one in changes.newest_first(row)] == [
            changes.NEW_SECRET,
            changes.NEW_SECRET,
            None,
        ]

    def test_no_table_of_records_has_a_password(self):
        asker = Asker()
        new = {"name": "shop", "host": "db.example.com", "dbname": "d", "user": "u"}
        asker.post("/connections", {**new, "password": "first secret"})
        encrypted = [Connection.objects.get(name="shop").secret]
        asker.patch("/connections/shop", {"password": "second secret"})
        encrypted.append(Connection.objects.get(name="shop").secret)
        asker.delete("/connections/shop")

        found = _everything("pipelines_historicalconnection", "pipelines_historicalpipeline")

        assert "db.example.com" in found
        for secret in ("first secret", "second secret", *encrypted):
            assert secret
            assert secret not in found

    def test_a_refused_deletion_leaves_no_record(self):
        row = ConnectionFactory(name="shop")
        PipelineFactory(source_connection=row)

        answer = Asker().delete("/connections/shop")

        assert answer.status_code == 409
        assert kept(row) == [("+", None)]

    def test_one_that_a_record_mentions_can_be_deleted_and_keeps_its_name(self):
        shop = ConnectionFactory(name="shop")
        pipeline = PipelineFactory(source_connection=shop)
        default = Connection.objects.get(name="default")
        edit(pipeline, source_connection=default, target_connection=default)
        assert Asker().delete("/connections/shop").status_code == 204

        newer, older = changes.newest_first(pipeline)[:2]
        found = between(older, newer, connection_names([older, newer]))

        assert [(one.name, one.old, one.new) for one in found] == [
            ("source_connection", "shop", "default"),
            ("target_connection", "shop", "default"),
        ]


def _everything(*tables):
    with connection.cursor() as cursor:
        parts = []
        for table in tables:
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
            parts.append(cursor.fetchone()[0])
    return " ".join(parts)


class TestDifferences:
    """Between two versions, in words."""

    def difference(self, old, new):
        (found,) = between(
            PipelineFactory.build(**old, source_connection=None, target_connection=None),
            PipelineFactory.build(
                **{"name": "same", **new}, source_connection=None, target_connection=None
            ),
            {},
        )
        return found

    @pytest.mark.parametrize(
        ("name", "old", "new", "said"),
        [
            ("enabled", True, False, ("yes", "no")),
            ("batch_size", 5000, 7000, ("5000", "7000")),
            ("key_columns", ["id"], ["id", "day"], ("id", "id, day")),
            ("key_columns", [], ["id"], ("—", "id")),
            ("late_margin", None, "1 day", ("—", "1 day")),
            ("max_shrink_percent", None, 0, ("—", "0")),
            ("null_policy", "fail", "exclude", ("fail: stop", "exclude: leave")),
        ],
    )
    def test_values_are_said_in_words(self, name, old, new, said):
        both = {"name": "same", "target_table": "analytics.t"}

        found = self.difference({**both, name: old}, {**both, name: new})

        assert found.name == name
        assert found.old.startswith(said[0])
        assert found.new.startswith(said[1])

    def lines(self, old, new):
        both = {"name": "same", "target_table": "analytics.t"}
        found = self.difference({**both, "source_query": old}, {**both, "source_query": new})
        return [(line.kind, line.text) for line in found.lines]

    def test_a_text_is_compared_line_by_line_with_three_lines_around(self):
        old = "\n".join("abcdefghijkl")

        found = self.lines(old, old.replace("f", "F\nG"))

        assert found == [
            (Kind.GAP, ""),
            (Kind.SAME, "c"),
            (Kind.SAME, "d"),
            (Kind.SAME, "e"),
            (Kind.REMOVED, "f"),
            (Kind.ADDED, "F"),
            (Kind.ADDED, "G"),
            (Kind.SAME, "g"),
            (Kind.SAME, "h"),
            (Kind.SAME, "i"),
            (Kind.GAP, ""),
        ]

    def test_an_invisible_end_is_made_visible(self):
        assert self.lines("a\nb", "a  \r\nb") == [
            (Kind.REMOVED, "a"),
            (Kind.ADDED, "a··␍"),
            (Kind.SAME, "b"),
        ]
        assert self.lines("a", "a\n") == [(Kind.SAME, "a"), (Kind.ADDED, "")]

    def test_the_longest_texts_are_compared_at_once(self):
        old = [f"{number:04x}" for number in range(20_000)]
        new = [old[0], *reversed(old[1:-1]), old[-1]]
        both = {"name": "same", "target_table": "analytics.t"}

        found = self.difference(
            {**both, "source_query": "\n".join(old)}, {**both, "source_query": "\n".join(new)}
        )

        assert (found.added, found.removed) == (19_998, 19_998)
        assert len(found.lines) == 400
        assert found.unshown > 39_000
        assert found.is_long


@pytest.mark.django_db(transaction=True)
def test_the_migration_makes_the_first_record_of_what_is_there():
    pipeline, shop = PipelineFactory(), ConnectionFactory(name="shop", password="secret word")
    PipelineState.objects.create(pipeline=pipeline)
    before = MigrationExecutor(connection)
    latest = before.loader.graph.leaf_nodes()

    before.migrate([("pipelines", "0003_run_history")])
    MigrationExecutor(connection).migrate(latest)

    for row in (pipeline, shop):
        (first,) = changes.newest_first(row)
        assert changes.values_of(first) == changes.values_of(row)
        assert (first.history_type, first.history_user) == ("+", None)
        assert first.history_change_reason == changes.FIRST
        assert first.history_date == row.updated_at
    edit(pipeline, batch_size=7)
    assert [one.batch_size for one in changes.newest_first(pipeline)] == [7, 5000]
