"""Rows that are gone from the source after an incremental load: counted, deleted or marked."""

from typing import Any

import pytest

from pipelines.models import Pipeline
from pipelines.states import RunStatus
from tests.data.loading import TABLE, Loads
from tests.data.test_repair import QUERY, compared, fill, items, repair

__all__ = ["items"]  # a fixture


def follow(loads: Loads, **fields: Any) -> Pipeline:
    """A pipeline that has loaded the sixty items."""
    given = {"delete_missing": "hard", "max_delete_percent": 50, "batch_size": 7}
    pipeline = loads.follow(QUERY, **{**given, **fields})
    loads.succeed(pipeline)
    return pipeline


def ids(loads: Loads, where: str = "true") -> list[int]:
    return [key for (key,) in loads.rows(f"SELECT id FROM {TABLE} WHERE {where} ORDER BY id")]


def test_rows_that_are_gone_are_deleted(items: Loads) -> None:
    pipeline = follow(items)
    items.source.execute("DELETE FROM items WHERE id <= 20")
    fill(items, 61, 65)

    run = items.succeed(pipeline)

    items.assert_equal(QUERY)
    assert (run.rows_read, run.rows_written) == (5, 25)
    assert run.batches > 2
    event = run.events.latest("at")
    assert "deleted: 20" in event.message


def test_off_leaves_them(items: Loads) -> None:
    pipeline = follow(items, delete_missing="off")
    items.source.execute("DELETE FROM items WHERE id <= 20")

    items.succeed(pipeline)

    assert len(ids(items)) == 60


def test_more_than_allowed_is_not_deleted_and_the_load_stays(items: Loads) -> None:
    pipeline = follow(items, max_delete_percent=10)
    items.source.execute("DELETE FROM items WHERE id <= 20")
    fill(items, 61, 65)

    run = items.fail(pipeline)

    assert run.error_class == "DeletesRefused"
    assert "20 of 65 rows" in str(run.error_message)
    assert len(ids(items)) == 65
    Pipeline.objects.filter(pk=pipeline.pk).update(max_delete_percent=None)
    items.succeed(pipeline)
    items.assert_equal(QUERY)


def test_as_many_as_allowed_is_allowed(items: Loads) -> None:
    pipeline = follow(items, max_delete_percent=10)
    items.source.execute("DELETE FROM items WHERE id <= 6")
    items.succeed(pipeline)
    assert len(ids(items)) == 54


def test_rows_that_left_the_order_stay(items: Loads) -> None:
    items.source.execute("ALTER TABLE items ALTER modified DROP NOT NULL")
    pipeline = follow(items, null_policy="exclude")
    items.source.execute("UPDATE items SET modified = NULL WHERE id = 7")
    items.succeed(pipeline)
    assert len(ids(items)) == 60


def test_many_rows_that_left_the_order_are_not_too_many_gone_ones(items: Loads) -> None:
    items.source.execute("ALTER TABLE items ALTER modified DROP NOT NULL")
    pipeline = follow(items, null_policy="exclude", max_delete_percent=10)
    items.source.execute(
        "UPDATE items SET modified = NULL WHERE id <= 20; DELETE FROM items WHERE id = 60"
    )

    items.succeed(pipeline)

    assert ids(items, "id >= 59") == [59]
    assert len(ids(items)) == 59


def test_a_run_that_finds_nothing_gone_writes_nothing(items: Loads) -> None:
    pipeline = follow(items)
    before = items.rows(f"SELECT id, xmin::text FROM {TABLE} ORDER BY id")
    assert items.succeed(pipeline).rows_written == 0
    assert items.rows(f"SELECT id, xmin::text FROM {TABLE} ORDER BY id") == before


# Marks


def test_a_new_table_gets_the_mark_and_gone_rows_are_marked(items: Loads) -> None:
    pipeline = follow(items, delete_missing="soft", delete_column="deleted_at")
    assert ids(items, "deleted_at IS NOT NULL") == []
    items.source.execute("DELETE FROM items WHERE id <= 5")

    run = items.succeed(pipeline)

    assert ids(items, "deleted_at IS NOT NULL") == [1, 2, 3, 4, 5]
    assert run.rows_written == 5
    assert items.succeed(pipeline).rows_written == 0, "marked rows are not marked again"


def test_rows_that_are_back_lose_their_mark(items: Loads) -> None:
    pipeline = follow(items, delete_missing="soft", delete_column="deleted_at")
    items.source.execute("DELETE FROM items WHERE id <= 5")
    items.succeed(pipeline)
    items.source.execute(
        "INSERT INTO items SELECT n, 'back ' || n, '2026-01-02' FROM generate_series(2, 3) n"
    )

    items.succeed(pipeline)

    assert ids(items, "deleted_at IS NOT NULL") == [1, 4, 5]
    items.assert_equal(QUERY, where="deleted_at IS NULL")


@pytest.mark.parametrize("kind", ["boolean", "date", "timestamp", "timestamptz"])
def test_marks_of_each_type(items: Loads, kind: str) -> None:
    items.target.execute(
        f"CREATE TABLE {TABLE} (id int PRIMARY KEY, word text, modified timestamptz, gone {kind})"
    )
    pipeline = follow(items, delete_missing="soft", delete_column="gone")
    items.source.execute("DELETE FROM items WHERE id = 9")
    items.succeed(pipeline)
    assert ids(items, "gone IS NOT NULL") == [9]


@pytest.mark.parametrize(("column", "error"), [("word", "Preflight"), ("nowhere", "NoMark")])
def test_a_mark_that_cannot_be_set_is_named(items: Loads, column: str, error: str) -> None:
    pipeline = follow(items, delete_missing="off")
    Pipeline.objects.filter(pk=pipeline.pk).update(delete_missing="soft", delete_column=column)
    run = items.fail(pipeline)
    assert run.error_class == error
    assert f"“{column}”" in str(run.error_message)


def test_a_column_that_the_query_fills_is_no_mark(items: Loads) -> None:
    items.source.execute("ALTER TABLE items ADD deleted_at timestamptz")
    items.source.execute("UPDATE items SET deleted_at = '2026-01-05' WHERE id <= 3")
    query = "SELECT id, word, modified, deleted_at FROM items"
    pipeline = items.follow(query)
    items.succeed(pipeline)
    Pipeline.objects.filter(pk=pipeline.pk).update(
        delete_missing="soft", delete_column="deleted_at"
    )

    run = items.fail(pipeline)

    assert "The query returns “deleted_at”" in str(run.error_message)
    assert ids(items, "deleted_at = '2026-01-05'") == [1, 2, 3]


def test_rows_are_unmarked_though_others_may_not_be_marked(items: Loads) -> None:
    pipeline = follow(
        items, delete_missing="soft", delete_column="deleted_at", max_delete_percent=10
    )
    items.source.execute("DELETE FROM items WHERE id <= 2")
    items.succeed(pipeline)
    items.source.execute(
        "INSERT INTO items VALUES (1, 'back', '2026-02-01'), (2, 'back', '2026-02-01');"
        " DELETE FROM items WHERE id BETWEEN 30 AND 50"
    )

    assert items.fail(pipeline).error_class == "DeletesRefused"

    assert ids(items, "deleted_at IS NOT NULL") == []


def test_rows_of_heirs_are_not_marked(items: Loads) -> None:
    pipeline = follow(items, delete_missing="soft", delete_column="deleted_at")
    items.target.execute(
        f"CREATE TABLE analytics.heir () INHERITS ({TABLE});"
        " INSERT INTO analytics.heir VALUES (900, 'its own', '2026-01-01')"
    )

    assert items.fail(pipeline).error_class == "HeirsHaveRows"

    assert ids(items, "deleted_at IS NOT NULL") == []


def test_a_repair_marks_instead_of_deleting(items: Loads) -> None:
    pipeline = follow(items, delete_missing="soft", delete_column="deleted_at")
    items.source.execute("DELETE FROM items WHERE id = 9")

    run = repair(items, compared(pipeline, missing=0, different=0))

    assert run.status == RunStatus.SUCCESS, run.error_message
    assert ids(items, "deleted_at IS NOT NULL") == [9]


def test_a_cascade_is_refused(items: Loads) -> None:
    pipeline = follow(items)
    items.target.execute(
        f"CREATE TABLE analytics.child (id int REFERENCES {TABLE} ON DELETE CASCADE)"
    )
    items.source.execute("DELETE FROM items WHERE id = 9")
    run = items.fail(pipeline)
    assert run.error_class == "CascadeRefused"
    assert len(ids(items)) == 60


def test_gone_rows_are_looked_for_by_the_session_that_was_read_from(
    items: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = follow(items)
    items.source.execute("DELETE FROM items WHERE id <= 3")
    fill(items, 61, 65)

    def other_copy(*_words: Any, **_more: Any) -> Any:
        pytest.fail("Another session may see an older copy of the source.")

    monkeypatch.setattr("runner.comparing.sessions.reading", other_copy)
    items.succeed(pipeline)

    items.assert_equal(QUERY)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("interval", "1 day", "24:00:00"), ("numeric[]", "{1.0}", "{1.00}")],
)
def test_a_key_that_is_only_written_anew_is_not_taken_for_gone(
    loads: Loads, kind: str, before: str, after: str
) -> None:
    loads.source.execute(
        f"CREATE TABLE spans (id {kind} PRIMARY KEY, modified timestamptz NOT NULL);"
        f"INSERT INTO spans VALUES ('{before}', '2026-01-01')"
    )
    given = {"delete_missing": "hard", "max_delete_percent": None}
    pipeline = loads.follow("SELECT id, modified FROM spans", **given)
    loads.succeed(pipeline)
    loads.source.execute(f"UPDATE spans SET id = '{after}'")

    run = loads.succeed(pipeline)

    assert loads.rows(f"SELECT count(*) FROM {TABLE}") == [(1,)]
    assert "can be equal and written differently" in run.events.latest("at").message
