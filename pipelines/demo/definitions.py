"""The demo's pipelines as the API would take them; the tables they read are flights and films."""

from typing import TypedDict


class PipelineDefinition(TypedDict):
    """What a person would send to create a pipeline; both connections stay `default`."""

    name: str
    description: str
    type: str
    mode: str
    enabled: bool
    source_query: str
    target_table: str
    batch_size: int
    incremental_key: str | None
    key_columns: list[str]


FILM_DIM_FULL: PipelineDefinition = {
    "name": "film_dim_full",
    "description": "Полная загрузка витрины по фильмам",
    "type": "SQL",
    "mode": "full",
    "enabled": True,
    "source_query": "SELECT id, title, rating, modified FROM content.film_work",
    "target_table": "analytics.film_dim",
    "batch_size": 5000,
    "incremental_key": None,
    "key_columns": ["id"],
}

# A row is as new as the newest of what it is made of, so that a renamed genre arrives as well.
# What is deleted changes no time: whoever takes a genre from a film touches the film's `modified`.
FILM_RATING_AGG_INCREMENTAL: PipelineDefinition = {
    "name": "film_rating_agg_incremental",
    "description": "Рейтинг и жанры каждого фильма одной строкой: изменения с прошлого запуска",
    "type": "SQL",
    "mode": "incremental",
    "enabled": True,
    "source_query": """\
SELECT
    film.id,
    film.title,
    film.type,
    extract(year FROM film.creation_date)::integer AS release_year,
    film.rating,
    count(genre.id)::integer AS genre_count,
    coalesce(string_agg(genre.name, ', ' ORDER BY genre.name), '') AS genres,
    greatest(film.modified, max(link.created), max(genre.modified)) AS modified
FROM content.film_work AS film
LEFT JOIN content.genre_film_work AS link ON link.film_work_id = film.id
LEFT JOIN content.genre AS genre ON genre.id = link.genre_id
GROUP BY film.id""",
    "target_table": "analytics.film_rating_agg",
    "batch_size": 2000,
    "incremental_key": "modified",
    "key_columns": ["id"],
}

FLIGHTS_INCREMENTAL: PipelineDefinition = {
    "name": "flights_incremental",
    "description": "Рейсы из Нью-Йорка за январь 2013 года: изменения с прошлого запуска",
    "type": "SQL",
    "mode": "incremental",
    "enabled": True,
    "source_query": """\
SELECT
    carrier, flight, origin, time_hour,
    year, month, day, hour, minute,
    dest, tailnum, distance, air_time,
    sched_dep_time, dep_time, dep_delay,
    sched_arr_time, arr_time, arr_delay,
    modified
FROM content.flights""",
    "target_table": "analytics.flights",
    "batch_size": 5000,
    "incremental_key": "modified",
    "key_columns": ["carrier", "flight", "origin", "time_hour"],
}

FLIGHT_DELAYS_DAILY: PipelineDefinition = {
    "name": "flight_delays_daily",
    "description": "Опоздания и отмены рейсов по дням и перевозчикам: полная загрузка",
    "type": "SQL",
    "mode": "full",
    "enabled": True,
    "source_query": """\
SELECT
    make_date(flights.year, flights.month, flights.day) AS day,
    flights.carrier,
    carriers.name AS carrier_name,
    count(*) AS flights,
    count(*) FILTER (WHERE flights.dep_time IS NULL) AS cancelled,
    avg(flights.dep_delay)::numeric(6, 1) AS average_departure_delay,
    avg(flights.arr_delay)::numeric(6, 1) AS average_arrival_delay,
    (count(*) FILTER (WHERE flights.dep_delay > 15)::numeric
        / nullif(count(flights.dep_delay), 0))::numeric(4, 3) AS share_delayed
FROM content.flights
JOIN content.carriers ON carriers.carrier = flights.carrier
GROUP BY 1, 2, 3""",
    "target_table": "analytics.flight_delays_daily",
    "batch_size": 5000,
    "incremental_key": None,
    "key_columns": ["day", "carrier"],
}

PIPELINES: list[PipelineDefinition] = [
    FILM_DIM_FULL,
    FILM_RATING_AGG_INCREMENTAL,
    FLIGHTS_INCREMENTAL,
    FLIGHT_DELAYS_DAILY,
]
