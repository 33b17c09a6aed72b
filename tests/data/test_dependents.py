"""What hangs on a target table (views, keys, triggers, policies, children) is intact afterwards."""

import threading

import psycopg
import pytest

from pipelines.models import Pipeline
from runner import publish
from tests import cluster
from tests.data.loading import Loads, gate_closed, meanwhile, wait_for_session
from tests.data.people import GATED, QUERY, change_source
from tests.data.test_swap_keeps import portrait
from tests.waiting import until


@pytest.mark.parametrize(
    ("statements", "method"),
    [
        ("CREATE VIEW analytics.v AS SELECT name FROM analytics.t", "merge"),
        ("CREATE MATERIALIZED VIEW analytics.v AS SELECT name FROM analytics.t", "merge"),
        ("CREATE TABLE analytics.c (t int REFERENCES analytics.t)", "merge"),
        (
            "CREATE TABLE analytics.p (n text PRIMARY KEY);"
            " INSERT INTO analytics.p SELECT 'person ' || g FROM generate_series(1, 99) g;"
            " INSERT INTO analytics.p VALUES ('old'), ('changed'), ('new');"
            " ALTER TABLE analytics.t ADD FOREIGN KEY (name) REFERENCES analytics.p",
            "merge",
        ),
        (
            "CREATE FUNCTION analytics.f() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RETURN new; END'; CREATE TRIGGER a AFTER INSERT ON analytics.t"
            " FOR EACH ROW EXECUTE FUNCTION analytics.f()",
            "merge",
        ),
        ("CREATE RULE r AS ON INSERT TO analytics.t DO ALSO NOTIFY bell", "merge"),
        ("ALTER TABLE analytics.t ENABLE ROW LEVEL SECURITY", "merge"),
        (
            "CREATE POLICY p ON analytics.t USING (id > 3);"
            " ALTER TABLE analytics.t ENABLE ROW LEVEL SECURITY",
            "merge",
        ),
        ("CREATE TABLE analytics.c () INHERITS (analytics.t)", "merge"),
        (
            "CREATE TABLE analytics.p (id int, name text, modified timestamptz);"
            " ALTER TABLE analytics.t INHERIT analytics.p",
            "merge",
        ),
        ("ALTER TABLE analytics.t SET UNLOGGED", "merge"),
        ("CREATE TABLE analytics.c (whole analytics.t)", "merge"),
        ("CREATE TABLE analytics.c (wholes analytics.t[])", "merge"),
        (
            "CREATE FUNCTION analytics.f(analytics.t) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "merge",
        ),
        (
            "CREATE FUNCTION analytics.f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC"
            " SELECT count(*) FROM analytics.t; END",
            "merge",
        ),
        ("CREATE PUBLICATION p FOR TABLE analytics.t", "merge"),
        ("ALTER TABLE analytics.t ADD serial serial", "merge"),
        ("ALTER TABLE analytics.t ADD number int GENERATED ALWAYS AS IDENTITY", "merge"),
        ("ALTER TABLE analytics.t ADD CHECK (name <> 'old') NOT VALID", "merge"),
        (
            "ALTER TABLE analytics.t DROP CONSTRAINT t_pkey;"
            " CREATE VIEW analytics.v AS TABLE analytics.t",
            "replace",
        ),
    ],
)
def test_what_hangs_on_a_table_is_intact_after_a_merge_or_replace(
    table: Loads, statements: str, method: str
) -> None:
    table.target.execute(statements)
    before = portrait(table)
    oid = table.value("SELECT 'analytics.t'::regclass::oid")
    hanging = table.rows(
        "SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend"
        " WHERE refobjid = 'analytics.t'::regclass ORDER BY 1"
    )
    pipeline = table.define(QUERY)

    run = table.succeed(pipeline)

    assert run.publish == method
    assert table.assert_equal(QUERY) == 10
    assert table.value("SELECT 'analytics.t'::regclass::oid") == oid
    assert portrait(table) == before
    assert hanging == table.rows(
        "SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend"
        " WHERE refobjid = 'analytics.t'::regclass ORDER BY 1"
    )
    change_source(table)
    table.succeed(pipeline)
    assert table.assert_equal(QUERY) == 10
    assert table.leftovers() == []


def test_a_publication_of_all_tables_counts_too(table: Loads) -> None:
    with cluster.superuser(table.target.info.dbname) as superuser:
        superuser.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    assert table.succeed(table.define(QUERY)).publish == "merge"
    assert table.assert_equal(QUERY) == 10


def test_a_partitioned_table_is_merged(people: Loads) -> None:
    people.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, name text, modified timestamptz)"
        " PARTITION BY RANGE (id);"
        "CREATE TABLE analytics.t_low PARTITION OF analytics.t FOR VALUES FROM (0) TO (5);"
        "CREATE TABLE analytics.t_rest PARTITION OF analytics.t DEFAULT;"
        "INSERT INTO analytics.t VALUES (2, 'old'), (200, 'old')"
    )
    pipeline = people.define(QUERY)
    assert people.succeed(pipeline).publish == "merge"
    assert people.assert_equal(QUERY) == 10
    assert people.value("SELECT count(*) FROM analytics.t_low") == 4


def test_a_partition_is_merged(people: Loads) -> None:
    people.target.execute(
        "CREATE TABLE analytics.whole (id int PRIMARY KEY, name text, modified timestamptz)"
        " PARTITION BY RANGE (id);"
        "CREATE TABLE analytics.t PARTITION OF analytics.whole FOR VALUES FROM (0) TO (50)"
    )
    assert people.succeed(people.define(QUERY)).publish == "merge"
    assert people.assert_equal(QUERY, "analytics.whole") == 10


@pytest.mark.parametrize("method", ["merge", "replace"])
def test_rows_of_tables_that_inherit_are_never_deleted(table: Loads, method: str) -> None:
    table.target.execute(
        "CREATE TABLE analytics.c (more int) INHERITS (analytics.t);"
        " INSERT INTO analytics.c VALUES (500, 'child')"
    )
    before = table.rows("TABLE analytics.t")
    run = table.fail(table.define(QUERY, publish=method))
    assert "analytics.c" in run.error_message
    assert table.rows("TABLE analytics.t") == before


def test_an_identity_column_takes_the_values_of_the_query(people: Loads) -> None:
    people.target.execute(
        "CREATE TABLE analytics.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text,"
        " modified timestamptz)"
    )
    pipeline = people.define(QUERY)
    assert people.succeed(pipeline).publish == "merge"
    assert people.assert_equal(QUERY) == 10
    change_source(people)
    people.succeed(pipeline)
    assert people.assert_equal(QUERY) == 10


@pytest.mark.parametrize(
    "change",
    [
        "CREATE VIEW analytics.v AS SELECT name FROM analytics.t",
        "ALTER TABLE analytics.t ADD surprise int",
        "CREATE INDEX surprise ON analytics.t (name)",
        "ALTER TABLE analytics.t ADD CONSTRAINT positive CHECK (id > 0)",
        "ALTER TABLE analytics.t ALTER name SET DEFAULT 'x'",
        "ALTER TABLE analytics.t ALTER name SET NOT NULL",
        "ALTER TABLE analytics.t ALTER name TYPE varchar(50)",
        "ALTER TABLE analytics.t SET (fillfactor = 50)",
        "CREATE TABLE analytics.c (t int REFERENCES analytics.t)",
        "ALTER TABLE analytics.t RENAME TO renamed",
        "DROP TABLE analytics.t; CREATE TABLE analytics.t (LIKE people); DROP TABLE people",
    ],
)
def test_a_change_of_the_table_during_the_load_is_not_swapped_away(
    table: Loads, change: str
) -> None:
    table.target.execute("CREATE TABLE people (id int, name text, modified timestamptz)")
    pipeline = table.define(GATED)

    def act() -> None:
        until(table.leftovers, what="a staging table")
        try:
            table.target.execute(change)
        finally:
            opened.set()

    opened = threading.Event()
    with gate_closed(table, opened), meanwhile(act):
        run = table.put_off(pipeline)

    assert run.error_class == "TargetChanged"
    if table.value("SELECT to_regclass('analytics.t')"):
        assert table.rows("SELECT name FROM analytics.t WHERE name <> 'old'") == []


@pytest.mark.parametrize("publish", ["merge", "replace"])
def test_another_table_of_the_same_name_is_not_written_to(table: Loads, publish: str) -> None:
    """What the preflight found out about the table, it found out about the other one."""
    pipeline = table.define(GATED, publish=publish)
    opened = threading.Event()

    def act() -> None:
        until(table.leftovers, what="a staging table")
        table.target.execute(
            "ALTER TABLE analytics.t RENAME TO renamed;"
            "CREATE TABLE analytics.t (LIKE analytics.renamed INCLUDING INDEXES)"
        )
        opened.set()

    with gate_closed(table, opened), meanwhile(act):
        run = table.put_off(pipeline)

    assert run.error_class == "TargetChanged"
    assert table.value("SELECT count(*) FROM analytics.t") == 0


# Foreign keys of other tables


@pytest.fixture
def orders(table: Loads) -> Loads:
    """A target whose rows 5 (stays) and 12 (leaves) are referred to by another table."""
    table.target.execute("CREATE TABLE analytics.orders (n int PRIMARY KEY, person int)")
    table.target.execute("INSERT INTO analytics.orders VALUES (1, 5), (2, 12)")
    return table


def refer(loads: Loads, action: str) -> None:
    """The other table's foreign key."""
    loads.target.execute(
        "ALTER TABLE analytics.orders ADD CONSTRAINT whose FOREIGN KEY (person)"
        f" REFERENCES analytics.t ON DELETE {action}"
    )


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT"])
def test_deletes_that_would_pass_on_are_refused_unless_allowed(orders: Loads, action: str) -> None:
    refer(orders, action)
    before = orders.rows("TABLE analytics.t")
    pipeline = orders.define(QUERY)

    run = orders.fail(pipeline)

    assert run.error_class == "CascadeRefused"
    assert "analytics.orders" in run.error_message
    assert orders.rows("TABLE analytics.orders ORDER BY 1") == [(1, 5), (2, 12)]
    assert orders.rows("TABLE analytics.t") == before
    Pipeline.objects.filter(pk=pipeline.pk).update(allow_cascade=True)
    pipeline.refresh_from_db()
    orders.succeed(pipeline)
    assert orders.assert_equal(QUERY) == 10
    assert orders.rows("TABLE analytics.orders ORDER BY 1") == (
        [(1, 5)] if action == "CASCADE" else [(1, 5), (2, None)]
    )


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "NO ACTION", "RESTRICT"])
def test_children_of_rows_that_stay_are_untouched(orders: Loads, action: str) -> None:
    orders.target.execute("DELETE FROM analytics.orders WHERE n = 2")
    refer(orders, action)
    versions = orders.rows("SELECT xmin::text, * FROM analytics.orders")
    run = orders.succeed(orders.define(QUERY))
    assert run.publish == "merge"
    assert orders.assert_equal(QUERY) == 10
    assert orders.rows("SELECT xmin::text, * FROM analytics.orders") == versions


@pytest.mark.parametrize("action", ["NO ACTION", "RESTRICT"])
def test_a_row_that_may_not_be_deleted_changes_nothing(orders: Loads, action: str) -> None:
    refer(orders, action)
    before = orders.rows("TABLE analytics.t")
    run = orders.fail(orders.define(QUERY))
    assert run.sqlstate in ("23503", "23001")
    assert "whose" in run.error_message
    assert orders.rows("TABLE analytics.t") == before


def test_a_tree_may_lose_whole_branches(loads: Loads) -> None:
    loads.source.execute("CREATE TABLE tree (id int, parent int)")
    loads.source.execute("INSERT INTO tree VALUES (1, NULL), (2, 1)")
    loads.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY,"
        " parent int REFERENCES analytics.t ON DELETE CASCADE)"
    )
    loads.target.execute("INSERT INTO analytics.t VALUES (1, NULL), (8, NULL), (9, 8)")
    pipeline = loads.define("TABLE tree")
    loads.succeed(pipeline)
    assert loads.assert_equal("TABLE tree") == 2


def test_a_composite_foreign_key_is_followed_column_by_column(loads: Loads) -> None:
    loads.target.execute("CREATE TABLE analytics.t (a int, b int, PRIMARY KEY (a, b))")
    loads.target.execute(
        "CREATE TABLE analytics.c (b int, a int,"
        " FOREIGN KEY (a, b) REFERENCES analytics.t (a, b) ON DELETE CASCADE)"
    )
    loads.target.execute("INSERT INTO analytics.t VALUES (1, 2), (2, 1)")
    loads.target.execute("INSERT INTO analytics.c (a, b) VALUES (1, 2)")
    loads.succeed(loads.define("SELECT 1 AS a, 2 AS b"))
    assert loads.fail(loads.define("SELECT 2 AS a, 1 AS b")).error_class == "CascadeRefused"


def test_a_foreign_key_of_a_partitioned_child_is_followed(orders: Loads) -> None:
    orders.target.execute(
        "CREATE TABLE analytics.parts (person int REFERENCES analytics.t ON DELETE CASCADE)"
        " PARTITION BY LIST (person);"
        " CREATE TABLE analytics.part PARTITION OF analytics.parts DEFAULT;"
        " INSERT INTO analytics.parts VALUES (12)"
    )
    assert orders.fail(orders.define(QUERY)).error_class == "CascadeRefused"


# Row security


def test_a_table_whose_rows_are_hidden_from_the_role_is_refused(table: Loads) -> None:
    """Its owner is filtered too where row security is forced: a load could not see what it did."""
    table.target.execute(
        "ALTER TABLE analytics.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        " CREATE POLICY p ON analytics.t USING (id > 8)"
    )
    for fields in ({}, {"mode": "incremental", "incremental_key": "id"}):
        run = table.fail(table.define(QUERY, **fields))
        assert run.error_class == "Preflight"
        assert "Row security" in run.error_message
        assert run.rows_read == 0


# Two at once


def test_a_publish_waits_for_another_to_the_same_table(
    table: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "LOCK_SECONDS", 0.2)
    info = table.target.info
    with psycopg.connect(info.dsn, password=info.password, autocommit=True) as rival:
        rival.execute("BEGIN")
        rival.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('etl_admin:publish:analytics.t', 0))"
        )

        def finish() -> None:
            wait_for_session(table.target, "wait_event = 'advisory'")
            rival.execute("COMMIT")

        with meanwhile(finish):
            table.succeed(table.define(QUERY, publish="merge"))
    assert table.assert_equal(QUERY) == 10


def test_a_query_may_read_the_table_that_it_replaces(table: Loads) -> None:
    table.source_connection = table.target_connection
    query = "SELECT id + 100 AS id, name, modified FROM analytics.t"
    for method in ("swap", "merge", "replace"):
        before = table.rows("SELECT id + 100 FROM analytics.t ORDER BY 1")
        table.succeed(table.define(query, publish=method))
        assert table.rows("SELECT id FROM analytics.t ORDER BY 1") == before
