"""Names of tables as people write them: parsing, writing, and which schemas are never a target."""

import re
from dataclasses import dataclass

#: PostgreSQL cuts longer names silently (NAMEDATALEN - 1), which would name another table.
MAX_BYTES = 63

#: Schemas of PostgreSQL itself; the state schema and the metadata's tables are checked elsewhere.
SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})

_PART = r'"(?:[^"]|"")+"|[^".\s]+'
_NAME = re.compile(rf"({_PART})\.({_PART})")


class BadName(ValueError):
    """A name that cannot be used: a sentence for a person, and what stands in it.

    The two are apart so that who shows it can translate the sentence; here is no Django.
    """

    def __init__(self, sentence: str, **facts: object) -> None:
        super().__init__(sentence % facts)
        self.sentence = sentence
        self.facts = facts


@dataclass(frozen=True, kw_only=True)
class TableName:
    """A table's schema and name, unquoted and exact (no case folding)."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "TableName":
        """`schema.table`; a part with a dot, space or quote stands in double quotes, as in SQL.

        Raises BadName.
        """
        match = _NAME.fullmatch(text.strip())
        if match is None:
            raise BadName(_FORM)
        schema, name = (_unquote(part) for part in match.groups())
        for part in (schema, name):
            _check_part(part)
        return cls(schema=schema, name=name)

    def __str__(self) -> str:
        """As people write it: quotes only where the name could not be parsed back without."""
        return f"{_quote(self.schema)}.{_quote(self.name)}"


def is_system_schema(schema: str) -> bool:
    """True for schemas that belong to PostgreSQL."""
    return schema in SYSTEM_SCHEMAS or schema.startswith("pg_")


def _unquote(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _quote(part: str) -> str:
    plain = re.fullmatch(r'[^".\s]+', part)
    return part if plain else '"' + part.replace('"', '""') + '"'


def _check_part(part: str) -> None:
    if "\0" in part:
        raise BadName(_NUL)
    if len(part.encode()) > MAX_BYTES:
        raise BadName(_TOO_LONG, name=part[:40], most=MAX_BYTES)


def _(sentence: str) -> str:
    """Marks a sentence for the catalogue."""
    return sentence


_FORM = _(
    "Write the table as schema.table, for example analytics.film_dim "
    "(a part with a dot or a space in double quotes)."
)
_NUL = _("A name cannot contain the character NUL.")
_TOO_LONG = _("The name “%(name)s…” is longer than %(most)d bytes, which PostgreSQL would cut.")
