"""SQL text cut where PostgreSQL's own scanner cuts it; what the pieces mean is elsewhere.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html. In time proportional to the text's
length, whatever is in it: what is never closed reaches to the end, as it does for PostgreSQL.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# White space and line comments; E'…', '…', "…"; the beginnings of /* … */ and of $tag$ … $tag$;
# numbers, words, single characters. Two quotes in a row end one string and begin another, which
# comes to the same, but for E'…', where a backslash would mean something else after them.
_PIECE = re.compile(
    r"(?P<blank>\s+|--[^\n\r]*)|(?P<comment>/\*)|(?P<tag>\$(?:[^\W\d]\w*)?\$)"
    r"|[eE]'(?:\\.|''|[^'\\])*+'?|'[^']*+'?|\"[^\"]*+\"?"
    r"|\d+(?:\.\d*)?|(?:\w|[^\x00-\x7f\s])(?:[\w$]|[^\x00-\x7f\s])*|.",
    re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


class Lexeme(NamedTuple):
    """A piece of SQL text and where it ends; `is_blank`: white space or a comment."""

    text: str
    end: int
    is_blank: bool


def lexemes(query: str) -> Iterator[Lexeme]:
    """The pieces of `query`, which together are all of it."""
    start = 0
    while piece := _PIECE.match(query, start):
        end, is_blank = piece.end(), piece["blank"] is not None
        if piece["comment"]:
            closed = _end_of_comment(query, start)
            end, is_blank = closed or len(query), closed is not None
        elif tag := piece["tag"]:
            closing = query.find(tag, end)
            end = len(query) if closing < 0 else closing + len(tag)
        yield Lexeme(query[start:end], end, is_blank)
        start = end


def _end_of_comment(query: str, start: int) -> int | None:
    """Comments stand in one another; None when one is never closed."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(query, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return None
