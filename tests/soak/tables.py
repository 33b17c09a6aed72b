"""Ten pipelines of every kind, and writers that never rest, with long transactions."""

import random
import threading
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pipelines.models import Pipeline
from tests.factories import PipelineFactory
from tests.whole.faults.servers import Server

FIRST_ROWS = 20_000
#: A full load stays about so large, and so its source is pruned.
MOST_ROWS = 40_000


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A source table, and how its pipeline moves it. `key` is the type of `modified`."""

    name: str
    key: str = "timestamptz"
    stamp: str = "now()"
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether deletes are seen, too."""
        return self.fields.get("mode") != "incremental"

    @property
    def query(self) -> str:
        """What the pipeline reads."""
        return f"SELECT id, sub, modified, amount, pad FROM public.{self.name}"


def _incremental(**fields: Any) -> dict[str, Any]:
    return {"mode": "incremental", "incremental_key": "modified", **fields}


KINDS = (
    Kind(name="full_auto"),
    Kind(name="full_swap", fields={"publish": "swap", "batch_size": 1000}),
    Kind(name="full_merge", fields={"publish": "merge", "batch_size": 3000}),
    Kind(name="full_replace", fields={"publish": "replace"}),
    Kind(name="since_timestamptz", fields=_incremental(batch_size=1000)),
    Kind(name="since_timestamp", key="timestamp", fields=_incremental(batch_size=700)),
    Kind(name="since_seconds", key="timestamptz(0)", fields=_incremental(batch_size=500)),
    Kind(name="since_xid", key="xid8", stamp="pg_current_xact_id()", fields=_incremental()),
    Kind(
        name="since_number",
        key="bigint",
        stamp="nextval('public.numbers')",
        fields=_incremental(late_margin="30000", batch_size=2000),
    ),
    Kind(name="since_or_null", fields=_incremental(null_policy="include")),
)


def make_tables(session: psycopg.Connection[Any], kind: Kind) -> None:
    """The source table with its first rows; amounts of each transaction add up to nothing."""
    session.execute(
        f"CREATE TABLE public.{kind.name} (id bigint, sub int, modified {kind.key},"
        " amount numeric NOT NULL, pad text, PRIMARY KEY (id, sub));"
        f"ALTER TABLE public.{kind.name} OWNER TO source;"
        f"CREATE INDEX ON public.{kind.name} (modified, id, sub);"
        f"CREATE SEQUENCE public.{kind.name}_ids; ALTER SEQUENCE public.{kind.name}_ids"
        " OWNER TO source"
    )
    session.execute(_insert(kind, FIRST_ROWS // 2))


def make_pipeline(kind: Kind, source: Any, target: Any) -> Pipeline:
    """The pipeline of a kind."""
    pipeline: Pipeline = PipelineFactory(
        name=kind.name,
        source_connection=source,
        target_connection=target,
        source_query=kind.query,
        target_table=f"analytics.{kind.name}",
        **({"key_columns": ["id", "sub"], "batch_size": 2000} | kind.fields),
    )
    return pipeline


def _insert(kind: Kind, pairs: int) -> str:
    """Two rows for each new id, whose amounts cancel each other out."""
    return (
        f"WITH p AS MATERIALIZED (SELECT nextval('public.{kind.name}_ids') AS id, n"
        f" FROM generate_series(1, {pairs}) AS n)"
        f" INSERT INTO public.{kind.name} SELECT p.id, s.sub, {kind.stamp}, s.sign * (p.n % 97),"
        " repeat('x', (p.n % 50)::int) FROM p, (VALUES (1, 1), (2, -1)) AS s(sub, sign)"
    )


class Writer(threading.Thread):
    """Transactions on the source, one after the other, until told to stop."""

    def __init__(self, server: Server, seed: int) -> None:
        super().__init__(name=f"writer-{seed}", daemon=True)
        self._server = server
        self._random = random.Random(seed)
        self.stopping = threading.Event()
        self.committed = 0
        self.lost = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Write; a source that is away is waited for."""
        while not self.stopping.is_set():
            try:
                with psycopg.connect(self._server.url(direct=True)) as session:
                    while not self.stopping.is_set():
                        self._transaction(session)
            except psycopg.OperationalError:
                self.lost += 1
                self.stopping.wait(0.5)
            except BaseException as error:
                self.failure = error
                return

    def _transaction(self, session: psycopg.Connection[Any]) -> None:
        chance = self._random
        for kind in chance.sample(KINDS, chance.randint(1, 3)):
            self._change(session, kind)
        # One in ten is long, and commits late what others have overtaken.
        self.stopping.wait(chance.uniform(2, 8) if chance.random() < 0.1 else chance.uniform(0, 1))
        if chance.random() < 0.1:
            session.rollback()
        else:
            session.commit()
            self.committed += 1

    def _change(self, session: psycopg.Connection[Any], kind: Kind) -> None:
        chance = self._random
        pairs = chance.choice((1, 10, 100, 700))
        session.execute(_insert(kind, pairs))
        low = chance.randint(1, FIRST_ROWS)
        session.execute(
            f"WITH taken AS (SELECT id, sub FROM public.{kind.name} WHERE id >= {low}"
            f" ORDER BY id, sub LIMIT {pairs} FOR UPDATE SKIP LOCKED)"
            f" UPDATE public.{kind.name} AS t SET pad = 'u' || txid_current(),"
            f" modified = {kind.stamp} FROM taken WHERE t.id = taken.id AND t.sub = taken.sub"
        )
        if kind.name == "since_or_null" and chance.random() < 0.2:
            session.execute(
                "INSERT INTO public.since_or_null SELECT nextval('public.since_or_null_ids'),"
                " 1, NULL, 0, 'none'"
            )
        if kind.is_full and chance.random() < 0.05:
            session.execute(
                f"DELETE FROM public.{kind.name} WHERE id <"
                f" (SELECT max(id) - {MOST_ROWS // 2} FROM public.{kind.name})"
            )


class Reader(threading.Thread):
    """Looks at the fully loaded tables again and again: a load is seen whole or not at all."""

    def __init__(self, server: Server) -> None:
        super().__init__(name="reader", daemon=True)
        self._server = server
        self.stopping = threading.Event()
        self.looks = 0
        self.mixtures: list[str] = []

    def run(self) -> None:
        """Look, and remember what is wrong."""
        while not self.stopping.is_set():
            try:
                with psycopg.connect(self._server.url(direct=True), autocommit=True) as session:
                    while not self.stopping.wait(0.05):
                        self._look(session)
            except psycopg.OperationalError:
                self.stopping.wait(0.5)
            except BaseException as error:
                self.mixtures.append(repr(error))
                return

    def _look(self, session: psycopg.Connection[Any]) -> None:
        for kind in KINDS:
            if not kind.is_full:
                continue
            try:
                row = session.execute(
                    f"SELECT sum(amount), count(*) FROM analytics.{kind.name}"
                ).fetchone()
            except psycopg.errors.UndefinedTable:
                continue  # nothing was published yet
            except psycopg.errors.InternalError:
                continue  # the oid that was looked up is dropped: PostgreSQL's own race
            self.looks += 1
            if row is not None and row[0] != 0:
                self.mixtures.append(f"{kind.name}: {row}")
