"""What a role can do beyond reading tables, in words, each with the SQL that takes it away.

A READ ONLY transaction keeps people's SQL from writing tables, not from everything that a powerful
role may do: docs/security.md says what is left.
"""

from dataclasses import dataclass

from psycopg import sql

from runner.connections import Session
from runner.pinning import own_names
from runner.plan import Address, Definition, Privileged
from runner.preflight.values import Rejected
from runner.statements import powers as catalog

_MOST_FUNCTIONS = 16


@dataclass(frozen=True, kw_only=True)
class Power:
    """A sentence for people. `is_for_targets`: who writes tables cannot do without it."""

    sentence: str
    is_for_targets: bool = False


def check_source_role(definition: Definition, source: Session) -> tuple[str, ...]:
    """Warnings about the role that people's SQL runs as.

    Where one connection is both source and target its role must write tables, so that is no
    power too many. Raises Rejected where the installation refuses such roles.
    """
    found = powers_of(source)
    if _is_same_role(definition.source, definition.target):
        found = [power for power in found if not power.is_for_targets]
    sentences = tuple(power.sentence for power in found)
    if sentences and definition.privileged is Privileged.REFUSE:
        raise Rejected({"source_connection": [*sentences, _REFUSED]}, "privileged_role")
    return sentences


def powers_of(session: Session) -> list[Power]:
    """All that the session's role can do and a reader need not."""
    with own_names(session):
        return _powers_of(session)


def _powers_of(session: Session) -> list[Power]:
    role, superuser, creates_roles, replicates, sees_hidden, creates, database = (
        session.execute(catalog.ROLE).fetchone() or _NOBODY
    )
    name, reader = _quoted(role), _reader(session, role)
    # Everything that a superuser can do follows from being one.
    found = [_SUPERUSER.format(role=role, reader=reader)] if superuser else _memberships(session)
    found += _functions(session, name, all_too=not found)
    if superuser:
        return [Power(sentence=sentence) for sentence in found]
    if creates_roles:
        found.append(_CREATES_ROLES.format(role=role, name=name))
    if replicates:
        found.append(_REPLICATES.format(role=role, name=name))
    if servers := _listed(session, catalog.FOREIGN_SERVERS):
        found.append(_SERVERS.format(role=role, name=name, servers=servers))
    of_writers = [_SEES_HIDDEN.format(role=role, name=name)] if sees_hidden else []
    if what := _writes(session, database if creates else ""):
        of_writers.append(_WRITES.format(role=role, what=what, reader=reader))
    return [
        *(Power(sentence=sentence) for sentence in found),
        *(Power(sentence=sentence, is_for_targets=True) for sentence in of_writers),
    ]


def _writes(session: Session, database: str) -> str:
    """What READ ONLY keeps from happening, as long as nothing else goes wrong."""
    found = []
    if tables := _listed(session, catalog.WRITABLE):
        found.append(f"may write to {tables}")
    if schemas := _listed(session, catalog.CREATABLE):
        found.append(f"may create tables and functions in {schemas}")
    if database:
        found.append(f"may create schemas in the database {_quoted(database)}")
    return ", ".join(found)


def _memberships(session: Session) -> list[str]:
    rows = session.execute(catalog.MEMBERSHIPS).fetchall()
    # Who can become a superuser is a member of every other role by that.
    rows = [row for row in rows if row[1]] or rows
    return [
        (_MEMBER_OF_SUPERUSER if superuser else _MEMBER).format(
            role=who, power=power, why=_WHY.get(power, ""), via=_quoted(via), name=_quoted(who)
        )
        for power, superuser, via, who in rows
    ]


def _functions(session: Session, name: str, *, all_too: bool) -> list[str]:
    """With `all_too` those as well that belong to PostgreSQL itself."""
    found = []
    for kind, signatures in session.execute(catalog.FUNCTIONS):
        if kind == "lasting" and not all_too:
            continue
        sentence = {"dblink": _DBLINK, "lasting": _LASTING}.get(kind, _UNTRUSTED)
        shown = ", ".join(signatures[:_MOST_FUNCTIONS])
        more = len(signatures) - _MOST_FUNCTIONS
        revoke = f"REVOKE EXECUTE ON FUNCTION {shown} FROM PUBLIC, {name};"
        revoke += f" (and {more} more functions)" if more > 0 else ""
        found.append(sentence.format(language=kind, first=signatures[0], revoke=revoke))
    return found


def _reader(session: Session, role: str) -> str:
    """The SQL that makes a role which can read what this one reads, and do nothing else."""
    name = role.encode()[:56].decode(errors="ignore") + "_reader"
    schemas = [schema for (schema,) in session.execute(catalog.READABLE)] or ["public"]
    return _READER.format(name=_quoted(name), schemas=", ".join(schemas))


def _listed(session: Session, query: str) -> str:
    names = [name for (name,) in session.execute(query).fetchall()]
    return ", ".join(names[:3]) + (", …" if names[3:] else "")


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()


def _is_same_role(source: Address, target: Address) -> bool:
    return (source.host, source.port, source.dbname, source.user) == (
        target.host,
        target.port,
        target.dbname,
        target.user,
    )


_NOBODY = ("", False, False, False, False, False, "")
_READER = (
    "CREATE ROLE {name} LOGIN PASSWORD '…'; GRANT USAGE ON SCHEMA {schemas} TO {name}; "
    "GRANT SELECT ON ALL TABLES IN SCHEMA {schemas} TO {name};"
)
_SUPERUSER = (
    "The role “{role}” is a superuser: its queries may read every file of the server, end every "
    "session, and run what functions run. Give the connection a role of its own: {reader}"
)
_MEMBER = "The role “{role}” is a member of {power}{why}. Take that away: REVOKE {via} FROM {name};"
_MEMBER_OF_SUPERUSER = (
    "The role “{role}” can become the superuser “{power}”. Take that away: "
    "REVOKE {via} FROM {name};"
)
_WHY = {
    "pg_execute_server_program": ", which runs programs on the server",
    "pg_write_server_files": ", which writes files of the server",
    "pg_read_server_files": ", which reads files of the server",
    "pg_write_all_data": ", which writes to every table",
    "pg_signal_backend": ", which ends other sessions of the server",
}
_CREATES_ROLES = (
    "The role “{role}” may make and change roles. Take that away: ALTER ROLE {name} NOCREATEROLE;"
)
_REPLICATES = (
    "The role “{role}” may make and drop replication slots, which no transaction takes back. Take "
    "that away: ALTER ROLE {name} NOREPLICATION;"
)
_SEES_HIDDEN = (
    "The role “{role}” reads rows that row security hides from others. If its queries should not, "
    "take that away: ALTER ROLE {name} NOBYPASSRLS;"
)
_SERVERS = (
    "The role “{role}” may use the foreign servers {servers}, where statements are not READ ONLY. "
    "Take that away: REVOKE USAGE ON FOREIGN SERVER {servers} FROM {name};"
)
_DBLINK = (
    "By dblink a query can open another session, which is not READ ONLY. Take that away: {revoke}"
)
_UNTRUSTED = (
    "A query can call functions in {language} (such as {first}), a language that may do anything "
    "on the server. Take that away: {revoke}"
)
_LASTING = (
    "A query can call {first}, which reaches beyond its transaction. Take that away: {revoke}"
)
_WRITES = (
    "The role “{role}” {what}; reading is all that its queries need. Give the connection a role "
    "of its own: {reader}"
)
_REFUSED = (
    "This installation takes no source roles that may do more than read (PRIVILEGED_ROLES=refuse)."
)
