"""Repairing: only the rows that differ are moved, at most as many as were confirmed."""

from typing import Any

import pytest

from pipelines import lifecycle
from pipelines.choices import RunKind, Trigger
from pipelines.definition import freeze
from pipelines.models import Pipeline, PipelineRun, Reconciliation
from pipelines.states import PipelineStatus, RunStatus
from runner.control import Control
from tests.control.asking import Asker
from tests.data.comparing import assert_equal
from tests.data.loading import LEASE, LONG_AGO, TABLE, Loads
from tests.factories import WorkerFactory

QUERY = "SELECT id, word, modified FROM items"


@pytest.fixture
def items(loads: Loads) -> Loads:
    """Sixty items in the source."""
    loads.source.execute(
        "CREATE TABLE items (id int PRIMARY KEY, word text, modified timestamptz NOT NULL);"
        " CREATE INDEX ON items (modified, id)"
    )
    fill(loads, 1, 60)
    return loads


def fill(loads: Loads, first: int, last: int) -> None:
    loads.source.execute(
        "INSERT INTO items SELECT n, 'word ' || n, timestamptz '2026-01-01 00:00:00+00'"
        " + n * interval '1 minute' FROM generate_series(%s::int, %s::int) AS n",
        [first, last],
    )


@pytest.fixture(params=["incremental", "full"])
def loaded(items: Loads, request: pytest.FixtureRequest) -> Pipeline:
    """A pipeline that has loaded the sixty items."""
    if request.param == "full":
        pipeline = items.define(QUERY, key_columns=["id"])
    else:
        pipeline = items.follow(QUERY, batch_size=7)
    items.succeed(pipeline)
    return pipeline


def spoil(loads: Loads) -> None:
    """Three rows are missing, two differ, one is extra."""
    loads.target.execute(
        f"DELETE FROM {TABLE} WHERE id IN (3, 30, 60);"
        f" UPDATE {TABLE} SET word = 'spoiled' WHERE id IN (10, 20);"
        f" INSERT INTO {TABLE} VALUES (-5, 'extra', '2026-01-01')"
    )


def compared(pipeline: Pipeline, **counts: int) -> Reconciliation:
    """What a comparison at level rows has found."""
    found = {"missing": 3, "extra": 1, "different": 2, **counts}
    row: Reconciliation = Reconciliation.objects.create(
        pipeline=pipeline,
        level="rows",
        status="WARNING",
        definition=freeze(pipeline),
        key=["id"],
        **found,
    )
    return row


def repair(loads: Loads, found: Reconciliation, *, limit: int = 6) -> PipelineRun:
    """Ask for a repair, claim and execute it; the run as it was settled."""
    held = claimed(found, limit=limit)
    return loads.execute(held, loads.control())


def claimed(found: Reconciliation, *, limit: int = 6) -> Any:
    lifecycle.request_repair(found.pk, limit=limit, by=None, trigger=Trigger.API)
    Pipeline.objects.filter(pk=found.pipeline_id).update(next_attempt_at=LONG_AGO)
    held = lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE)
    assert held is not None
    return held


def test_a_repair_moves_only_the_rows_that_differ(items: Loads, loaded: Pipeline) -> None:
    spoil(items)
    before = dict(items.rows(f"SELECT id, xmin::text FROM {TABLE}"))

    run = repair(items, compared(loaded))

    assert (run.status, run.kind) == (RunStatus.SUCCESS, RunKind.REPAIR), run.error_message
    assert (run.rows_read, run.rows_written) == (5, 6)
    assert run.reconciliation is not None
    items.assert_equal(QUERY)
    after = dict(items.rows(f"SELECT id, xmin::text FROM {TABLE}"))
    assert {key for key in after if before.get(key) != after[key]} == {3, 30, 60, 10, 20}
    loaded.refresh_from_db()
    assert (loaded.repair, loaded.repair_limit) == (None, None)
    assert loaded.status == PipelineStatus.IDLE


def test_the_next_run_is_a_load_again(items: Loads, loaded: Pipeline) -> None:
    spoil(items)
    repair(items, compared(loaded))
    fill(items, 61, 65)

    run = items.succeed(loaded)

    assert run.kind == RunKind.LOAD
    items.assert_equal(QUERY)


def test_a_repair_leaves_the_checkpoint_where_it_was(items: Loads) -> None:
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    spoil(items)
    before = items.checkpoint(pipeline)
    fill(items, 61, 70)

    run = repair(items, compared(pipeline))

    after = items.checkpoint(pipeline)
    assert run.status == RunStatus.SUCCESS, run.error_message
    assert [after[n] for n in ("cursor_text", "key_text")] == [
        before[n] for n in ("cursor_text", "key_text")
    ]
    assert after["generation"] == before["generation"] + 1
    # What is newer than the checkpoint waits for the next load, which reads it alone.
    assert items.value(f"SELECT max(id) FROM {TABLE}") == 60
    assert items.succeed(pipeline).rows_read == 10
    items.assert_equal(QUERY)


def test_more_than_was_confirmed_is_not_changed(items: Loads, loaded: Pipeline) -> None:
    spoil(items)
    found = compared(loaded)
    items.target.execute(f"UPDATE {TABLE} SET word = 'worse' WHERE id = 40")
    before = items.rows(f"SELECT * FROM {TABLE} ORDER BY id")

    run = repair(items, found)

    assert run.status == RunStatus.FAILED
    assert run.error_class == "RepairRefused"
    assert "would change 7 rows by now, and 6 were confirmed" in str(run.error_message)
    assert items.rows(f"SELECT * FROM {TABLE} ORDER BY id") == before


def test_what_is_equal_again_needs_no_write(items: Loads, loaded: Pipeline) -> None:
    run = repair(items, compared(loaded))

    assert run.status == RunStatus.SUCCESS, run.error_message
    assert run.rows_written == 0


def test_rows_that_left_the_order_are_not_deleted(items: Loads) -> None:
    """The source still has the row, though no load would read it."""
    items.source.execute("ALTER TABLE items ALTER modified DROP NOT NULL")
    pipeline = items.follow(QUERY, null_policy="exclude")
    items.succeed(pipeline)
    items.source.execute("UPDATE items SET modified = NULL WHERE id = 7")

    run = repair(items, compared(pipeline, missing=0, different=0))

    assert run.status == RunStatus.SUCCESS, run.error_message
    assert items.value(f"SELECT count(*) FROM {TABLE} WHERE id = 7") == 1


def test_deletes_that_pass_on_are_refused(items: Loads, loaded: Pipeline) -> None:
    spoil(items)
    items.target.execute(
        f"CREATE TABLE analytics.child (id int REFERENCES {TABLE} ON DELETE CASCADE)"
    )
    items.target.execute("INSERT INTO analytics.child VALUES (-5)")

    run = repair(items, compared(loaded))

    assert "analytics.child" in str(run.error_message)
    assert items.value("SELECT count(*) FROM analytics.child") == 1
    Pipeline.objects.filter(pk=loaded.pk).update(allow_cascade=True)
    assert repair(items, compared(loaded)).status == RunStatus.SUCCESS
    items.assert_equal(QUERY)


def test_a_full_table_is_repaired_in_one_step(items: Loads) -> None:
    """A reader sees all of the repair or none of it."""
    pipeline = items.define(QUERY, key_columns=["id"], batch_size=2)
    items.succeed(pipeline)
    spoil(items)

    repair(items, compared(pipeline))

    versions = items.value(
        f"SELECT count(DISTINCT xmin::text) FROM {TABLE} WHERE id IN (3, 30, 60, 10, 20)"
    )
    assert versions == 1


def test_an_incremental_table_is_repaired_in_batches(items: Loads) -> None:
    pipeline = items.follow(QUERY, batch_size=2)
    items.succeed(pipeline)
    spoil(items)

    run = repair(items, compared(pipeline))

    assert run.batches > 1
    items.assert_equal(QUERY)


def test_a_fenced_repair_writes_nothing(items: Loads, loaded: Pipeline) -> None:
    spoil(items)
    held = claimed(compared(loaded))
    control = Control(lease=LEASE, trusted_until=0.0)
    items.controls.append(control)
    before = items.rows(f"SELECT * FROM {TABLE} ORDER BY id")

    items.execute(held, control)

    assert items.rows(f"SELECT * FROM {TABLE} ORDER BY id") == before


def test_a_table_without_a_unique_key_is_refused(items: Loads) -> None:
    items.target.execute(f"CREATE TABLE {TABLE} (id int, word text, modified timestamptz)")
    pipeline = items.define(QUERY, key_columns=["id"])
    items.succeed(pipeline)

    run = repair(items, compared(pipeline))

    assert "no unique index" in str(run.error_message)


# Asking


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"status": "OK"}, "nothing_differs"),
        ({"status": "FAILED"}, "not_repairable"),
        ({"status": "RUNNING"}, "not_repairable"),
        ({"level": "checksum"}, "not_repairable"),
        ({"key": []}, "not_repairable"),
    ],
)
def test_only_rows_that_were_found_are_repaired(
    items: Loads, facts: dict[str, Any], code: str
) -> None:
    found = compared(items.follow(QUERY))
    Reconciliation.objects.filter(pk=found.pk).update(**facts)

    with pytest.raises(lifecycle.RepairRefused) as refused:
        lifecycle.request_repair(found.pk, limit=6, by=None, trigger=Trigger.API)

    assert refused.value.code == code


def test_fewer_than_were_found_are_not_confirmed(items: Loads) -> None:
    with pytest.raises(lifecycle.RepairRefused) as refused:
        lifecycle.request_repair(
            compared(items.follow(QUERY)).pk, limit=5, by=None, trigger=Trigger.API
        )
    assert "6 rows" in refused.value.sentence


def test_another_definition_has_to_be_compared_again(items: Loads) -> None:
    pipeline = items.follow(QUERY)
    found = compared(pipeline)
    Pipeline.objects.filter(pk=pipeline.pk).update(source_query=f"{QUERY} WHERE id > 0")
    with pytest.raises(lifecycle.RepairRefused) as refused:
        lifecycle.request_repair(found.pk, limit=6, by=None, trigger=Trigger.API)
    assert refused.value.code == "outdated"


def test_a_requested_run_is_not_turned_into_a_repair(items: Loads) -> None:
    pipeline = items.follow(QUERY)
    lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
    with pytest.raises(lifecycle.TransitionRefused):
        lifecycle.request_repair(compared(pipeline).pk, limit=6, by=None, trigger=Trigger.API)
    pipeline.refresh_from_db()
    assert pipeline.repair_limit is None


# By the API


def test_a_repair_is_asked_for_with_a_limit(items: Loads) -> None:
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    spoil(items)
    path = f"/reconciliations/{compared(pipeline).pk}/repair"
    operator = Asker("operator")

    unconfirmed = operator.post(path, {})
    too_low = operator.post(path, {"max_rows": 5})
    asked = operator.post(path, {"max_rows": 6})

    assert (unconfirmed.status_code, list(unconfirmed.json()["errors"])) == (400, ["max_rows"])
    assert (too_low.status_code, too_low.json()["code"]) == (409, "limit_too_low")
    assert asked.status_code == 202
    assert asked.json() == {"pipeline_id": str(pipeline.pk), "status": "RUN_REQUESTED"}
    assert Asker("viewer").post(path, {"max_rows": 6}).status_code == 403


def test_the_history_of_runs_tells_repairs(items: Loads) -> None:
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    spoil(items)
    found = compared(pipeline)
    repair(items, found)

    repaired, loaded = Asker("viewer").get(f"/pipelines/{pipeline.pk}/runs").json()

    assert (repaired["kind"], repaired["reconciliation_id"]) == ("repair", str(found.pk))
    assert (loaded["kind"], loaded["reconciliation_id"]) == ("load", None)


def test_the_tries_of_a_repair_change_no_more_rows_than_were_confirmed(items: Loads) -> None:
    pipeline = items.follow(QUERY, batch_size=2)
    items.succeed(pipeline)
    items.target.execute(f"DELETE FROM {TABLE} WHERE id <= 6")
    items.target.execute(
        "CREATE FUNCTION analytics.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END$$;"
        f" CREATE TRIGGER not_now BEFORE INSERT ON {TABLE} FOR EACH ROW"
        " WHEN (new.id = 6) EXECUTE FUNCTION analytics.refuse()"
    )
    found = compared(pipeline, missing=6, extra=0, different=0)
    run = repair(items, found, limit=6)
    assert (run.status, run.rows_written) == (RunStatus.FAILED, 4)
    items.target.execute(f"DROP TRIGGER not_now ON {TABLE}; DELETE FROM {TABLE} WHERE id > 56")

    Pipeline.objects.update(next_attempt_at=LONG_AGO)
    held = lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE)
    assert held is not None
    run = items.execute(held, items.control())

    assert run.error_class == "RepairRefused"
    assert "would change 6 rows by now, and 2 were confirmed" in str(run.error_message)


def test_counts_that_agree_do_not_call_a_repair_outdated(items: Loads, loaded: Pipeline) -> None:
    spoil(items)
    found = compared(loaded)
    Reconciliation.objects.create(pipeline=loaded, level="count", status="OK")
    assert repair(items, found).status == RunStatus.SUCCESS


def test_rows_that_no_load_reads_stay_and_the_run_says_so(items: Loads) -> None:
    items.source.execute("ALTER TABLE items ALTER modified DROP NOT NULL")
    pipeline = items.follow(QUERY, null_policy="exclude")
    items.succeed(pipeline)
    items.source.execute("UPDATE items SET modified = NULL WHERE id <= 2")

    run = repair(items, compared(pipeline, missing=0, extra=2, different=0), limit=2)

    assert (run.status, run.rows_written) == (RunStatus.SUCCESS, 0)
    assert "Extra rows that stay: 2." in run.events.latest("at").message


def test_a_row_may_come_with_what_an_extra_one_holds(items: Loads, loaded: Pipeline) -> None:
    items.target.execute(
        f"DELETE FROM {TABLE} WHERE id = 3; CREATE UNIQUE INDEX ON {TABLE} (word);"
        f" INSERT INTO {TABLE} VALUES (-5, 'word 3', '2026-01-01')"
    )

    run = repair(items, compared(loaded, missing=1, different=0), limit=2)

    assert (run.status, run.rows_written) == (RunStatus.SUCCESS, 2), run.error_message
    items.assert_equal(QUERY)


def test_rows_whose_key_is_null_are_not_doubled(items: Loads) -> None:
    items.source.execute("ALTER TABLE items DROP CONSTRAINT items_pkey, ALTER id DROP NOT NULL")
    items.source.execute("INSERT INTO items VALUES (NULL, 'no key', '2026-01-01')")
    items.target.execute(f"CREATE TABLE {TABLE} (id int UNIQUE, word text, modified timestamptz)")
    pipeline = items.define(QUERY, key_columns=["id"])
    items.succeed(pipeline)
    items.target.execute(f"UPDATE {TABLE} SET word = 'spoiled' WHERE id IS NULL OR id = 7")

    run = repair(items, compared(pipeline, missing=0, extra=0, different=2), limit=2)

    assert (run.status, run.rows_written) == (RunStatus.SUCCESS, 1), run.error_message
    assert "stay, since their key has a NULL: 1." in run.events.latest("at").message
    stays = items.rows(f"SELECT count(*), min(word) FROM {TABLE} WHERE id IS NULL")
    assert stays == [(1, "spoiled")]


def test_of_one_key_twice_a_repair_writes_what_a_load_would(items: Loads) -> None:
    items.source.execute(
        "ALTER TABLE items DROP CONSTRAINT items_pkey; DELETE FROM items WHERE id = 5;"
        " INSERT INTO items VALUES (5, 'new', '2026-02-01 02:00'), (5, 'old', '2026-02-01 01:00')"
    )
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    items.target.execute(f"UPDATE {TABLE} SET word = 'spoiled' WHERE id = 5")

    run = repair(items, compared(pipeline, missing=1, extra=0, different=1), limit=2)

    assert run.status == RunStatus.SUCCESS, run.error_message
    assert items.rows(f"SELECT word FROM {TABLE} WHERE id = 5") == [("new",)]


def test_an_empty_source_does_not_empty_the_table(items: Loads, loaded: Pipeline) -> None:
    items.source.execute("DELETE FROM items")
    run = repair(items, compared(loaded, missing=0, extra=60, different=0), limit=60)
    assert (run.status, run.rows_written) == (RunStatus.FAILED, 0)
    assert "The query returned no rows" in (run.error_message or "")
    assert items.rows(f"SELECT count(*) FROM {TABLE}") == [(60,)]


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_repair_deletes_no_more_than_a_load_may(items: Loads, mode: str) -> None:
    if mode == "full":
        pipeline = items.define(QUERY, key_columns=["id"], max_shrink_percent=10)
    else:
        pipeline = items.follow(QUERY, max_delete_percent=10)
    items.succeed(pipeline)
    items.source.execute("DELETE FROM items WHERE id <= 7")

    run = repair(items, compared(pipeline, missing=0, extra=7, different=0), limit=7)

    assert (run.status, run.rows_written) == (RunStatus.FAILED, 0)
    assert "would delete 7 of 60 rows" in (run.error_message or "")


def test_rows_of_another_pipeline_are_not_deleted(items: Loads, loaded: Pipeline) -> None:
    twin = items.define(QUERY, name="twin")
    with pytest.raises(lifecycle.RepairRefused, match="“twin” writes to this table too"):
        claimed(compared(loaded))
    twin.delete()
    repair(items, compared(loaded), limit=6)


def test_after_a_reset_rows_without_a_place_are_not_missing(items: Loads) -> None:
    items.source.execute("ALTER TABLE items ALTER modified DROP NOT NULL")
    items.source.execute("UPDATE items SET modified = NULL WHERE id = 1")
    pipeline = items.follow(QUERY, null_policy="exclude")
    items.succeed(pipeline)
    lifecycle.reset_checkpoint(pipeline.pk, by=None)
    assert_equal(pipeline)
