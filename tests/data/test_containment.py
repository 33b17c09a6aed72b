"""Whatever a query is made of, it leaves source and target as they were, even as a superuser.

Preflight, a run and a count are three walls one behind the other; each is tried alone, as if those
before it were not there.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from etl_admin.database.throwaway import throwaway_cluster
from pipelines.models import Connection, PipelineRun
from runner import reconcile
from runner.connections import Session, reading
from runner.contained import ask
from runner.plan import Address, Column, Privileged
from runner.preflight import Rejected, inspect
from runner.preflight.query import describe_query
from runner.source import streaming
from runner.statements import source as queries
from tests.data.comparing import counting
from tests.data.hostile import ADDRESSED, CALLS, QUERIES, World
from tests.data.loading import Loads, address, definition
from tests.factories import ConnectionFactory
from tests.waiting import until

SECURITY = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
#: The column that every hostile SELECT has.
COLUMNS = [Column(name="a", oid=23)]
#: What a session gives when a query is refused; anything else would be a hole in our own code.
REFUSALS = (psycopg.Error, UnicodeEncodeError)


@pytest.fixture(scope="module", params=[16, 18])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A server of each version, as its superuser."""
    with throwaway_cluster(major=request.param) as cluster:
        yield World(cluster)


@pytest.fixture
def superuser(world: World) -> Address:
    """The source, as its superuser."""
    return address("source", world.cluster.url(ADDRESSED[0]))


@pytest.fixture
def target_superuser(world: World) -> Address:
    """The target, as its superuser."""
    return address("target", world.cluster.url(ADDRESSED[1]))


def checked(session: Session, query: str) -> None:
    with suppress(Rejected):
        describe_query(session, query)


def copied(session: Session, query: str) -> None:
    statement = queries.copy_all(query, COLUMNS, binary=False)
    with streaming(session, statement, binary=False) as stream:
        while stream.wait_first():
            assert list(stream.pieces(1000))


def counted(session: Session, query: str) -> None:
    ask(session, queries.count(query))


def looked_for(session: Session, query: str) -> None:
    ask(session, queries.any_placeless(query, COLUMNS[0]))


@pytest.mark.parametrize("wall", [checked, copied, counted, looked_for])
def test_each_wall_alone_keeps_every_query_from_changing_anything(
    world: World, superuser: Address, wall: Callable[[Session, str], None]
) -> None:
    with world.unchanged():
        for query in QUERIES:
            with reading(superuser) as session, suppress(*REFUSALS):
                wall(session, query)


@pytest.mark.parametrize("wall", [checked, copied, counted])
def test_nothing_of_a_query_is_left_in_the_session_for_the_next_one(
    superuser: Address, wall: Callable[[Session, str], None]
) -> None:
    # Those of plpgsql appear with its first function.
    kept = "SELECT name, setting FROM pg_settings WHERE name !~ '^plpgsql' ORDER BY name"
    with reading(superuser) as session:
        before = session.execute(kept).fetchall()
        for query in CALLS:
            with suppress(*REFUSALS):
                wall(session, query)
            assert session.execute(kept).fetchall() == before, query
            left = session.execute(
                "SELECT count(*), current_user::text, pg_my_temp_schema() FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            ).fetchone()
            assert left == (0, "postgres", 0), query


def test_the_preflight_and_a_count_of_every_query_change_nothing(
    world: World, superuser: Address, target_superuser: Address
) -> None:
    with world.unchanged():
        for query in QUERIES:
            asked = definition(query, source=superuser, target=target_superuser)
            with suppress(Rejected):
                inspect(asked)
            with suppress(reconcile.ReconcileFailed):
                counting(asked, seconds=5)


def test_a_run_of_every_query_changes_nothing_but_its_own_target(
    db: None, world: World, superuser: Address, target_superuser: Address
) -> None:
    with world.session() as source, world.session(ADDRESSED[1]) as target:
        loads = Loads(
            source=source,
            target=target,
            source_connection=saved(superuser, target_schemas=[]),
            target_connection=saved(target_superuser, target_schemas=["analytics"]),
        )
        pipeline = loads.define("SELECT 1 AS a", allow_empty=True)
        with world.unchanged():
            for query in CALLS:  # the preflight, which is tried above, takes no others
                pipeline.source_query = query
                pipeline.save(update_fields=["source_query"])
                loads.run(pipeline)
        assert loads.leftovers() == []
        assert PipelineRun.objects.filter(status="SUCCESS").exists()


@dataclass(frozen=True, kw_only=True)
class Lasting:
    """A call that reaches beyond its transaction: what docs/security.md calls it, and its traces
    (a query that is true once it has happened)."""

    word: str
    call: str
    traces: str
    before: str = ""


SEGMENT = "div(pg_current_wal_insert_lsn() - '0/0', 16777216)"
LASTING = [
    Lasting(
        word="lo_export",
        call="lo_export(77, 'marker_export')",
        traces="SELECT (pg_stat_file('marker_export', true)).size IS NOT NULL",
    ),
    Lasting(
        word="COPY … TO PROGRAM",
        call="runs_a_program()",
        traces="SELECT (pg_stat_file('marker_program', true)).size IS NOT NULL",
        before="CREATE OR REPLACE FUNCTION runs_a_program() RETURNS int LANGUAGE plpgsql AS $$"
        " BEGIN COPY (SELECT 1) TO PROGRAM 'touch marker_program'; RETURN 1; END $$",
    ),
    Lasting(
        word="pg_create_physical_replication_slot",
        call="pg_create_physical_replication_slot('etl_lasting')::text",
        traces="SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'etl_lasting')",
    ),
    Lasting(
        word="pg_terminate_backend",
        call="(SELECT bool_and(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
        " WHERE application_name = 'victim')",
        traces="SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim')",
    ),
    Lasting(
        word="pg_switch_wal",
        call="pg_switch_wal()::text",
        traces=f"SELECT {SEGMENT} > current_setting('etl.segment')::numeric",
        before=f"SELECT set_config('etl.segment', {SEGMENT}::text, false),"
        " pg_logical_emit_message(false, 'etl', 'so that there is something to switch')",
    ),
    Lasting(
        word="pg_reload_conf",
        call="pg_reload_conf()",
        traces="SELECT pg_conf_load_time() > current_setting('etl.loaded')::timestamptz",
        before="SELECT set_config('etl.loaded', pg_conf_load_time()::text, false)",
    ),
]


@pytest.mark.parametrize("lasting", LASTING, ids=lambda lasting: lasting.word)
def test_what_cannot_be_contained_is_what_the_documentation_says(
    world: World, superuser: Address, target_superuser: Address, lasting: Lasting
) -> None:
    query = f"SELECT {lasting.call} AS a"
    with world.session() as watcher, world.session() as victim:
        victim.execute("SET application_name = 'victim'")
        if lasting.before:
            watcher.execute(lasting.before)
        with reading(superuser) as session:
            copied(session, query)
        until(lambda: watcher.execute(lasting.traces).fetchone() == (True,), what=lasting.word)
    assert f"`{lasting.word}`" in SECURITY

    refusing = definition(
        query, source=superuser, target=target_superuser, privileged=Privileged.REFUSE
    )
    with pytest.raises(Rejected, match="superuser") as refusal:
        inspect(refusing)
    assert refusal.value.code == "privileged_role"


def saved(where: Address, *, target_schemas: list[str]) -> Connection:
    connection: Connection = ConnectionFactory(
        name=where.name,
        host=where.host,
        port=where.port,
        dbname=where.dbname,
        user=where.user,
        password=where.password,
        target_schemas=target_schemas,
    )
    return connection
