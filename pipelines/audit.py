"""Writing the audit: who did what, from where; in the transaction that does it.

What is read of it is the admin's; when it is pruned, `retention`'s. Passwords, tokens and other
secrets are never handed to anything here: that one was changed is an action of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group, User
from django.db.models.functions import Now
from knox.models import AuthToken

from pipelines import origins
from pipelines.choices import AuditAction
from pipelines.definition import freeze
from pipelines.models import AuditRecord, Connection, Pipeline

#: Of longer texts, queries above all, so many characters are kept, the last of them an ellipsis.
LONGEST = 500

_CONNECTION_FIELDS = (
    *("name", "host", "port", "dbname", "user", "sslmode"),
    *("password_source", "password_reference", "target_schemas"),
)
_USER_FIELDS = (
    "username",
    "first_name",
    "last_name",
    "email",
    "is_active",
    "is_staff",
    "is_superuser",
)


@dataclass(frozen=True, kw_only=True)
class Thing:
    """What something was done to; the name stays readable when the thing is gone."""

    type: str
    id: str
    name: str


def record(
    action: AuditAction, done_to: Any = None, *, by: Any, name: str = "", **details: Any
) -> None:
    """Keep that `by` (a user; None: nobody who is known) did it to a row or a Thing.

    `name` stands for who did it where that is not a user. `details` are of JSON's own types.
    """
    origin = origins.current()
    user = by if getattr(by, "pk", None) is not None else None
    thing = thing_of(done_to) if done_to is not None else Thing(type="", id="", name="")
    AuditRecord.objects.create(
        action=action,
        user=user,
        user_name=_kept((user.get_username() if user else name), 150),
        via=origin.via,
        token=origin.token,
        address=origin.address,
        object_type=thing.type,
        object_id=thing.id,
        object_name=_kept(thing.name, 200),
        details=details,
    )


def record_visit(user: Any) -> None:
    """Keep that a program signs in by password or token: it does so with each request, so once an
    hour for each address is enough."""
    origin = origins.current()
    known = AuditRecord.objects.filter(
        action=AuditAction.SIGN_IN,
        at__gt=Now() - timedelta(hours=1),
        user=user,
        via=origin.via,
        token=origin.token,
        address=origin.address,
    )
    if not known.exists():
        record(AuditAction.SIGN_IN, by=user)


def record_change(
    action: AuditAction,
    done_to: Any,
    *,
    by: Any,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> None:
    """Keep the old and the new value of each field that differs; nothing where none does.

    `old` is None for what is made, `new` for what is deleted.
    """
    changed = difference(old or {}, new or {})
    if changed or old is None or new is None:
        record(action, done_to, by=by, changed=changed)


def record_preview(done_to: Any, values: Mapping[str, Any], *, by: Any) -> None:
    """Keep which query is about to be looked at, stored or not; of a long one the beginning.

    `done_to` is the stored pipeline or its Thing, None for a definition that is not stored.
    """
    unnamed = Thing(type="pipeline", id="", name=str(values.get("name") or ""))
    record(
        AuditAction.PREVIEW,
        unnamed if done_to is None else done_to,
        by=by,
        source_connection=str(values["source_connection"]),
        source_query=_kept(values["source_query"], LONGEST),
    )


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Old and new value by field, of the fields that differ; an empty value is like none."""
    names = dict.fromkeys((*old, *new))
    return {
        name: [_plain(old.get(name)), _plain(new.get(name))]
        for name in names
        if (old.get(name) or None) != (new.get(name) or None)
    }


def values_of(row: Any) -> dict[str, Any]:
    """What the audit keeps of a row's fields: nothing secret, connections and groups by name."""
    if isinstance(row, Pipeline):
        return freeze(row)
    if isinstance(row, Connection):
        return {name: getattr(row, name) for name in _CONNECTION_FIELDS}
    if isinstance(row, User):
        values = {name: getattr(row, name) for name in _USER_FIELDS}
        permissions = _permissions(row.user_permissions)
        return values | {
            "groups": sorted(row.groups.values_list("name", flat=True)),
            "permissions": permissions,
        }
    if isinstance(row, Group):
        return {"name": row.name, "permissions": _permissions(row.permissions)}
    raise TypeError(type(row))


def thing_of(row: Any) -> Thing:
    """What is kept of the row itself."""
    if isinstance(row, Thing):
        return row
    if isinstance(row, AuthToken):
        return Thing(type="token", id=row.token_key, name=f"{row.user}: {row.token_key}")
    return Thing(type=row._meta.model_name, id=str(row.pk), name=str(row))


def _permissions(rows: Any) -> list[str]:
    pairs: Iterable[tuple[str, str]] = rows.values_list("content_type__app_label", "codename")
    return sorted(".".join(pair) for pair in pairs)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        return _kept(value, LONGEST)
    return str(value) if isinstance(value, UUID) else value


def _kept(text: str, most: int) -> str:
    """The beginning of the text; PostgreSQL keeps no NUL."""
    whole = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return whole if len(whole) <= most else whole[: most - 1] + "…"
