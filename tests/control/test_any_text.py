"""Text of any characters through the API: names, parts of addresses, passwords, parameters."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, assume, example, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from psycopg import sql

from pipelines.admin.fields import CommaList
from pipelines.names import MAX_BYTES, TableName
from pipelines.states import PipelineStatus
from tests import cluster
from tests.control.asking import Asker
from tests.control.exploring import no_other_machine, undone
from tests.control.test_api_errors import shape
from tests.factories import PipelineFactory, RunFactory

BOUNDED = trying(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)
#: Even what PostgreSQL cannot keep.
ANYTHING = st.text(max_size=40)
#: What PostgreSQL can keep.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
)
NASTY = st.sampled_from(
    [
        '"', '""', '"; DROP TABLE x; --', "'", "%", "%s", "%%", "%(x)s", "{}", "{x}", "a.b", ".",
        " ", "  a  ", "a ", "\t", "\n", "\\", "$1", "$$", ";", "--", "/*", "a\x1b[31mb", "\u202e",
        "ж" * 31, "ж" * 32, "x" * 63, "x" * 64, "select", "SELECT", "ctid", "?column?", "A", "É",
        "e\u0301", "\ufeff", "\u00a0", "=", "a=b c='d'", "://", "@", "/", "#", "?", "&", ",",
    ]
)  # fmt: skip
NAMES = NASTY | TEXT
OUR_WORDS = "".join(
    path.read_text() for room in ("pipelines", "runner") for path in Path(room).rglob("*.py")
)
LIST = {"status", "type", "mode", "enabled", "search", "ordering", "limit", "offset"}


@pytest.fixture
def admin(db):
    return Asker("administrator")


@pytest.fixture(autouse=True)
def _free(settings):
    settings.LIMIT_PREVIEW = settings.LIMIT_TEST = 0
    with no_other_machine():
        yield


def strings(value: Any) -> list[str]:
    """Every text in an answer, names of fields included."""
    if isinstance(value, dict):
        return [*value, *(text for one in value.values() for text in strings(one))]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


def encoded(text: str) -> str:
    """As a browser sends it; half a character stays half of one."""
    return quote(text, safe="", errors="surrogatepass")


# Lists


@BOUNDED
@given(
    given_ones=st.dictionaries(st.sampled_from(sorted(LIST)) | ANYTHING, ANYTHING, max_size=3),
    path=st.sampled_from(["/pipelines", f"/pipelines/{UUID(int=1)}/runs", "/connections"]),
)
@example(given_ones={"search": "\0"}, path="/pipelines")
@example(given_ones={"search": "\ud800"}, path="/pipelines")
@example(given_ones={"before": "\0"}, path=f"/pipelines/{UUID(int=1)}/runs")
@example(given_ones={"before": "٣" * 32}, path=f"/pipelines/{UUID(int=1)}/runs")
@example(given_ones={"limit": "٣"}, path="/pipelines")
@example(given_ones={"offset": "99999999999999999999"}, path="/pipelines")
@example(given_ones={"ordering": "name,-name,,"}, path="/pipelines")
@example(given_ones={"": ""}, path="/connections")
def test_a_list_takes_any_parameter_or_names_it(admin, given_ones, path):
    with undone():
        RunFactory(pipeline=PipelineFactory(id=UUID(int=1)))
        query = "&".join(f"{encoded(name)}={encoded(text)}" for name, text in given_ones.items())
        answer = admin.get(f"{path}?{query}")
    if answer.status_code == 400:
        shape(answer, 400, "invalid")
        sent = {name for name, _text in parse_qsl(query, keep_blank_values=True)}
        assert set(answer.json()["errors"]) <= sent
        assert answer.json()["errors"]
    else:
        assert answer.status_code == 200
        assert given_ones.keys() <= {*LIST, "before"}


@BOUNDED
@given(query=st.binary(max_size=60))
@example(query=b"search=%ff%00")
@example(query=b"search=%")
@example(query=b";;&&==&search")
def test_a_list_takes_any_bytes_for_parameters(admin, query):
    answer = admin.get("/pipelines", QUERY_STRING=query.decode("latin-1"))
    if answer.status_code != 200:
        shape(answer, 400, "invalid")


#: Few and short, so that what is looked for is often there; nothing whose upper case is longer.
LETTERS = st.text("aBж%_\\\"' .", max_size=4)


@BOUNDED
@given(
    rows=st.lists(
        st.tuples(
            LETTERS,
            LETTERS,
            st.sampled_from(["IDLE", "FAILED", "PAUSED"]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=6,
    ),
    wanted=st.fixed_dictionaries(
        {},
        optional={
            "search": LETTERS,
            "status": st.sampled_from(PipelineStatus.values),
            "mode": st.sampled_from(["full", "incremental"]),
            "enabled": st.sampled_from(["true", "false"]),
        },
    ),
    size=st.integers(1, 3),
    ordering=st.sampled_from(["name", "-name", "status", "-batch_size", "created_at"]),
)
@example(
    rows=[("a%", "", "IDLE", True, True), ("ab", "", "IDLE", True, True)],
    wanted={"search": "%"},
    size=1,
    ordering="name",
)
@example(
    rows=[("ж", "_", "IDLE", True, True), ("b", "\\", "IDLE", True, True)],
    wanted={"search": "\\ Ж"},
    size=1,
    ordering="name",
)
def test_what_is_found_is_what_the_filters_say(admin, rows, wanted, size, ordering):
    expected = set()
    with undone():
        for number, (name, description, status, is_full, enabled) in enumerate(rows):
            made = PipelineFactory(
                name=f"{number}{name}",
                description=description,
                status=status,
                enabled=enabled,
                incremental=not is_full,
                target_table=f"t{number}.t",
            )
            texts = [text.lower() for text in (made.name, description, made.target_table)]
            if (
                all(
                    any(word in text for text in texts)
                    for word in wanted.get("search", "").lower().split()
                )
                and wanted.get("status", status) == status
                and wanted.get("mode", "full" if is_full else "incremental") == made.mode
                and wanted.get("enabled", str(enabled).lower()) == str(enabled).lower()
            ):
                expected.add(str(made.pk))
        query = wanted | {"ordering": ordering}
        whole = [row["id"] for row in admin.get(f"/pipelines?{urlencode(query)}").json()]
        paged = pages(admin, f"/pipelines?{urlencode(query | {'limit': size})}")
    assert set(whole) == expected
    assert len(whole) == len(expected)
    assert paged == whole


@trying(BOUNDED, max_examples=15)
@given(count=st.integers(0, 7), size=st.integers(1, 4))
def test_the_pages_of_the_history_have_each_run_once(admin, count, size):
    with undone():
        pipeline = PipelineFactory()
        made = [str(RunFactory(pipeline=pipeline).pk) for _ in range(count)]
        RunFactory()
        assert pages(admin, f"/pipelines/{pipeline.pk}/runs?limit={size}") == made[::-1]


def pages(asker: Asker, address: str) -> list[str]:
    """The ids on this page and on those that follow it, by the header `Link`."""
    found: list[str] = []
    while address:
        answer = asker.get(address)
        assert answer.status_code == 200, answer.content
        found += [row["id"] for row in answer.json()]
        parts = [part for part in answer.headers["Link"].split(", ") if 'rel="next"' in part]
        there = urlsplit(parts[0].split(">")[0].strip("<")) if parts else None
        address = f"{there.path.removeprefix('/api/v1')}?{there.query}" if there else ""
    return found


# Connections


HOSTS = st.sampled_from(["127.0.0.1", "localhost", "::1", "db.example.com"]) | NASTY | ANYTHING
ADDRESS = ("host", "port", "dbname", "user", "password")


@BOUNDED
@given(
    host=HOSTS,
    port=st.integers() | st.just("server"),
    dbname=NAMES | ANYTHING,
    user=NAMES | ANYTHING,
    password=st.text(min_size=8, max_size=40),
)
@example(host="127.0.0.1", port="server", dbname="a b='c'", user="x y=z", password="secret's \\ = ")
@example(host="127.0.0.1", port="server", dbname="postgresql://x/y", user="u", password="%00%%%%s")
@example(
    host="127.0.0.1", port="server", dbname="d", user="u", password="\x01\u00a0\u00ad\ud800xxxx"
)
@example(host="127.0.0.1", port="server", dbname="d" * 63, user="\x01", password="12345678")
@example(host="a.\u3002b", port=1, dbname="d", user="u", password="12345678")
@example(host="127.0.0.1:1", port=1, dbname="d", user="u", password="12345678")
@example(host="fe80::1%lo", port=1, dbname="d", user="u", password="12345678")
@example(host="\udcff", port=0, dbname="\udcff", user="\udcff", password="12345678")
@example(host="127.0.0.1", port=2**70, dbname="d", user="u", password="12345678")
def test_an_address_of_any_text_is_tried_or_named_and_the_password_never_told(
    admin, target_url, *, host, port, dbname, user, password
):
    assume(not any(password in str(text) for text in (host, port, dbname, user)))
    server = urlsplit(target_url).port
    body = {
        "name": "any",
        "host": host,
        "port": server if port == "server" else port,
        "dbname": dbname,
        "user": user,
        "password": password,
        "sslmode": "disable",
    }
    with undone():
        answers = [admin.post("/connections", body)]
        if answers[0].status_code == 201:
            answers.append(admin.post("/connections/any/test"))
            assert answers[1].status_code == 200, answers[1].content
            assert answers[1].json()["ok"] is False
            answers += [admin.get("/connections/any"), admin.get("/connections")]
            answers.append(admin.patch("/connections/any", {"password": password[::-1]}))
        else:
            shape(answers[0], 400, "invalid")
            assert set(answers[0].json()["errors"]) <= set(ADDRESS)
    # Texts are tried that stand in the code: what it says of everybody tells nothing of one.
    public = {*(str(body[name]) for name in body if name != "password"), OUR_WORDS}
    for answer in answers:
        for text in strings(answer.json()):
            for start in range(len(password) - 5):
                part = password[start : start + 6]
                assert part not in text or any(part in known for known in public), text


@contextmanager
def role(name: str, password: str):
    """A role of the test's server that signs in with this password."""
    with cluster.superuser() as session:
        whole = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        session.execute(whole.format(sql.Identifier(name), password))
        try:
            yield
        finally:
            session.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@trying(BOUNDED, max_examples=25)
@given(name=NAMES, password=NAMES)
@example(name="any", password="'")
@example(name="any", password=" \\' leading and trailing ")
@example(name="any", password="%00%zz%s")
@example(name="any", password="\u00a0\u00ad\u2168")
@example(name="any", password="host=elsewhere password=x")
@example(name="any", password="x" * 500)
@example(name="a b='c'", password="postgresql://u:p@h/d")
def test_a_password_of_any_characters_signs_in(admin, target_url, name, password):
    parts = urlsplit(target_url)
    name = f"r{cluster.own('')}{name}".encode()[:63].decode(errors="ignore")
    body = {
        "name": "any",
        "host": parts.hostname,
        "port": parts.port,
        "dbname": parts.path.lstrip("/"),
        "user": name,
        "password": password,
        "sslmode": "disable",
    }
    with role(name, password), undone():
        made = admin.post("/connections", body)
        assert made.status_code == 201, made.content
        tried = admin.post("/connections/any/test").json()
        assert tried["ok"] is True, tried
        admin.patch("/connections/any", {"password": password + "x"})
        assert admin.post("/connections/any/test").json()["ok"] is False


# Names of tables and columns


@trying(BOUNDED, max_examples=200)
@given(names=st.lists(NAMES, max_size=4))
@example(names=["a,b", " c ", '"', '""', 'd"', '"e"', ","])
def test_a_list_of_names_is_read_back_as_the_form_shows_it(names):
    field = CommaList(required=False)
    assert field.clean(field.prepare_value(names)) == names


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("a, b ,c", ["a", "b", "c"]),
        ("", []),
        ("a,", ["a", ""]),
        ('"a, b", c"d, "e" f', ["a, b", 'c"d', '"e" f']),
        ('"a', ['"a']),
    ],
)
def test_names_are_typed_with_commas_between_them(typed, names):
    assert CommaList(required=False).clean(typed) == names


@trying(BOUNDED, max_examples=30)
@given(table=NAMES, key=NAMES, value=NAMES)
@example(table="a ", key=" id ", value="\t")
@example(table='"', key="%s", value="{}")
@example(table="A", key="a", value="A")
@example(table="ж" * 31, key="x" * 63, value="\u00a0")
def test_names_of_any_text_are_previewed_and_stored_as_they_are(
    admin, source_connection, target_connection, source, *, table, key, value
):
    for name in (table, key, value):
        assume(len(name.encode()) <= MAX_BYTES)
    there = sql.Identifier("public", table)
    columns = sql.SQL("{} int PRIMARY KEY, {} timestamptz NOT NULL")
    try:
        source.execute(
            sql.SQL("CREATE TABLE {} ({})").format(
                there, columns.format(sql.Identifier(key), sql.Identifier(value))
            )
        )
    except psycopg.errors.DuplicateColumn:  # also of a system column
        return
    body = {
        "mode": "incremental",
        "source_connection": "source",
        "target_connection": "target",
        "source_query": sql.SQL("SELECT * FROM {}").format(there).as_string(),
        "target_table": str(TableName(schema="analytics", name=table)),
        "key_columns": [key],
        "incremental_key": value,
    }
    with undone():
        try:
            shown = admin.post("/preview", body)
            made = admin.post("/pipelines", body | {"name": "any"})
        finally:
            source.execute(sql.SQL("DROP TABLE {}").format(there))
    if shown.status_code == 400:
        shape(shown, 400, "invalid")
        assert made.status_code == 400
        # What PostgreSQL can be told, and people could not tell apart from nothing.
        assert not (key.strip() and value.strip()) or "?column?" in (key, value), shown.content
        return
    assert shown.status_code == 200, shown.content
    assert [column["name"] for column in shown.json()["columns"]] == [key, value]
    assert made.status_code == 201, made.content
    stored = made.json()
    assert stored["key_columns"] == [key]
    assert stored["incremental_key"] == value
    assert TableName.parse(stored["target_table"]).name == table
    assert json.loads(made.content)["source_query"] == body["source_query"]
