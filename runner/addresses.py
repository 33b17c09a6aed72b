"""From the models of the control plane to the values of the data plane, secrets opened."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings

from pipelines.models import Connection, Pipeline
from pipelines.names import TableName
from runner.plan import Address, Definition, Method, Mode, Nulls


def address_of(connection: Connection) -> Address:
    """Where `connection` leads, its password opened. Raises pipelines.secrets.WrongKey."""
    if connection.is_built_in:
        return _warehouse(connection.name)
    return Address(
        name=connection.name,
        host=connection.host,
        port=connection.port,
        dbname=connection.dbname,
        user=connection.user,
        password=connection.reveal_password(),
        sslmode=connection.sslmode,
        target_schemas=tuple(connection.target_schemas),
    )


def definition_of(pipeline: Pipeline) -> Definition:
    """The definition as it stands on `pipeline`, saved or not."""
    return definition_from(
        {
            name: getattr(pipeline, name)
            for name in (
                "mode",
                "source_query",
                "target_table",
                "batch_size",
                "incremental_key",
                "key_columns",
                "publish",
                "allow_empty",
                "allow_cascade",
                "null_policy",
                "late_margin",
            )
        },
        source=pipeline.source_connection,
        target=pipeline.target_connection,
    )


def definition_from(
    values: Mapping[str, Any], *, source: Connection, target: Connection
) -> Definition:
    """The definition in `values` (what `pipelines.definition.freeze` gives, or a form's)."""
    incremental = values["mode"] == Mode.INCREMENTAL
    return Definition(
        mode=Mode(values["mode"]),
        source=address_of(source),
        target=address_of(target),
        source_query=values["source_query"],
        target_table=TableName.parse(values["target_table"]),
        batch_size=values["batch_size"],
        incremental_key=values["incremental_key"] if incremental else None,
        key_columns=tuple(values["key_columns"]),
        publish=Method(values["publish"]),
        allow_empty=values["allow_empty"],
        allow_cascade=values["allow_cascade"],
        null_policy=Nulls(values["null_policy"]),
        late_margin=values["late_margin"] or None,
    )


def _warehouse(name: str) -> Address:
    """The built-in connection: WAREHOUSE_URL, or the embedded server's own warehouse."""
    schemas = tuple(settings.TARGET_SCHEMAS)
    if not settings.WAREHOUSE_URL:
        from etl_admin.database.embedded import ensure_running

        server = ensure_running(settings.DATA_DIR / "postgres")
        return Address(
            name=name,
            host=server.host,
            port=server.port,
            dbname="warehouse",
            user="warehouse",
            password=server.warehouse_password,
            sslmode="disable",
            target_schemas=schemas,
        )
    parts = urlsplit(settings.WAREHOUSE_URL)
    options = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    host = parts.hostname or "localhost"
    local = host in {"localhost", "127.0.0.1", "::1"}
    return Address(
        name=name,
        host=host,
        port=parts.port or 5432,
        dbname=unquote(parts.path.lstrip("/")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        sslmode=options.get("sslmode", "prefer" if local else "require"),
        target_schemas=schemas,
    )
