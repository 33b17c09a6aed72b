"""The small source and target that many tests share; no tests."""

from tests.data.loading import GATE, Loads

QUERY = "SELECT id, name, modified FROM people"
#: The same, held back until the test opens the gate.
GATED = f"{QUERY} WHERE {GATE}"


def make_people(loads: Loads) -> None:
    """A source of ten people."""
    loads.source.execute(
        "CREATE TABLE people (id int PRIMARY KEY, name text, modified timestamptz DEFAULT now())"
    )
    loads.source.execute(
        "INSERT INTO people SELECT g, 'person ' || g FROM generate_series(1, 10) g"
    )


def make_table(loads: Loads) -> None:
    """An ordinary target that holds other rows."""
    loads.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, name text, modified timestamptz)"
    )
    loads.target.execute("INSERT INTO analytics.t SELECT g, 'old' FROM generate_series(5, 14) g")


def change_source(loads: Loads) -> None:
    """One row new, one gone, one different."""
    loads.source.execute("DELETE FROM people WHERE id = 3")
    loads.source.execute("UPDATE people SET name = 'changed' WHERE id = 4")
    loads.source.execute("INSERT INTO people VALUES (99, 'new')")
