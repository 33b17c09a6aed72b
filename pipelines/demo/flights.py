"""Real flights out of New York in January 2013, loaded as a source; data/SOURCE.md says whence."""

import gzip
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from pipelines.demo.loading import Cursor, load_once

DATA = Path(__file__).parent / "data"
TABLES = ("carriers", "airports", "flights")

#: `flights.dest` refers to nothing on purpose: the source has four airports that are not listed.
_DEFINITION: LiteralString = """
CREATE TABLE IF NOT EXISTS content.carriers (
    carrier text PRIMARY KEY,
    name text NOT NULL
);
CREATE TABLE IF NOT EXISTS content.airports (
    faa text PRIMARY KEY,
    name text NOT NULL,
    lat double precision NOT NULL,
    lon double precision NOT NULL,
    alt integer NOT NULL,
    tz integer NOT NULL,
    dst text NOT NULL,
    tzone text
);
CREATE TABLE IF NOT EXISTS content.flights (
    year integer NOT NULL,
    month integer NOT NULL,
    day integer NOT NULL,
    dep_time integer,
    sched_dep_time integer NOT NULL,
    dep_delay integer,
    arr_time integer,
    sched_arr_time integer NOT NULL,
    arr_delay integer,
    carrier text NOT NULL REFERENCES content.carriers,
    flight integer NOT NULL,
    tailnum text,
    origin text NOT NULL REFERENCES content.airports,
    dest text NOT NULL,
    air_time integer,
    distance integer NOT NULL,
    hour integer NOT NULL,
    minute integer NOT NULL,
    time_hour timestamptz NOT NULL,
    modified timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (carrier, flight, origin, time_hour)
);
CREATE INDEX IF NOT EXISTS flights_modified_key
    ON content.flights (modified, carrier, flight, origin, time_hour);
"""

_STAGE: LiteralString = """
CREATE TEMPORARY TABLE january ON COMMIT DROP AS TABLE content.flights WITH NO DATA;
ALTER TABLE pg_temp.january DROP COLUMN modified;
"""

#: A record last changes when its flight has landed, as far as the delays tell; that of a flight
#: which never left, at the scheduled departure. The rows lie in the order in which they changed.
_UNSTAGE: LiteralString = """
INSERT INTO content.flights
SELECT
    january.*,
    time_hour + make_interval(mins => minute + coalesce(dep_delay, 0) + coalesce(air_time, 0))
        AS modified
FROM pg_temp.january
ORDER BY modified, carrier, flight, origin, time_hour
"""


def load(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Create and fill the tables if they are empty; the number of rows of each by full name."""
    return load_once(connection, tables=TABLES, definition=_DEFINITION, fill=_fill)


def _fill(cursor: Cursor) -> None:
    _copy(cursor, "COPY content.carriers FROM STDIN", (DATA / "carriers.csv").read_bytes())
    _copy(cursor, "COPY content.airports FROM STDIN", (DATA / "airports.csv").read_bytes())
    cursor.execute(_STAGE)
    flights = gzip.decompress((DATA / "flights.csv.gz").read_bytes())
    _copy(cursor, "COPY pg_temp.january FROM STDIN", flights)
    cursor.execute(_UNSTAGE)


def _copy(cursor: Cursor, into: LiteralString, content: bytes) -> None:
    with cursor.copy(into + " (FORMAT csv, HEADER, ENCODING 'UTF8')") as copy:
        copy.write(content)
