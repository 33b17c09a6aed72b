"""Only the newest generation can write, and a position is read behind the fence, never guessed."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pipelines import lifecycle
from pipelines.models import Installation, Pipeline
from pipelines.states import RunStatus
from runner import fence as fences
from runner import target as targets
from runner.connections import writing
from runner.control import Fenced
from runner.errors import RunError, UnknownOutcome
from runner.fence import Fence, TargetAhead
from runner.plan import Address, Identity
from runner.statements import checkpoint
from tests import cluster
from tests.data.loading import Brake, Loads, gate_closed, meanwhile, wait_for_session
from tests.data.people import GATED, QUERY
from tests.waiting import until

Session = psycopg.Connection[Any]

#: Ten rows, in five batches of two.
ROWS = "SELECT g AS id, g AS modified, 'n' || g AS name FROM generate_series(1, 10) g"


@pytest.fixture
def identity() -> Identity:
    """Who a fence is taken for."""
    return Identity(
        pipeline=uuid4(), installation=uuid4(), generation=1, epoch=0, definition_hash="x"
    )


@pytest.fixture
def rows(loads: Loads) -> Loads:
    """A target for ROWS."""
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY, modified int, name text)")
    return loads


@pytest.fixture
def another(target_url: str) -> Iterator[Callable[[], Session]]:
    """More sessions with the target, not in autocommit."""
    sessions: list[Session] = []

    def connect() -> Session:
        sessions.append(psycopg.connect(target_url))
        return sessions[-1]

    yield connect
    for session in sessions:
        session.close()


# An older generation


def test_a_worker_that_was_superseded_commits_no_batch_and_settles_nothing(rows: Loads) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    with Brake(rows, 5) as brake:

        def supersede() -> None:
            brake.reached()
            rows.target.execute("UPDATE etl.checkpoint SET generation = generation + 1")
            brake.release()

        with meanwhile(supersede):
            run = rows.run(pipeline)

    assert run.status == RunStatus.RUNNING
    assert rows.status(pipeline) == "RUNNING"
    assert rows.value("SELECT max(id) FROM analytics.t") == 4
    assert rows.checkpoint(pipeline)["seq"] == 2


@pytest.mark.parametrize("publish", ["swap", "merge", "replace"])
def test_a_worker_that_was_superseded_publishes_nothing(table: Loads, publish: str) -> None:
    pipeline = table.define(GATED, publish=publish)
    opened = threading.Event()

    def supersede() -> None:
        until(table.leftovers, what="a staging table")
        table.target.execute("UPDATE etl.checkpoint SET generation = generation + 1")
        opened.set()

    with gate_closed(table, opened), meanwhile(supersede):
        run = table.run(pipeline)

    assert run.status == RunStatus.RUNNING
    assert table.rows("SELECT DISTINCT name FROM analytics.t") == [("old",)]


def test_a_generation_that_comes_late_to_the_fence_is_told_the_newer(
    target_address: Address, identity: Identity
) -> None:
    with writing(target_address) as session:
        newer = Fence(session, replace(identity, generation=7))
        newer.prepare()
        newer.take()
        for generation in (6, 7):
            with pytest.raises(TargetAhead) as ahead:
                Fence(session, replace(identity, generation=generation)).take()
            assert ahead.value.generation == 7
        newer.advance(1, "loading", None)


@pytest.mark.parametrize(
    "act",
    [
        lambda fence: fence.advance(1, "loading", None),
        lambda fence: fence.stage("stg_x", "loading"),
        lambda fence: fence.mark("done"),
    ],
)
def test_nothing_passes_a_fence_that_was_raised(
    target_address: Address, identity: Identity, act: Callable[[Fence], None]
) -> None:
    with writing(target_address) as session:
        older, newer = Fence(session, identity), Fence(session, replace(identity, generation=2))
        older.prepare()
        older.take()
        newer.take()
        before = session.execute("SELECT to_jsonb(c) FROM etl.checkpoint c").fetchone()
        with pytest.raises(Fenced):
            act(older)
        assert session.execute("SELECT to_jsonb(c) FROM etl.checkpoint c").fetchone() == before


def test_a_batch_counts_only_from_the_seq_that_it_knows(
    target_address: Address, identity: Identity
) -> None:
    with writing(target_address) as session:
        fence = Fence(session, identity)
        fence.prepare()
        fence.take()
        fence.advance(3, "loading", None)
        fence.counted(3)
        fence.advance(4, "loading", None)
        # Told of no commit, it does not count twice.
        with pytest.raises(Fenced):
            fence.advance(4, "loading", None)
        assert session.execute("SELECT seq, rows FROM etl.checkpoint").fetchone() == (2, 7)


# A batch that is committing while its worker is gone


@pytest.mark.parametrize("first", [checkpoint.first, lambda _: "SELECT %s, %s, %s, %s"])
def test_the_fence_waits_for_a_batch_that_is_committing_and_reads_what_it_wrote(
    people: Loads,
    another: Callable[[], Session],
    monkeypatch: pytest.MonkeyPatch,
    first: Callable[[str], Any],
) -> None:
    """The INSERT of a first row waits for such a batch too, but not for one that comes after it;
    so the read must wait as well when the INSERT does not.
    """
    pipeline = people.define(QUERY, mode="incremental", incremental_key="id", key_columns=["id"])
    people.succeed(pipeline)
    people.source.execute("INSERT INTO people VALUES (11, 'new'), (12, 'new')")
    zombie, watcher = another(), another()
    monkeypatch.setattr(checkpoint, "first", first)
    zombie.execute(
        "INSERT INTO analytics.t VALUES (11, 'new', (SELECT min(modified) FROM analytics.t))"
    )
    zombie.execute("UPDATE etl.checkpoint SET seq = seq + 1, rows = rows + 1, cursor_text = '11'")

    def commit() -> None:
        watcher.autocommit = True
        wait_for_session(watcher, "wait_event_type = 'Lock'")
        zombie.commit()

    with meanwhile(commit):
        run = people.succeed(pipeline)

    assert run.rows_read == 1
    assert people.checkpoint(pipeline)["seq"] == 3
    assert people.value("SELECT max(id) FROM analytics.t") == 12


def test_a_frozen_worker_that_holds_the_fence_is_ended(
    people: Loads, another: Callable[[], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fences, "LOCK_SECONDS", 0.3)
    pipeline = people.define(QUERY, mode="incremental", incremental_key="id", key_columns=["id"])
    people.succeed(pipeline)
    zombie = another()
    zombie.execute(
        "UPDATE etl.checkpoint SET seq = seq + 1, backend_pid = a.pid,"
        " backend_start = a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()"
    )
    zombie.commit()
    zombie.execute("INSERT INTO analytics.t VALUES (99, 'zombie')")
    zombie.execute("UPDATE etl.checkpoint SET seq = seq + 1")

    people.succeed(pipeline)

    with pytest.raises(psycopg.OperationalError):
        zombie.commit()
    assert people.assert_equal(QUERY) == 10


def test_a_stranger_that_holds_the_fence_is_left_alone(
    people: Loads, another: Callable[[], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fences, "LOCK_SECONDS", 0.2)
    pipeline = people.define(QUERY, mode="incremental", incremental_key="id", key_columns=["id"])
    people.succeed(pipeline)
    stranger = another()
    stranger.execute("SELECT * FROM etl.checkpoint FOR UPDATE")
    assert people.put_off(pipeline).sqlstate == "55P03"
    stranger.commit()
    people.succeed(pipeline)


# Who the row belongs to


def test_a_row_of_another_installation_is_refused(people: Loads) -> None:
    pipeline = people.define(QUERY, key_columns=["id"])
    people.succeed(pipeline)
    people.target.execute("UPDATE etl.checkpoint SET installation_uid = gen_random_uuid()")
    before = people.checkpoint(pipeline)

    run = people.fail(pipeline)

    assert run.error_class == "ForeignCheckpoint"
    assert "installation" in run.error_message
    assert people.checkpoint(pipeline) == before


def test_metadata_from_a_backup_goes_past_the_target(people: Loads) -> None:
    pipeline = people.define(QUERY, mode="incremental", incremental_key="id", key_columns=["id"])
    people.succeed(pipeline)
    people.target.execute("UPDATE etl.checkpoint SET generation = 100")

    run = people.succeed(pipeline)

    assert run.generation == 101
    assert run.rows_read == 0
    pipeline.refresh_from_db()
    assert pipeline.generation == 101
    assert people.checkpoint(pipeline)["generation"] == 101
    assert people.succeed(pipeline).generation == 102


def test_who_lost_the_claim_does_not_go_past_the_target(people: Loads) -> None:
    pipeline = people.define(QUERY, key_columns=["id"])
    people.succeed(pipeline)
    people.target.execute("UPDATE etl.checkpoint SET generation = 100")
    held = people.claim(pipeline)
    Pipeline.objects.filter(pk=pipeline.pk).update(generation=50)

    run = people.execute(held, people.control())

    assert run.status == RunStatus.RUNNING
    assert people.checkpoint(pipeline)["generation"] == 100
    pipeline.refresh_from_db()
    assert (pipeline.generation, pipeline.status) == (50, "RUNNING")


# A COMMIT without an answer


def test_a_backend_that_dies_inside_commit_is_settled_by_the_next_run(rows: Loads) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    with Brake(rows, 7, deferred=True) as brake:

        def kill() -> None:
            pid = brake.reached()
            inside = "SELECT query FROM pg_stat_activity WHERE pid = %s"
            assert brake.session.execute(inside, [pid]).fetchone() == ("COMMIT",)
            brake.session.execute("SELECT pg_terminate_backend(%s)", [pid])

        with meanwhile(kill):
            run = rows.put_off(pipeline)
        brake.release()

    assert run.error_class == "UnknownOutcome"
    assert "Next try" in run.error_message
    assert (run.rows_read, run.batches) == (6, 3)
    again = rows.succeed(pipeline)
    assert (again.rows_read, again.resumed) == (4, True)
    assert rows.assert_equal(ROWS) == 10
    assert rows.checkpoint(pipeline)["seq"] == 5


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_commit_that_happened_without_an_answer_is_not_repeated(
    loads: Loads, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    pipeline = loads.define(
        ROWS, mode=mode, incremental_key="modified", key_columns=["id"], batch_size=4
    )

    def commit(session: Any) -> None:
        fences.commit(session)
        raise UnknownOutcome

    with monkeypatch.context() as patch:
        patch.setattr(targets, "commit", commit)
        assert loads.put_off(pipeline).error_class == "UnknownOutcome"

    run = loads.succeed(pipeline)
    assert run.rows_read == (6 if mode == "incremental" else 10)
    assert loads.assert_equal(ROWS) == 10
    assert loads.leftovers() == []


def test_a_publish_that_happened_without_an_answer_is_harmless(
    table: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner import publish

    pipeline = table.define(QUERY)

    def commit(session: Any) -> None:
        fences.commit(session)
        raise UnknownOutcome

    with monkeypatch.context() as patch:
        patch.setattr(publish, "commit", commit)
        assert table.put_off(pipeline).error_class == "UnknownOutcome"

    assert table.assert_equal(QUERY) == 10
    table.succeed(pipeline)
    assert table.assert_equal(QUERY) == 10
    assert table.leftovers() == []


def test_an_error_out_of_commit_itself_is_a_known_rollback(loads: Loads) -> None:
    loads.target.execute("CREATE TABLE analytics.p (id int PRIMARY KEY)")
    loads.target.execute("INSERT INTO analytics.p SELECT generate_series(1, 5)")
    loads.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY"
        " REFERENCES analytics.p DEFERRABLE INITIALLY DEFERRED, modified int, name text)"
    )
    run = loads.fail(loads.follow(ROWS, batch_size=2))
    assert run.sqlstate == "23503"
    assert loads.value("SELECT max(id) FROM analytics.t") == 4


# Staging tables


def test_staging_tables_of_dead_generations_are_dropped_at_the_next_claim(
    people: Loads, another: Callable[[], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fences, "DROP_LOCK_SECONDS", 0.2)
    people.succeed(people.define(QUERY, key_columns=["id"]))
    ours = f"stg_{Installation.identity().hex[:8]}_"
    foreign = f"stg_{uuid4().hex[:8]}_"
    for name in (f"{ours}dead_1", f"{ours}busy_1", f"{foreign}dead_1"):
        people.target.execute(f"CREATE TABLE etl.{name} (id int)")
    with cluster.superuser(people.target.info.dbname) as superuser:
        superuser.execute(f"CREATE TABLE etl.{ours}foreign_1 (id int)")
        superuser.execute(f"ALTER SCHEMA etl OWNER TO {cluster.SOURCE}")
        superuser.execute(f"GRANT USAGE, CREATE ON SCHEMA etl TO {cluster.TARGET}")
    zombie = another()
    zombie.execute(f"INSERT INTO etl.{ours}busy_1 VALUES (1)")

    people.succeed(people.define(QUERY, target_table="analytics.other"))

    assert set(people.leftovers()) == {
        f"etl.{ours}busy_1",
        f"etl.{ours}foreign_1",
        f"etl.{foreign}dead_1",
    }
    zombie.rollback()
    people.succeed(people.define(QUERY, target_table="analytics.third"))
    assert f"etl.{ours}busy_1" not in people.leftovers()


def test_staging_of_a_load_that_runs_is_not_dropped_by_another_claim(people: Loads) -> None:
    first = people.define(GATED, target_table="analytics.a", key_columns=["id"])
    second = people.define(QUERY, target_table="analytics.b", key_columns=["id"])
    people.succeed(second)
    opened = threading.Event()
    seen: list[list[str]] = []
    identity = Installation.identity()

    def look() -> None:
        until(people.leftovers, what="a staging table")
        with writing(address_of(people)) as session:
            other = Identity(
                pipeline=uuid4(), installation=identity, generation=1, epoch=0, definition_hash=""
            )
            Fence(session, other).drop_abandoned()
        seen.append(people.leftovers())
        opened.set()

    with gate_closed(people, opened), meanwhile(look):
        people.succeed(first)

    assert len(seen[0]) == 1
    assert people.leftovers() == []


def test_a_load_that_fails_leaves_no_staging_table(people: Loads) -> None:
    half = f"{QUERY} WHERE 1 / (10 - id) >= 0"
    assert people.fail(people.define(half, batch_size=3)).sqlstate == "22012"
    assert people.leftovers() == []

    twice = f"{QUERY} UNION ALL {QUERY}"
    assert people.fail(people.define(twice, key_columns=["id"])).sqlstate == "23505"
    assert people.leftovers() == []


@pytest.mark.parametrize("is_deleted", [False, True])
def test_staging_of_a_load_that_ended_without_a_word_is_dropped_at_the_next_claim(
    people: Loads, is_deleted: bool
) -> None:
    pipeline = people.define(GATED, target_table="analytics.a")
    control = people.control()
    held = people.claim(pipeline)
    opened = threading.Event()

    def cancel() -> None:
        until(people.leftovers, what="a staging table")
        control.cancel = True

    with gate_closed(people, opened):
        with meanwhile(cancel):
            run = people.execute(held, control)
        opened.set()
    assert run.status == RunStatus.CANCELLED
    assert len(people.leftovers()) == 1
    if is_deleted:
        lifecycle.delete(pipeline.pk)

    people.succeed(people.define(QUERY, target_table="analytics.b"))

    assert people.leftovers() == []


def address_of(loads: Loads) -> Address:
    """The target's address."""
    from runner.addresses import address_of as opened

    return opened(loads.target_connection)


# Making our tables


def test_two_workers_may_make_our_tables_at_once(
    target_address: Address, identity: Identity
) -> None:
    errors: list[BaseException] = []
    start = threading.Barrier(4)

    def prepare() -> None:
        try:
            with writing(target_address) as session:
                start.wait(10)
                fence = Fence(session, replace(identity, pipeline=uuid4()))
                fence.prepare()
                fence.take()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []


def test_a_role_that_may_not_make_our_tables_gets_the_grant_to_ask_for(
    target: Session, target_address: Address, identity: Identity
) -> None:
    stranger = replace(target_address, user=cluster.SOURCE, password=cluster.SOURCE)
    with writing(stranger) as session, pytest.raises(RunError) as refusal:
        Fence(session, identity).prepare()
    assert f'CREATE SCHEMA "etl" AUTHORIZATION "{cluster.SOURCE}";' in refusal.value.sentence
    assert refusal.value.sqlstate == "42501"
    target.execute(f"CREATE SCHEMA etl; GRANT USAGE, CREATE ON SCHEMA etl TO {cluster.SOURCE}")
    with writing(stranger) as session:
        fence = Fence(session, identity)
        fence.prepare()
        fence.take()


def prepare_and_take(fence: Fence) -> None:
    """What each run begins with."""
    fence.prepare()
    fence.take()


def test_a_role_that_may_not_use_our_tables_gets_a_sentence(
    target: Session, target_address: Address, identity: Identity
) -> None:
    with writing(target_address) as session:
        Fence(session, identity).prepare()
    stranger = replace(target_address, user=cluster.SOURCE, password=cluster.SOURCE)
    for grant in ("SELECT 1", f"GRANT USAGE ON SCHEMA etl TO {cluster.SOURCE}"):
        target.execute(grant)
        with writing(stranger) as session, pytest.raises(RunError) as refusal:
            prepare_and_take(Fence(session, identity))
        assert "GRANT" in refusal.value.sentence
        assert refusal.value.sqlstate == "42501"


def test_the_state_schema_can_be_called_otherwise(
    target: Session, target_address: Address, identity: Identity
) -> None:
    with writing(target_address) as session:
        fence = Fence(session, replace(identity, state_schema='My "state"'))
        fence.prepare()
        fence.prepare()
        found = fence.take()
        fence.mark("done")
        fence.drop_abandoned()
    assert (found.phase, found.position) == ("new", None)


def test_a_reset_between_two_runs_of_a_full_load_is_nothing_to_speak_of(people: Loads) -> None:
    pipeline = people.define(QUERY, key_columns=["id"])
    people.succeed(pipeline)
    lifecycle.reset_checkpoint(pipeline.pk, by=None)
    pipeline.refresh_from_db()
    people.succeed(pipeline)
    assert people.checkpoint(pipeline)["epoch"] == 1
