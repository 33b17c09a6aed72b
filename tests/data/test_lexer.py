"""Where a statement ends, as PostgreSQL itself would say; whether it may run is elsewhere."""

import time

import pytest

from runner.preflight.lexer import lexemes
from runner.preflight.query import stripped

QUERIES = [
    "SELECT 1 AS id -- one\r\nFROM t -- two\rWHERE x",
    "SELECT /* a /* b */ c */ 'd''e', E'f\\'g''h', \"i\"\"j\" || $$k$$ || $l$m$$n$l$, o$p",
    "SELECT 1.5e-7, №q FROM r.s WHERE t <= .5 AND a[1:2] @> '{}'",
    "/* never /* closed */",
    "SELECT 'never closed",
    "SELECT E'never closed\\",
    "SELECT $a$ never closed $b$",
    "",
]


@pytest.mark.parametrize("query", QUERIES)
def test_the_pieces_are_all_of_the_text(query: str) -> None:
    pieces = list(lexemes(query))
    assert "".join(piece.text for piece in pieces) == query
    assert [piece.end for piece in pieces[-1:]] == [len(query)] * bool(query)


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("SELECT 1; -- end", "SELECT 1"),
        ("SELECT 1 /* a /* b */ c */ ;\n", "SELECT 1"),
        ("SELECT 1 -- a line ends so too\rFROM t", "SELECT 1 -- a line ends so too\rFROM t"),
        ("SELECT E'a''\\' -- b' AS id", "SELECT E'a''\\' -- b' AS id"),
        ("SELECT $a$;--$a$;", "SELECT $a$;--$a$"),
        ("SELECT 1 /* never closed", "SELECT 1 /* never closed"),
        ("SELECT 1 /* a /* b */", "SELECT 1 /* a /* b */"),
    ],
)
def test_only_what_follows_the_statement_is_cut_off(query: str, rest: str) -> None:
    assert stripped(query) == rest


@pytest.mark.parametrize(
    "part",
    ["/* ", "/*", "*/", "$a{} $", "$a{}$", "E'\\' ", "e'' ", "'", '"', "E'", "--", "a", "1.", "\\"],
)
def test_no_text_takes_long(part: str) -> None:
    """A hundred thousand characters, the most that a query may have."""
    query = "SELECT 1 " + "".join(part.format(n) for n in range(100_000 // len(part)))
    began = time.process_time()
    stripped(query)
    assert time.process_time() - began < 5
