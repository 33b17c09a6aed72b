"""Connections in the admin: the form, the password, the test, the built-in one, deleting."""

from urllib.parse import urlsplit

import pytest

from pipelines.models import Connection, Pipeline
from tests.factories import ConnectionFactory, PipelineFactory
from tests.whole.admin_pages import errors, listing, new_connection, page, person, posted, said


def add(**changes):
    return person().post(listing(Connection, "add"), new_connection(**changes))


def built_in():
    return Connection.objects.get(name="default")


# The form.


@pytest.mark.parametrize(
    ("field", "changes", "words"),
    [
        ("name", {"name": ""}, "required"),
        ("name", {"name": "Shop"}, "lower-case letters"),
        ("name", {"name": "my shop"}, "lower-case letters"),
        ("name", {"name": "taken"}, "There is a connection “taken” already"),
        ("name", {"name": "default"}, "There is a connection “default” already"),
        ("host", {"host": ""}, "host name or IP address"),
        ("host", {"host": "/var/run"}, "sockets cannot be used"),
        ("host", {"host": "a,b"}, "one host"),
        ("host", {"host": "a b"}, "white space"),
        ("port", {"port": "0"}, "from 1 to 65535"),
        ("port", {"port": "65536"}, "from 1 to 65535"),
        ("port", {"port": "-1"}, "from 1 to 65535"),
        ("port", {"port": "http"}, "from 1 to 65535"),
        ("port", {"port": ""}, "from 1 to 65535"),
        ("dbname", {"dbname": ""}, "name of the database"),
        ("user", {"user": ""}, "role to sign in as"),
        ("sslmode", {"sslmode": "maybe"}, "maybe"),
        ("target_schemas", {"target_schemas": "a, a"}, "named twice"),
        ("target_schemas", {"target_schemas": "a,,b"}, "empty"),
        ("target_schemas", {"target_schemas": "pg_catalog"}, "belongs to PostgreSQL"),
        ("target_schemas", {"target_schemas": "etl"}, "checkpoints"),
    ],
)
def test_wrong_input_has_one_message_at_its_field(db, field, changes, words):
    ConnectionFactory(name="taken")

    found = errors(add(**changes))

    assert list(found) == [field]
    assert len(found[field]) == 1
    assert words in found[field][0]
    assert Connection.objects.count() == 2


def test_a_new_connection_is_stored_with_its_password_encrypted(db):
    answer = add()

    stored = Connection.objects.get(name="shop")
    assert answer.url == page(stored)
    assert stored.target_schemas == ["analytics", "marts"]
    assert stored.reveal_password() == "secret word"
    assert "secret word" not in stored.secret


def test_a_new_connection_may_write_to_analytics_unless_told_otherwise(db):
    form = person().get(listing(Connection, "add")).context["adminform"].form

    assert 'value="analytics"' in str(form["target_schemas"])


def test_every_field_has_help(db):
    form = person().get(listing(Connection, "add")).context["adminform"].form

    assert [name for name, field in form.fields.items() if not field.help_text] == []


def test_the_password_is_never_shown(db):
    connection = ConnectionFactory(password="secret word")
    client = person()
    wrong = client.post(page(connection), posted(client, connection, port="0", password="new word"))
    pages = [client.get(page(connection)), client.get(listing(Connection)), wrong]

    for answer in pages:
        html = answer.content.decode()
        for secret in ("secret word", "new word", connection.secret):
            assert secret not in html
    assert "Leave it empty to keep the stored password" in pages[0].content.decode()


def test_an_empty_password_keeps_the_stored_one(db):
    connection = ConnectionFactory(password="secret word")
    client = person()

    client.post(page(connection), posted(client, connection, target_schemas="marts"))

    connection.refresh_from_db()
    assert connection.target_schemas == ["marts"]
    assert connection.reveal_password() == "secret word"


def test_a_new_password_replaces_the_stored_one_as_typed(db):
    connection = ConnectionFactory(password="secret word")
    client = person()

    client.post(page(connection), posted(client, connection, password=" new word "))

    connection.refresh_from_db()
    assert connection.reveal_password() == " new word "


def test_no_schemas_make_a_connection_that_is_never_a_target(db):
    connection = ConnectionFactory()
    client = person()

    client.post(page(connection), posted(client, connection, target_schemas=""))

    connection.refresh_from_db()
    assert connection.target_schemas == []
    assert "never a target" in client.get(listing(Connection)).content.decode()


def test_a_connection_in_use_keeps_its_name(db):
    connection = ConnectionFactory(name="shop")
    PipelineFactory(name="films", source_connection=connection)
    client = person()

    found = errors(client.post(page(connection), posted(client, connection, name="store")))

    assert found["name"] == [
        "Pipelines use this connection (“films”). Point them to another one, then rename it."
    ]
    assert Connection.objects.filter(name="shop").exists()


def test_a_connection_that_nobody_uses_is_renamed(db):
    connection = ConnectionFactory(name="shop")
    client = person()

    client.post(page(connection), posted(client, connection, name="store"))

    assert Connection.objects.filter(name="store").exists()


# The test.


def test_a_test_says_what_it_found(db, target_url, target_connection):
    answer = person("editor").post(page(target_connection, "test"), follow=True)

    levels = [(message.level_tag, str(message)) for message in answer.context["messages"]]
    assert levels[0][0] == "success"
    assert levels[0][1].startswith("Connected: PostgreSQL ")
    assert "target" in levels[0][1]
    assert ("warning", "The session is not encrypted.") in levels


def test_a_test_of_a_server_out_of_reach_is_a_sentence(db):
    connection = ConnectionFactory(host="127.0.0.1", port=1)

    answer = person("editor").post(page(connection, "test"), follow=True)

    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert said(answer)[0].startswith("The connection failed.")


def test_a_test_with_a_password_that_no_key_opens_is_a_sentence(db):
    connection = ConnectionFactory()
    Connection.objects.filter(pk=connection.pk).update(secret="not a secret of ours")

    answer = person("editor").post(page(connection, "test"), follow=True)

    assert "ENCRYPTION_KEYS" in said(answer)[0]


def test_the_built_in_connection_can_be_tested(db, target_url):
    answer = person("editor").post(page(built_in(), "test"), follow=True)

    assert said(answer)[0].startswith("Connected: PostgreSQL ")


# The built-in one.


def test_the_built_in_connection_says_where_its_address_comes_from(db, target_url):
    parts = urlsplit(target_url)

    answer = person().get(page(built_in()))

    html = answer.content.decode()
    assert "Its address comes from WAREHOUSE_URL" in html
    assert f"on {parts.hostname}:{parts.port}" in html
    assert f":{parts.password}@" not in html
    assert 'name="_save"' not in html


def test_the_built_in_connection_cannot_be_changed(db):
    assert person().post(page(built_in()), new_connection(name="default")).status_code == 403


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_built_in_connection_cannot_be_deleted(db, method):
    answer = getattr(person(), method)(page(built_in(), "delete"), {"post": "yes"})

    assert answer.status_code == 403
    assert built_in()


# Who uses it, and deleting.


def test_the_page_shows_which_pipelines_use_it(db):
    connection = ConnectionFactory(target_schemas=["marts"])
    reads = PipelineFactory(name="reads", source_connection=connection)
    writes = PipelineFactory(name="writes", target_connection=connection)
    other = PipelineFactory(name="other")

    html = person("viewer").get(page(connection)).content.decode()

    assert [page(row) in html for row in (reads, writes, other)] == [True, True, False]


def test_the_list_counts_the_pipelines_that_use_each_once(db):
    both = ConnectionFactory(name="both")
    PipelineFactory(source_connection=both, target_connection=both)
    PipelineFactory(source_connection=both, target_connection=built_in())

    rows = person("viewer").get(listing(Connection)).context["cl"].result_list

    assert {row.name: row.used for row in rows} == {"both": 2, "default": 1}


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_connection_in_use_is_not_deleted(db, method):
    connection = ConnectionFactory()
    for name in "abcd":
        PipelineFactory(name=name, source_connection=connection)

    answer = getattr(person(), method)(page(connection, "delete"), {"post": "yes"}, follow=True)

    assert said(answer) == [
        "Pipelines use this connection (“a”, “b”, “c”, …). "
        "Point them to another one, then delete it."
    ]
    assert answer.redirect_chain == [(page(connection), 302)]
    assert Pipeline.objects.count() == 4


def test_a_connection_that_nobody_uses_is_deleted(db):
    connection = ConnectionFactory()

    person().post(page(connection, "delete"), {"post": "yes"})

    assert list(Connection.objects.all()) == [built_in()]


def test_deleting_many_says_for_each_why_it_stays(db):
    used, free = ConnectionFactory(name="used"), ConnectionFactory(name="free")
    PipelineFactory(name="films", source_connection=used)
    rows = [used, free, built_in()]
    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in rows]}
    client = person()

    question = client.post(listing(Connection), chosen)
    answer = client.post(listing(Connection), {**chosen, "post": "yes"}, follow=True)

    assert "Are you sure" in question.content.decode()
    assert sorted(said(answer)) == [
        "1 was deleted.",
        "“default”: It is built in and stays.",
        "“used”: Pipelines use this connection (“films”). "
        "Point them to another one, then delete it.",
    ]


def test_the_list_is_searched_by_name_host_and_database(db):
    ConnectionFactory(name="shop", host="a", dbname="b")
    ConnectionFactory(name="x", host="shop.example.com", dbname="b")
    ConnectionFactory(name="y", host="a", dbname="shop")
    ConnectionFactory(name="z", host="a", dbname="b")

    answer = person("viewer").get(listing(Connection), {"q": "shop"})

    assert {row.name for row in answer.context["cl"].result_list} == {"shop", "x", "y"}
