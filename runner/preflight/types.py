"""The names of a query's types, which go into statements on the target: asked of the source, and
believed only where they are names."""

import re

from runner.connections import Session
from runner.plan import Column
from runner.preflight.values import Rejected
from runner.statements import catalog

_FIELD = "source_query"
_PART = r'(?:"(?:[^"\0]|"")+"|[^\W\d][\w$]*)'
_WORD = r"(?:varying|precision|with|without|time|zone|year|month|day|hour|minute|second|to)"
_MODIFIER = r"\((?![^)]*--)[\w ,.:+-]+\)"
#: What format_type() answers: a name, perhaps with its schema, the words that SQL's own types
#: have, a modifier, brackets. Nothing else can be written so, whoever the server belongs to.
_TYPE_NAME = re.compile(rf"{_PART}(?:\.{_PART})?(?: {_WORD}| ?{_MODIFIER})*(?:\[\])*")


def with_types(session: Session, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns with the names of their types. Raises Rejected for what no table can hold."""
    with session.transaction():
        # Names that mean the same on the target, whatever the role's search_path shortens.
        session.execute("SET LOCAL search_path = pg_catalog")
        rows = session.execute(
            catalog.TYPES, [[c.oid for c in columns], [c.modifier for c in columns]]
        ).fetchall()
    found = list(zip(columns, rows, strict=True))
    if pseudo := [column.name for column, (_name, kind) in found if kind == "p"]:
        raise Rejected({_FIELD: [_PSEUDO.format(name) for name in pseudo]})
    if odd := [column.name for column, (name, _kind) in found if not is_type_name(name)]:
        raise Rejected({_FIELD: [_ODD.format(name) for name in odd]})
    return tuple(
        Column(name=c.name, oid=c.oid, modifier=c.modifier, type_name=name)
        for c, (name, _kind) in found
    )


def is_type_name(text: str) -> bool:
    """Whether the text can be nothing but the name of a type."""
    return _TYPE_NAME.fullmatch(text) is not None


_PSEUDO = "Column “{}” has no type that a table can hold. Cast it, for example to text or jsonb."
_ODD = "The type of column “{}” has a name that cannot be used. Cast it, for example to text."
