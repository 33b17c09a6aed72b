"""From the models of the control plane to the values of the data plane, secrets opened."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from etl_admin.warehouse import warehouse_address
from pipelines import installation
from pipelines.models import Connection, Pipeline
from pipelines.names import TableName
from pipelines.secrets import Unreadable, WrongKey
from pipelines.validation.schemas import reserved
from runner.plan import Address, Definition, Deletes, Method, Mode, Nulls, Privileged


def address_of(connection: Connection) -> Address:
    """Where `connection` leads, its password opened. Raises pipelines.secrets.Unreadable."""
    is_free = settings.CONNECTIONS_ALLOW_LOCAL
    if connection.is_built_in:
        # Its address is the operator's own, who may point it wherever they like but to our own
        # database: queries would read sessions and passwords there.
        return Address(
            name=connection.name,
            **warehouse_address(),
            target_schemas=tuple(settings.TARGET_SCHEMAS),
            may_be_local=True,
            metadata=None if is_free else installation.here(),
        )
    return Address(
        name=connection.name,
        host=connection.host,
        port=connection.port,
        dbname=connection.dbname,
        user=connection.user,
        password=_password(connection),
        sslmode=connection.sslmode,
        # Which schemas are reserved may have changed since the list was stored.
        target_schemas=tuple(name for name in connection.target_schemas if not reserved(name)),
        may_be_local=is_free,
        metadata=None if is_free else installation.here(),
    )


@sensitive_variables()
def _password(connection: Connection) -> str:
    try:
        return connection.reveal_password()
    except WrongKey:
        raise WrongKey(
            f"None of ENCRYPTION_KEYS opens the password of the connection “{connection.name}”. "
            "Restore the key, or enter the password again."
        ) from None
    except Unreadable as error:
        raise type(error)(f"The connection “{connection.name}” has no password: {error}") from None


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
                "max_shrink_percent",
                "null_policy",
                "late_margin",
                "delete_missing",
                "delete_column",
                "max_delete_percent",
            )
        },
        source=pipeline.source_connection,
        target=pipeline.target_connection,
    )


def definition_from(
    values: Mapping[str, Any], *, source: Connection, target: Connection
) -> Definition:
    """The definition in `values` (what `pipelines.definition.freeze` gives, or a form's)."""
    return Definition(
        mode=Mode(values["mode"]),
        source=address_of(source),
        target=address_of(target),
        source_query=values["source_query"],
        target_table=TableName.parse(values["target_table"]),
        batch_size=values["batch_size"],
        incremental_key=values["incremental_key"] or None,
        key_columns=tuple(values["key_columns"]),
        publish=Method(values["publish"]),
        allow_empty=values["allow_empty"],
        allow_cascade=values["allow_cascade"],
        max_shrink_percent=values.get("max_shrink_percent"),
        null_policy=Nulls(values["null_policy"]),
        late_margin=values["late_margin"] or None,
        delete_missing=Deletes(values.get("delete_missing", Deletes.OFF)),
        delete_column=values.get("delete_column") or None,
        max_delete_percent=values.get("max_delete_percent"),
        privileged=Privileged(settings.PRIVILEGED_ROLES),
    )
