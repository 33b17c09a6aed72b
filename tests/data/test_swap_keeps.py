"""A swap puts a new table in the old one's place: everything but the rows must be as it was."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests import cluster
from tests.data.loading import Loads
from tests.data.people import QUERY

PORTRAIT = """
SELECT 'table', jsonb_build_object('owner', pg_get_userbyid(relowner), 'kind', relkind,
    'space', reltablespace, 'options', reloptions, 'identity', relreplident,
    'toast', (SELECT reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid),
    'comment', obj_description(oid, 'pg_class'), 'type', reltype::regtype::text,
    'array', (SELECT typarray::regtype::text FROM pg_type WHERE oid = reltype),
    'acl', (SELECT jsonb_agg(to_jsonb(a) - 'grantor' ORDER BY a::text) FROM
        aclexplode(coalesce(relacl, acldefault('r', relowner))) a))
FROM pg_class c WHERE oid = %(t)s::regclass
UNION ALL
SELECT 'column', jsonb_build_object('name', attname, 'number', row_number() OVER (ORDER BY attnum),
    'type', format_type(atttypid, atttypmod), 'null', attnotnull, 'target', attstattarget,
    'options', attoptions, 'storage', attstorage, 'compression', attcompression,
    'collation', attcollation::regcollation, 'generated', attgenerated,
    'comment', col_description(attrelid, attnum),
    'acl', (SELECT jsonb_agg(to_jsonb(x) - 'grantor' ORDER BY x::text) FROM aclexplode(attacl) x),
    'default', (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
        WHERE adrelid = attrelid AND adnum = attnum))
FROM pg_attribute WHERE attrelid = %(t)s::regclass AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', jsonb_build_object('name', conname, 'text', pg_get_constraintdef(oid),
    'comment', obj_description(oid, 'pg_constraint'), 'noinherit', connoinherit,
    'deferrable', condeferrable, 'deferred', condeferred)
FROM pg_constraint WHERE conrelid = %(t)s::regclass
UNION ALL
SELECT 'index', jsonb_build_object('text', pg_get_indexdef(oid), 'space', reltablespace,
    'clustered', indisclustered, 'replica', indisreplident, 'comment',
    obj_description(oid, 'pg_class'), 'options', reloptions, 'owner', pg_get_userbyid(relowner),
    'targets', (SELECT jsonb_agg(attstattarget ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = c.oid))
FROM pg_index x JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = %(t)s::regclass
UNION ALL
SELECT 'statistics', jsonb_build_object('text', pg_get_statisticsobjdef(oid),
    'target', stxstattarget, 'owner', pg_get_userbyid(stxowner),
    'comment', obj_description(oid, 'pg_statistic_ext'))
FROM pg_statistic_ext WHERE stxrelid = %(t)s::regclass
ORDER BY 1, 2
"""


def portrait(loads: Loads, table: str = "analytics.t") -> list[tuple[Any, ...]]:
    """Everything that the catalog says of a table but its contents and object ids."""
    with cluster.superuser(loads.target.info.dbname) as session:
        return session.execute(PORTRAIT, {"t": table}).fetchall()


@pytest.fixture
def readers() -> Iterator[tuple[str, str]]:
    """Two roles to grant to."""
    names = (cluster.own("Reader One"), cluster.own("reader_two"))
    with cluster.superuser() as session:
        for name in names:
            session.execute(f'CREATE ROLE "{name}"')
        yield names
        for name in names:
            session.execute(f'DROP ROLE "{name}"')


@pytest.fixture
def tablespace() -> Iterator[str]:
    """A tablespace within the cluster's own folder."""
    name = cluster.own("Extra space")
    with cluster.superuser() as session:
        session.execute("SET allow_in_place_tablespaces = on")
        session.execute(f"CREATE TABLESPACE \"{name}\" LOCATION ''")
        session.execute(f'GRANT CREATE ON TABLESPACE "{name}" TO {cluster.TARGET}')
        yield name
        for database in (cluster.own(cluster.TARGET),):
            with cluster.superuser(database) as inside:
                inside.execute("DROP SCHEMA IF EXISTS analytics CASCADE")
        session.execute(f'DROP TABLESPACE "{name}"')


SWAPPED = """
CREATE TABLE analytics.t (
    id int CONSTRAINT "id is there" NOT NULL CONSTRAINT "Key of t" PRIMARY KEY,
    "Odd ""x"" name" text COLLATE "C" DEFAULT 'it''s',
    code varchar(20) CONSTRAINT t_code_unique UNIQUE DEFERRABLE INITIALLY DEFERRED,
    other varchar(20) UNIQUE DEFERRABLE,
    n numeric(10, 2) CHECK (n > 0) DEFAULT 1,
    place int4range,
    twice int GENERATED ALWAYS AS (id * 2) STORED,
    dropped int,
    body text NOT NULL DEFAULT '',
    CONSTRAINT "apart %" EXCLUDE USING gist (place WITH &&) WHERE (id > 0) DEFERRABLE,
    CONSTRAINT pairs UNIQUE (id, code) INCLUDE (n),
    CONSTRAINT small CHECK (id < 1000000) NO INHERIT
) WITH (fillfactor = 71, autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_enabled = off);
ALTER TABLE analytics.t DROP dropped;
CREATE INDEX ON analytics.t (n DESC NULLS LAST, code varchar_pattern_ops) WITH (fillfactor = 55);
CREATE INDEX "Partial %s index" ON analytics.t (n) WHERE n > 5;
CREATE INDEX t_expression ON analytics.t (lower(body), (id + 1));
CREATE INDEX t_include ON analytics.t (n) INCLUDE (body, code);
CREATE INDEX t_gist ON analytics.t USING gist (place);
CREATE INDEX t_brin ON analytics.t USING brin (id) WITH (pages_per_range = 7);
CREATE INDEX t_hash ON analytics.t USING hash (code);
CREATE UNIQUE INDEX t_identity ON analytics.t (body, id) WHERE true;
CREATE UNIQUE INDEX t_replica ON analytics.t (body, id);
ALTER TABLE analytics.t CLUSTER ON t_include;
ALTER TABLE analytics.t REPLICA IDENTITY USING INDEX t_replica;
ALTER TABLE analytics.t ALTER id SET STATISTICS 17, ALTER n SET (n_distinct = -0.5),
    ALTER body SET STORAGE EXTERNAL, ALTER code SET STATISTICS 0;
ALTER INDEX analytics.t_expression ALTER COLUMN 2 SET STATISTICS 321;
CREATE STATISTICS analytics."t stats" (ndistinct, mcv) ON n, code FROM analytics.t;
CREATE STATISTICS analytics.t_expr ON (lower(body)), n FROM analytics.t;
ALTER STATISTICS analytics."t stats" SET STATISTICS 44;
COMMENT ON TABLE analytics.t IS 'It''s a table %s';
COMMENT ON COLUMN analytics.t.n IS 'a number';
COMMENT ON CONSTRAINT "Key of t" ON analytics.t IS 'the key';
COMMENT ON CONSTRAINT small ON analytics.t IS 'a check';
COMMENT ON CONSTRAINT "apart %" ON analytics.t IS 'an exclusion';
COMMENT ON INDEX analytics.t_include IS 'an index';
COMMENT ON INDEX analytics."Key of t" IS 'the key''s index';
COMMENT ON STATISTICS analytics."t stats" IS 'statistics';
"""
SWAPPED_QUERY = (
    'SELECT g AS id, \'x\' || g AS "Odd ""x"" name", \'c\' || g AS code, g::numeric(10, 2) AS n,'
    " int4range(g, g + 1) AS place, md5(g::text) AS body FROM generate_series(1, 50) g"
)


def test_a_swap_keeps_everything_the_table_had(
    loads: Loads, readers: tuple[str, str], tablespace: str
) -> None:
    loads.target.execute(SWAPPED)
    one, two = readers
    loads.target.execute(
        f'GRANT SELECT, INSERT ON analytics.t TO "{one}" WITH GRANT OPTION;'
        f" GRANT SELECT ON analytics.t TO PUBLIC;"
        f' GRANT SELECT (id, "Odd ""x"" name"), UPDATE (n) ON analytics.t TO "{two}";'
        f" GRANT REFERENCES (id) ON analytics.t TO PUBLIC;"
        f" REVOKE TRUNCATE ON analytics.t FROM {cluster.TARGET};"
        f' ALTER TABLE analytics.t SET TABLESPACE "{tablespace}";'
        f' ALTER INDEX analytics.t_gist SET TABLESPACE "{tablespace}";'
        f' ALTER INDEX analytics.pairs SET TABLESPACE "{tablespace}"'
    )
    before = portrait(loads)

    run = loads.succeed(loads.define(SWAPPED_QUERY))

    assert run.publish == "swap"
    assert loads.assert_equal(SWAPPED_QUERY) == 50
    assert portrait(loads) == before
    assert loads.leftovers() == []
    assert loads.succeed(loads.define(SWAPPED_QUERY)).publish == "swap"
    assert portrait(loads) == before


def test_a_swap_keeps_an_owner_whose_member_we_are(loads: Loads, readers: tuple[str, str]) -> None:
    owner, reader = readers
    with cluster.superuser(loads.target.info.dbname) as session:
        session.execute(f'GRANT "{owner}" TO {cluster.TARGET}')
        session.execute(f'GRANT CREATE, USAGE ON SCHEMA analytics TO "{owner}"')
        session.execute("CREATE TABLE analytics.t (id int PRIMARY KEY)")
        session.execute("CREATE STATISTICS analytics.s ON id, (id + 1) FROM analytics.t")
        session.execute(f'ALTER TABLE analytics.t OWNER TO "{owner}"')
        session.execute(f'ALTER STATISTICS analytics.s OWNER TO "{owner}"')
        session.execute(f'GRANT SELECT ON analytics.t TO "{reader}"')
    before = portrait(loads)
    run = loads.succeed(loads.define("SELECT g AS id FROM generate_series(1, 5) g"))
    assert run.publish == "swap"
    assert portrait(loads) == before
    loads.target.execute("DROP SCHEMA analytics CASCADE")


@pytest.mark.parametrize("granted", ["NULL", "explicit"])
def test_a_swap_gives_nobody_new_rights(
    table: Loads, readers: tuple[str, str], granted: str
) -> None:
    one, two = readers
    if granted == "explicit":
        table.target.execute(f'GRANT SELECT ON analytics.t TO "{one}"')
    before = portrait(table)
    table.target.execute(
        f'ALTER DEFAULT PRIVILEGES GRANT SELECT, DELETE ON TABLES TO "{two}", PUBLIC;'
        f' ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT ALL ON TABLES TO "{one}"'
    )
    try:
        assert table.succeed(table.define(QUERY)).publish == "swap"
        assert portrait(table) == before
    finally:
        table.target.execute(f"DROP OWNED BY {cluster.TARGET}")


def test_a_swap_leaves_the_table_analyzed(table: Loads) -> None:
    table.succeed(table.define(QUERY))
    assert table.value("SELECT reltuples FROM pg_class WHERE oid = 'analytics.t'::regclass") == 10
    assert table.value("SELECT count(*) FROM pg_stats WHERE tablename = 't'") == 3


def test_a_statement_prepared_before_a_swap_works_after_it(table: Loads) -> None:
    table.target.execute("PREPARE names AS SELECT count(*) FROM analytics.t WHERE name = 'old'")
    assert table.value("EXECUTE names") == 10
    table.succeed(table.define(QUERY))
    assert table.value("EXECUTE names") == 0
