"""The frozen values that a run is made of; below this module nothing knows Django."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from pipelines.names import TableName


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where and as whom to connect. The password never shows in a repr.

    `may_be_local`: this machine and other forbidden addresses are allowed. `metadata` is the number
    of the server and the OID of the database that nobody may be led to, None where one may.
    """

    name: str
    host: str
    port: int
    dbname: str
    user: str
    password: str = field(repr=False, default="")
    sslmode: str = "require"
    target_schemas: tuple[str, ...] = ()
    may_be_local: bool = False
    metadata: tuple[str, int] | None = None


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


class Deletes(StrEnum):
    """What becomes of rows that the query of an incremental pipeline no longer returns."""

    OFF = "off"
    SOFT = "soft"
    HARD = "hard"


class Privileged(StrEnum):
    """What is made of a source whose role may do more than read."""

    WARN = "warn"
    REFUSE = "refuse"


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
    max_shrink_percent: int | None = None
    null_policy: Nulls = Nulls.FAIL
    late_margin: str | None = None
    delete_missing: Deletes = Deletes.OFF
    delete_column: str | None = None
    max_delete_percent: int | None = None
    privileged: Privileged = Privileged.WARN

    @property
    def mark(self) -> str | None:
        """The target's column that marks deleted rows, where they are marked."""
        return self.delete_column if self.delete_missing is Deletes.SOFT else None


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who writes: the fencing token and what it is checked against in the target."""

    pipeline: UUID
    installation: UUID
    generation: int
    epoch: int
    definition_hash: str
    state_schema: str = "etl"


#: OIDs from here on belong to user-defined types, which differ from database to database.
FIRST_USER_OID = 10000
#: Built-in types whose binary form means something only inside one database or locale: reg*,
#: money, aclitem, and arrays of those; rows of catalog tables; tsquery, oidvector and int2vector,
#: because PostgreSQL does not take an empty one that it sent itself.
_TEXT_ONLY = {
    *(24, 2202, 2203, 2204, 2205, 2206, 4096, 4089, 3734, 3769, 4191),
    *(1008, 2207, 2208, 2209, 2210, 2211, 4097, 4090, 3735, 3770, 4192),
    *(790, 791, 1033, 1034, 2249, 2287),
    *(71, 75, 81, 83, 210, 270, 272, 273, 1248, 2842, 2843, 4066, 6101),
    *(3615, 3645, 22, 30, 1006, 1013),
}
#: Fixed by PostgreSQL's catalog (pg_type.dat).
TIMESTAMPTZ, TIMESTAMP, DATE, XID8 = 1184, 1114, 1082, 5069
_TEMPORAL = {TIMESTAMPTZ: "timestamptz", TIMESTAMP: "timestamp", DATE: "date"}
#: bool, bytea, char, name, bigint, smallint, int, text, oid, varchar, time, uuid, macaddr: equal
#: values of these look the same, unlike numeric's 1.0 and 1.00.
_EQUAL_IS_IDENTICAL = {
    *(16, 17, 18, 19, 20, 21, 23, 25, 26, 1043, 1083, 2950, 829, 774),
    *(TIMESTAMPTZ, TIMESTAMP, DATE, XID8),
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a query or a table, as its server describes it.

    `type_name` is what format_type() says (with the modifier); the rest is known of tables only,
    `base_oid` and `base_modifier` of domains only.
    """

    name: str
    oid: int
    modifier: int = -1
    type_name: str = ""
    not_null: bool = False
    has_default: bool = False
    identity: str = ""
    generated: str = ""
    base_oid: int = 0
    base_modifier: int = -1

    @property
    def temporal_type(self) -> str:
        """The type without its modifier when it is a date or a timestamp, else empty."""
        return _TEMPORAL.get(self.oid, "")

    @property
    def is_universal(self) -> bool:
        """Built in, and the bytes of a value mean the same in every database."""
        return self.oid < FIRST_USER_OID and self.oid not in _TEXT_ONLY

    @property
    def equal_is_identical(self) -> bool:
        """Whether equal values of the type are written alike."""
        return self.oid in _EQUAL_IS_IDENTICAL

    @property
    def is_temporal(self) -> bool:
        """A date or timestamp: has infinite values, takes an interval as late margin."""
        return bool(self.temporal_type)


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where an incremental load stands: the last row sent, as text made by PostgreSQL.

    `shown_value` and `shown_key` are the same for people (JSON-like, UTC); `basis` is what the
    order rested on when the position was written.
    """

    cursor: str
    cursor_type: str
    key: tuple[str, ...]
    shown_value: str = ""
    shown_key: str = ""
    basis: str = ""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The target's own row in `etl.checkpoint` after the fence."""

    seq: int
    rows: int
    phase: str
    position: Position | None
    staging: str | None
    cleared: bool = False
