"""What a source's role may do beyond reading is named, with SQL that really takes it away."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from runner.connections import reading
from runner.plan import Address, Privileged
from runner.preflight import Findings, Rejected, inspect
from runner.preflight import test_connection as try_out
from runner.preflight.powers import powers_of
from tests import cluster
from tests.control.asking import Asker
from tests.control.test_api_errors import shape
from tests.data.loading import Loads, address, definition
from tests.factories import ConnectionFactory

Check = Callable[..., Findings]
QUERY = "SELECT id FROM facts"
ROLE = sql.SQL("{role}")


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A role of the test's own on the source, and the superuser who rules it."""

    name: str
    address: Address
    superuser: psycopg.Connection[Any]

    def rule(self, text: str) -> None:
        """Statements of the superuser; {role} is the reader, {group} a role that it is in."""
        self.superuser.execute(text.format(role=f'"{self.name}"', group=f'"{self.name}_group"'))

    def powers(self) -> list[str]:
        """What is said of it."""
        with reading(self.address) as session:
            return [power.sentence for power in powers_of(session)]


@pytest.fixture
def reader(source_url: str, source: psycopg.Connection[Any]) -> Iterator[Reader]:
    """A role that may read one table, and do nothing else."""
    source.execute("CREATE TABLE facts AS SELECT 1 AS id")
    name = cluster.own("reader")
    with cluster.superuser(source.info.dbname) as superuser:
        superuser.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD '{name}'; CREATE ROLE {name}_group;"
            f" GRANT SELECT ON facts TO {name}"
        )
        url = cluster.url(source.info.dbname, name)
        yield Reader(name=name, address=address("source", url), superuser=superuser)
        superuser.execute("RESET ROLE")
        for role in (name, f"{name}_group"):
            superuser.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
        superuser.execute(f"DROP ROLE IF EXISTS {name}_reader")


@pytest.fixture
def pair(reader: Reader, target: psycopg.Connection[Any], target_address: Address) -> Any:
    """The definition of a load from the reader's table; keywords change it."""
    target.execute("CREATE SCHEMA analytics")

    def make(query: str = QUERY, **values: Any) -> Any:
        return definition(query, source=reader.address, target=target_address, **values)

    return make


def test_a_role_that_may_only_read_has_nothing_said_of_it(reader: Reader, pair: Any) -> None:
    assert reader.powers() == []
    assert inspect(pair(privileged=Privileged.REFUSE)).warnings == ()


FUNCTION = "CREATE FUNCTION public.{name} RETURNS int LANGUAGE {language} AS 'BEGIN RETURN 1; END';"
#: No such extension can be made here, so its entries are.
DBLINK = (
    "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)"
    " SELECT 999999, 'dblink', 10, oid, false, '1' FROM pg_namespace WHERE nspname = 'public';"
    + FUNCTION.format(name="dblink_exec(text, text)", language="plpgsql")
    + FUNCTION.format(name="dblink_connect(text)", language="plpgsql")
    + "ALTER EXTENSION dblink ADD FUNCTION dblink_exec(text, text);"
    "ALTER EXTENSION dblink ADD FUNCTION dblink_connect(text)"
)
UNTRUSTED = "CREATE LANGUAGE wildu HANDLER plpgsql_call_handler;" + FUNCTION.format(
    name="wild()", language="wildu"
)
POWERS = {
    "member of pg_execute_server_program": "GRANT pg_execute_server_program TO {role}",
    "member of pg_write_server_files": "GRANT pg_write_server_files TO {role}",
    "member of pg_read_server_files": "GRANT pg_read_server_files TO {role}",
    "member of pg_signal_backend": "GRANT pg_signal_backend TO {role}",
    "member of pg_write_all_data": "GRANT pg_write_all_data TO {role}",
    "become the superuser": "ALTER ROLE {group} SUPERUSER; GRANT {group} TO {role}",
    "pg_execute_server_program, which runs programs": "GRANT pg_execute_server_program TO {group};"
    " GRANT {group} TO {role}",
    "make and change roles": "ALTER ROLE {role} CREATEROLE",
    "replication slots": "ALTER ROLE {role} REPLICATION",
    "row security hides": "ALTER ROLE {role} BYPASSRLS;"
    " ALTER TABLE facts ENABLE ROW LEVEL SECURITY",
    "foreign servers": "CREATE FOREIGN DATA WRAPPER postgres_fdw;"
    " CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw;"
    " GRANT USAGE ON FOREIGN SERVER elsewhere TO {role}",
    "By dblink": DBLINK,
    "wildu (such as public.wild())": UNTRUSTED,
    "pg_reload_conf()": "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {role}",
    "lo_export(oid,text)": "GRANT EXECUTE ON FUNCTION lo_export(oid, text) TO {role}",
}


@pytest.mark.parametrize(("words", "grant"), POWERS.items(), ids=POWERS)
def test_each_power_is_named_and_the_sql_beside_it_takes_it_away(
    reader: Reader, pair: Any, words: str, grant: str
) -> None:
    reader.rule(grant)

    found = reader.powers()
    assert any(words in sentence for sentence in found), found
    assert inspect(pair()).warnings == tuple(found)
    with pytest.raises(Rejected) as refusal:
        inspect(pair(privileged=Privileged.REFUSE))
    assert refusal.value.code == "privileged_role"
    assert refusal.value.errors["source_connection"][:-1] == found
    assert "PRIVILEGED_ROLES" in refusal.value.errors["source_connection"][-1]

    for sentence in found:
        if "that away: " in sentence:
            reader.superuser.execute(sentence.split("that away: ")[1])
    left = reader.powers()
    reader.superuser.execute("DROP FOREIGN DATA WRAPPER IF EXISTS postgres_fdw CASCADE")
    reader.superuser.execute("DROP LANGUAGE IF EXISTS wildu CASCADE")
    assert left == []


WRITES = {
    "INSERT": "GRANT INSERT ON facts TO {role}",
    "UPDATE of one column": "GRANT UPDATE (id) ON facts TO {role}",
    "DELETE": "GRANT DELETE ON facts TO {role}",
    "TRUNCATE": "GRANT TRUNCATE ON facts TO {role}",
    "by everybody": "GRANT INSERT ON facts TO PUBLIC",
    "by a group": "GRANT INSERT ON facts TO {group}; GRANT {group} TO {role}",
    "by owning it": "ALTER TABLE facts OWNER TO {role}",
    "CREATE on a schema": "GRANT CREATE ON SCHEMA public TO {role}",
    "CREATE on the database": "GRANT CREATE ON DATABASE {database} TO {role}",
}


@pytest.mark.parametrize("grant", WRITES.values(), ids=WRITES)
def test_a_role_that_may_write_is_named_with_the_sql_of_one_that_may_not(
    reader: Reader, pair: Any, grant: str
) -> None:
    database = reader.superuser.info.dbname
    reader.rule(grant.replace("{database}", f'"{database}"'))

    (sentence,) = reader.powers()
    assert re.search("may write to public.facts|may create", sentence), sentence
    assert inspect(pair()).warnings == (sentence,)
    with pytest.raises(Rejected, match="reading is all"):
        inspect(pair(privileged=Privileged.REFUSE))

    advice = sentence.split("a role of its own: ")[1]
    reader.superuser.execute("REVOKE INSERT ON facts FROM PUBLIC")
    reader.superuser.execute(advice)
    reader.superuser.execute(f"ALTER ROLE {reader.name}_reader PASSWORD 'x'")
    better = replace(reader.address, user=f"{reader.name}_reader", password="x")
    found = inspect(replace(pair(privileged=Privileged.REFUSE), source=better))
    reader.superuser.execute(f"DROP OWNED BY {reader.name}_reader")
    assert found.warnings == ()


def test_of_a_superuser_it_is_said_that_it_is_one_and_what_else_is_there(
    reader: Reader, target_address: Address
) -> None:
    reader.rule("ALTER ROLE {role} SUPERUSER;" + DBLINK)
    superuser, dblink = reader.powers()
    assert "is a superuser" in superuser
    assert "GRANT SELECT ON ALL TABLES IN SCHEMA public TO" in superuser
    assert "public.dblink_connect(text), public.dblink_exec(text,text)" in dblink


def test_whoever_signed_in_counts_though_the_role_was_changed(reader: Reader) -> None:
    reader.rule("ALTER ROLE {role} SUPERUSER; GRANT {group} TO {role}")
    reader.rule("ALTER ROLE {role} SET role = {group}")
    assert "is a superuser" in reader.powers()[0]


def test_a_connection_that_is_source_and_target_may_write_its_tables(
    target: psycopg.Connection[Any], target_address: Address
) -> None:
    target.execute("CREATE SCHEMA analytics")
    asked = definition("SELECT 1 AS id", source=target_address, target=target_address)
    assert inspect(replace(asked, privileged=Privileged.REFUSE)).warnings == ()
    with cluster.superuser() as superuser:
        superuser.execute("GRANT pg_read_server_files TO target")
        found = inspect(asked).warnings
        superuser.execute("REVOKE pg_read_server_files FROM target")
    assert "pg_read_server_files" in found[0]
    assert len(found) == 1


def test_the_test_of_a_connection_says_it_too_but_of_a_target_not_that_it_writes(
    reader: Reader,
) -> None:
    only_source = replace(reader.address, target_schemas=())
    reader.rule("GRANT INSERT ON facts TO {role}")
    assert any("may write to public.facts" in s for s in try_out(only_source).warnings)
    assert not any("may write" in s for s in try_out(reader.address).warnings)
    reader.rule("GRANT pg_execute_server_program TO {role}")
    for place in (only_source, reader.address):
        assert any("pg_execute_server_program" in s for s in try_out(place).warnings)


def test_a_role_that_gains_rights_later_stops_the_next_run(
    reader: Reader, loads: Loads, settings: Any
) -> None:
    settings.PRIVILEGED_ROLES = "refuse"
    where = reader.address
    saved = ConnectionFactory(
        name="reader",
        host=where.host,
        port=where.port,
        dbname=where.dbname,
        user=where.user,
        password=where.password,
    )
    pipeline = loads.define(QUERY, source_connection=saved)
    loads.succeed(pipeline)
    reader.rule("GRANT UPDATE ON facts TO {role}")

    run = loads.fail(pipeline)

    assert "may write to public.facts" in (run.error_message or "")
    settings.PRIVILEGED_ROLES = "warn"
    loads.succeed(pipeline)


def test_the_api_warns_or_refuses_with_a_code(
    db: None, source_connection: Any, target_connection: Any, target: Any, settings: Any
) -> None:
    target.execute("CREATE SCHEMA analytics")
    editor = Asker("editor")
    wanted = {
        "source_query": "SELECT 1 AS id",
        "source_connection": "source",
        "target_connection": "target",
    }
    answer = editor.post("/pipelines", wanted | {"name": "a", "target_table": "analytics.a"})
    assert any("may create tables" in s for s in answer.json()["warnings"])
    settings.PRIVILEGED_ROLES = "refuse"
    answer = editor.post("/pipelines", wanted | {"name": "b", "target_table": "analytics.b"})
    body = shape(answer, 400, "privileged_role")
    assert "may create tables" in body["errors"]["source_connection"][0]


@pytest.mark.parametrize(
    ("attribute", "word"), [("REPLICATION", "replication"), ("CREATEROLE", "roles")]
)
def test_what_a_query_can_become_counts_though_it_is_not_inherited(
    reader: Reader, attribute: str, word: str
) -> None:
    reader.rule("ALTER ROLE {role} NOINHERIT; GRANT {group} TO {role}")
    assert reader.powers() == []
    reader.rule(f"ALTER ROLE {{group}} {attribute}")
    (sentence,) = reader.powers()
    assert word in sentence


def test_functions_that_a_query_can_get_at_by_another_role_are_named(reader: Reader) -> None:
    reader.rule(
        UNTRUSTED
        + ";REVOKE EXECUTE ON FUNCTION public.wild() FROM PUBLIC, {role};"
        + "ALTER ROLE {role} NOINHERIT; GRANT {group} TO {role}"
    )
    assert reader.powers() == []
    reader.rule("GRANT EXECUTE ON FUNCTION public.wild() TO {group}")
    (sentence,) = reader.powers()
    assert "public.wild()" in sentence
