"""What a comparison is asked and what it answers; nothing here talks to a server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runner.plan import Definition, Identity


class Level(StrEnum):
    """How closely both sides are looked at."""

    COUNT = "count"
    CHECKSUM = "checksum"
    ROWS = "rows"


class Kind(StrEnum):
    """What is wrong with a row."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to compare, and how.

    `identity` leads to the checkpoint (its generation is not used); `sample` is how many differing
    rows are shown of each kind; `tolerances` are absolute, by column; `deleted` names the target's
    column that marks rows as deleted.
    """

    definition: Definition
    identity: Identity
    level: Level = Level.COUNT
    sample: int = 100
    tolerances: Mapping[str, float] = field(default_factory=dict)
    deleted: str | None = None
    seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Change:
    """One column of a row: as the query gives it and as the table has it, as text (None: NULL)."""

    column: str
    source: str | None
    target: str | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A row that differs: its key in the order of the key columns, and the columns that differ
    (of a missing or extra row all that is there)."""

    kind: Kind
    key: tuple[str | None, ...]
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Range:
    """Rows whose first key column is at least `low` and below `high` (None: no border)."""

    low: str | None
    high: str | None
    source: int
    target: int
    missing: int = 0
    extra: int = 0
    different: int = 0
    differs: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """The answer. Counts are of the rows that were compared; `waiting` are those which the next
    run will load, and `notes` are sentences for people.

    `missing`, `extra` and `different` are None at levels that do not look for rows.
    """

    level: Level
    source_count: int
    target_count: int
    equal: bool
    missing: int | None = None
    extra: int | None = None
    different: int | None = None
    waiting: int = 0
    key: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    sample: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> int:
        """Rows of the source less rows of the target."""
        return self.source_count - self.target_count

    @property
    def status(self) -> str:
        """OK when nothing differs, else WARNING."""
        return "OK" if self.equal else "WARNING"


@dataclass(frozen=True, kw_only=True)
class Done:
    """How far a comparison is: rows looked at so far, of about so many on both sides."""

    phase: str
    rows: int = 0
    of: int = 0


Progress = Callable[[Done], None]


def no_progress(_done: Done) -> None:
    """Nobody watches."""
