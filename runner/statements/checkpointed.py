"""Statements about how far an incremental load has come, for what is compared up to there."""

from collections.abc import Sequence

from psycopg import sql

from runner.comparing.forms import Form
from runner.plan import Column, Identity
from runner.statements.parts import names, typed
from runner.statements.source import Bounds, placeless, select_after


def position(identity: Identity) -> sql.Composed:
    """Cursor, its type, and the key as a JSON array; no row where the position is not of this
    definition."""
    return sql.SQL(
        "COPY (SELECT cursor_text, cursor_type, to_json(key_text) FROM {table}"
        " WHERE pipeline_uid = {uid} AND part = 0 AND installation_uid = {installation}"
        " AND epoch = {epoch} AND definition_hash = {hash}) TO STDOUT"
    ).format(
        table=sql.Identifier(identity.state_schema, "checkpoint"),
        uid=sql.Literal(str(identity.pipeline)),
        installation=sql.Literal(str(identity.installation)),
        epoch=identity.epoch,
        hash=sql.Literal(identity.definition_hash),
    )


def up_to(order: Sequence[Column], bounds: Bounds, *, with_placeless: bool) -> sql.Composable:
    """Rows of the source that an incremental load has read, the next one reading `bounds`."""
    first = order[0]
    if bounds.lower is not None:
        read: sql.Composable = sql.SQL("{} < {}").format(
            sql.Identifier("q", first.name), typed(bounds.lower, first.type_name)
        )
    else:
        read = sql.SQL("({}) <= ({})").format(
            names((c.name for c in order), "q"), _position_values(order, bounds)
        )
    if not with_placeless:
        return sql.SQL("({} AND NOT ({}))").format(read, placeless(first))
    return sql.SQL("({} OR {})").format(read, placeless(first))


def _position_values(order: Sequence[Column], bounds: Bounds) -> sql.Composable:
    position = bounds.position
    texts = (position.cursor, *position.key) if position else ()
    return sql.SQL(", ").join(
        typed(text, column.type_name) for text, column in zip(texts, order, strict=True)
    )


def waiting_keys(
    query: str, order: Sequence[Column], key: Sequence[Form], bounds: Bounds, *, most: int
) -> sql.Composed:
    """The keys of rows that the next incremental run would read, `most` at most."""
    return sql.SQL("COPY (SELECT {} FROM ({}) AS q LIMIT {}) TO STDOUT").format(
        sql.SQL(", ").join(form.text(source=True) for form in key),
        select_after(query, order, order, bounds=bounds),
        sql.Literal(most),
    )
