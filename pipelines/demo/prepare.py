"""What the demo needs before rows can move: tables, data, pipelines, an administrator."""

import secrets

import psycopg
from django.contrib.auth import get_user_model
from django.core.management import call_command

from etl_admin.warehouse import warehouse_address
from pipelines.demo import films, flights
from pipelines.demo.definitions import PIPELINES
from pipelines.models import DEFAULT_CONNECTION, Connection, Pipeline

ADMINISTRATOR = "admin"


def migrate() -> None:
    """Bring the metadata's tables up to date; starts the embedded server at its first query."""
    call_command("migrate", verbosity=0, interactive=False)


def load_data() -> dict[str, int]:
    """Fill `content.*` of the warehouse unless it is filled. Rows by table."""
    with psycopg.connect(**warehouse_address()) as connection:
        return films.load(connection) | flights.load(connection)


def make_pipelines() -> list[Pipeline]:
    """The demo's pipelines; those that are there stay as people have changed them."""
    default = Connection.objects.get(name=DEFAULT_CONNECTION)
    made = []
    for definition in PIPELINES:
        values = {key: value for key, value in definition.items() if key != "name"}
        pipeline, _created = Pipeline.objects.get_or_create(
            name=definition["name"],
            defaults={**values, "source_connection": default, "target_connection": default},
        )
        made.append(pipeline)
    return made


def make_administrator() -> str | None:
    """An administrator's new password, or None when there is one already."""
    users = get_user_model()
    if users.objects.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(12)
    users.objects.create_superuser(ADMINISTRATOR, password=password)
    return password


def count_source(pipeline: Pipeline) -> int | None:
    """How many rows the query gives now, for the length of a progress bar."""
    try:
        with psycopg.connect(**warehouse_address()) as connection:
            row = connection.execute(
                psycopg.sql.SQL("SELECT count(*) FROM ({}\n) AS q").format(
                    psycopg.sql.SQL(pipeline.source_query)
                )
            ).fetchone()
    except psycopg.Error:
        return None
    return int(row[0]) if row else None
