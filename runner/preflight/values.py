"""What preflight gives and raises."""

from dataclasses import dataclass

import psycopg

from runner.plan import Column, Method
from runner.words import plain

#: PostgreSQL sends UTF-8 as we ask it to; another server may send any bytes.
NO_TEXT = (
    "A column, a type or a table has a name that is no text in UTF-8. Give the column another name "
    "in the query, or rename it."
)


TOO_LARGE = (
    "What the source sends in answer to this query is too large to be looked at. Take large values "
    "out of it, such as texts that are made of nothing."
)


def is_too_large(error: psycopg.Error) -> bool:
    """Whether we have ended an answer; a server that does so says what is too large."""
    too_much = isinstance(error, psycopg.errors.ProgramLimitExceeded)
    return too_much and not error.diag.message_primary


class Rejected(Exception):
    """The definition cannot run; `errors` has sentences for people by the definition's field.

    `code` is a machine word: `invalid`, `privileged_role`, `source_unavailable` or
    `target_unavailable`.
    """

    def __init__(self, errors: dict[str, list[str]], code: str = "invalid") -> None:
        self.errors = {field: [plain(s) for s in group] for field, group in errors.items()}
        super().__init__(next(iter(self.errors.values()))[0])
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What both servers said of a definition that can run.

    `columns` are the query's, in its order; `key` the key columns in force (empty: none known);
    `order` what an incremental read is ordered by; `method` how a full load will be published;
    `promise` a sentence on late commits (incremental); `warnings` sentences for people; `creates`
    the CREATE TABLE text when the table is missing.
    """

    columns: tuple[Column, ...]
    target_columns: tuple[Column, ...]
    key: tuple[str, ...]
    method: Method
    order: tuple[str, ...] = ()
    promise: str = ""
    warnings: tuple[str, ...] = ()
    creates: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConnectionReport:
    """The answer of a connection test: `sentence` is for people and never quotes the server."""

    ok: bool
    sentence: str
    server_version: str = ""
    role: str = ""
    tls: bool = False
    read_only: bool = False
    warnings: tuple[str, ...] = ()
