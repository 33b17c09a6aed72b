"""The frozen values that a run is made of; below this module nothing knows Django."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from pipelines.names import TableName


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where and as whom to connect. The password never shows in a repr."""

    name: str
    host: str
    port: int
    dbname: str
    user: str
    password: str = field(repr=False, default="")
    sslmode: str = "require"
    target_schemas: tuple[str, ...] = ()


class Mode(StrEnum):
    """How much of the query's result a run moves."""

    FULL = "full"
    INCREMENTAL = "incremental"


class Method(StrEnum):
    """How a full load becomes visible; `AUTO` is chosen by preflight."""

    AUTO = "auto"
    SWAP = "swap"
    MERGE = "merge"
    REPLACE = "replace"


class Nulls(StrEnum):
    """What to do with rows whose incremental key is NULL or infinite."""

    FAIL = "fail"
    INCLUDE = "include"
    EXCLUDE = "exclude"


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What preflight checks: a pipeline's definition with its addresses, saved or not yet."""

    mode: Mode
    source: Address
    target: Address
    source_query: str
    target_table: TableName
    batch_size: int = 5000
    incremental_key: str | None = None
    key_columns: tuple[str, ...] = ()
    publish: Method = Method.AUTO
    allow_empty: bool = False
    allow_cascade: bool = False
    null_policy: Nulls = Nulls.FAIL
    late_margin: str | None = None


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who writes: the fencing token and what it is checked against in the target."""

    pipeline: UUID
    installation: UUID
    generation: int
    epoch: int
    definition_hash: str
    state_schema: str = "etl"
    lease: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything one run needs."""

    definition: Definition
    identity: Identity


#: Fixed by PostgreSQL's catalog (pg_type.dat).
TIMESTAMPTZ, TIMESTAMP, DATE, XID8 = 1184, 1114, 1082, 5069
_TEMPORAL = {TIMESTAMPTZ: "timestamptz", TIMESTAMP: "timestamp", DATE: "date"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a query or a table, as its server describes it.

    `type_name` is what format_type() says (with the modifier); the rest is known of tables only.
    """

    name: str
    oid: int
    modifier: int = -1
    type_name: str = ""
    not_null: bool = False
    has_default: bool = False
    identity: str = ""
    generated: str = ""

    @property
    def temporal_type(self) -> str:
        """The type without its modifier when it is a date or a timestamp, else empty."""
        return _TEMPORAL.get(self.oid, "")

    @property
    def is_temporal(self) -> bool:
        """A date or timestamp: has infinite values, takes an interval as late margin."""
        return bool(self.temporal_type)


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where an incremental load stands: the last row sent, as text made by PostgreSQL.

    `shown_value` and `shown_key` are the same for people (JSON-like, UTC).
    """

    cursor: str
    cursor_type: str
    key: tuple[str, ...]
    shown_value: str = ""
    shown_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The target's own row in `etl.checkpoint` after the fence."""

    seq: int
    rows: int
    phase: str
    position: Position | None
    staging: str | None
    cleared: bool = False
