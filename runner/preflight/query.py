"""What the source says of a query without running it: its columns, or why it is refused."""

import psycopg

from runner.connections import Session
from runner.contained import contained
from runner.errors import Side, classify
from runner.plan import Column
from runner.preflight.lexer import lexemes
from runner.preflight.types import with_types
from runner.preflight.values import TOO_LARGE, Rejected, is_too_large
from runner.statements import source

FIELD = "source_query"
UNNAMED = "?column?"


def stripped(query: str) -> str:
    """The query without the semicolon that people end it with and comments after it.

    Where this errs, PostgreSQL refuses what is left: it only ever cuts the end off.
    """
    end = 0
    for lexeme in lexemes(query):
        if not lexeme.is_blank and lexeme.text != ";":
            end = lexeme.end
    return query[:end]


def describe_query(session: Session, query: str) -> tuple[Column, ...]:
    """The query's columns, by Parse and Describe. Raises Rejected with PostgreSQL's words.

    An error that is not about the query (a lost connection, a lock) stays psycopg.Error.
    """
    _check_characters(query)
    with contained(session):
        columns = _parse_alone(session, query)
        _check_locks(query)
        _parse_wrapped(session, query)
        _declare(session, query)
        _check_names(columns)
        _parse_copy(session, query, columns)
    return with_types(session, columns)


def _check_characters(query: str) -> None:
    """PostgreSQL takes a NUL for the end, and half a surrogate pair has no bytes to send."""
    try:
        is_text = b"\0" not in query.encode()
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise Rejected({FIELD: [_NOT_TEXT]})


def _check_locks(query: str) -> None:
    """Without a table to lock PostgreSQL takes a lock clause and ignores it.

    Outside parentheses FOR begins a lock clause, unless it is a name: “AS for”, “t.for”.
    """
    depth, before = 0, ""
    for lexeme in lexemes(query):
        if lexeme.is_blank:
            continue
        word = lexeme.text.lower()
        depth += (word == "(") - (word == ")")
        if word == "for" and depth == 0 and before not in ("as", "."):
            raise Rejected({FIELD: [_LOCKS]})
        before = word


def _parse_alone(session: Session, query: str) -> tuple[Column, ...]:
    """The bare query, so that a position in a message is a position in what people wrote."""
    try:
        result = session.describe(query)
    except psycopg.Error as error:
        raise _refusal(error, query) from None
    if result.nparams:
        raise Rejected({FIELD: [_PARAMETERS]})
    return tuple(
        Column(
            name=(result.fname(i) or b"").decode(),
            oid=result.ftype(i),
            modifier=result.fmod(i),
        )
        for i in range(result.nfields)
    )


def _parse_wrapped(session: Session, query: str) -> None:
    """As a subquery: refuses whatever is not a plain SELECT, VALUES, TABLE or WITH … SELECT."""
    try:
        session.describe(source.wrapped(query))
    except psycopg.errors.FeatureNotSupported:
        raise Rejected({FIELD: [_WRITES]}) from None
    except psycopg.errors.SyntaxError:
        raise Rejected({FIELD: [_NOT_A_SELECT]}) from None
    except psycopg.Error as error:
        raise _refusal(error) from None


def _declare(session: Session, query: str) -> None:
    """Planned for a READ ONLY cursor and thrown away: refuses row locks, runs nothing."""
    try:
        session.run(source.cursor(query))
    except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.FeatureNotSupported):
        raise Rejected({FIELD: [_LOCKS]}) from None
    except psycopg.Error as error:
        raise _refusal(error) from None


def _parse_copy(session: Session, query: str, columns: tuple[Column, ...]) -> None:
    """The exact shape that is executed later, checked as text before it ever is."""
    try:
        session.describe(source.copy_all(query, columns, binary=False))
    except psycopg.Error as error:
        raise _refusal(error) from None


def _check_names(columns: tuple[Column, ...]) -> None:
    if not columns:
        raise Rejected({FIELD: ["The query returns no columns. Select at least one."]})
    sentences = [
        f"Output column {i} has no name. Give it one: … AS name."
        for i, column in enumerate(columns, start=1)
        if column.name in ("", UNNAMED)
    ]
    seen = [column.name for column in columns]
    repeated = sorted({name for name in seen if seen.count(name) > 1} - {"", UNNAMED})
    sentences += [
        f"Two output columns are called “{name}”. Rename one of them: … AS other_name."
        for name in repeated
    ]
    if sentences:
        raise Rejected({FIELD: sentences})


def _refusal(error: psycopg.Error, query: str = "") -> Rejected:
    """PostgreSQL's own sentence about the query's text, with line and column.

    `query` is given where it is what was parsed. What may pass with time is raised as it is.
    """
    if is_too_large(error):
        return Rejected({FIELD: [TOO_LARGE]})
    known = classify(error, Side.SOURCE)
    if known.patience is not None:
        raise error
    of_text = bool(query) and known.sqlstate == _NO_TEXT
    if known.sqlstate.startswith(_OF_VALUES) and not error.diag.statement_position and not of_text:
        return Rejected({FIELD: [known.sentence]})
    message = error.diag.message_primary or ""
    if error.sqlstate == "42601" and "multiple commands" in message:
        return Rejected({FIELD: ["Write one statement only: there are several here."]})
    if error.sqlstate in {"42P02", "42P18"} and "parameter" in message:
        return Rejected({FIELD: [_PARAMETERS]})
    hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
    return Rejected({FIELD: [_quoted(message, error, query) + hint]})


def _quoted(message: str, error: psycopg.Error, query: str) -> str:
    """What PostgreSQL says, with line and column (from 1) of the place that it points at."""
    if not query or not error.diag.statement_position:
        return f"PostgreSQL says: {message}."
    before = query[: int(error.diag.statement_position) - 1]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return f"PostgreSQL says: {message} (line {line}, column {column})."


def looks_empty(query: str) -> bool:
    """Nothing but white space, comments and semicolons."""
    return not stripped(query)


#: Planning computes what is constant; a function that claims to be may have read rows.
_OF_VALUES = ("22", "P0001")
#: character_not_in_repertoire: parsing says it of a name or of what is written, never of a row.
_NO_TEXT = "22021"
_NOT_TEXT = "The query contains a character that no text can have (NUL, or half a surrogate pair)."
_PARAMETERS = "The query has a parameter ($1). Write the value itself into the query."
_WRITES = "The query changes data: a WITH part inserts, updates or deletes. Here it may only read."
_NOT_A_SELECT = (
    "Write one SELECT, VALUES, TABLE or WITH … SELECT: PostgreSQL cannot read rows from this."
)
_LOCKS = "The query locks rows (FOR UPDATE or FOR SHARE). Take the lock clause out."
