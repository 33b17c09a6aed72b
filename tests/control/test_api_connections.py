"""Connections over the API: never a password out, the built-in one untouched."""

import json
from unittest import mock

import pytest
from django.conf import settings as django_settings

from pipelines.api.views import connections
from pipelines.models import Connection, Pipeline
from tests.control.asking import Asker
from tests.control.test_api_errors import shape
from tests.factories import ConnectionFactory, PipelineFactory

SHOP = {
    "name": "shop",
    "host": "db.example.com",
    "port": 6432,
    "dbname": "shop",
    "user": "reader",
    "password": "s3cret-and-long",
    "sslmode": "verify-full",
    "target_schemas": ["analytics", "marts"],
}
FIELDS = [
    "name",
    "host",
    "port",
    "dbname",
    "user",
    "password_source",
    "password_reference",
    "sslmode",
    "target_schemas",
    "built_in",
    "has_password",
    "created_at",
    "updated_at",
]


@pytest.fixture
def admin(db):
    return Asker("administrator")


def test_one_is_created_read_changed_and_deleted(admin):
    made = admin.post("/connections", SHOP)
    assert made.status_code == 201
    assert made.headers["Location"] == "http://testserver/api/v1/connections/shop"
    body = made.json()
    assert list(body) == FIELDS
    assert {name: body[name] for name in SHOP if name != "password"} == {
        name: value for name, value in SHOP.items() if name != "password"
    }
    assert (body["built_in"], body["has_password"]) == (False, True)
    assert admin.get("/connections/shop").json() == body
    change = {"port": 5432, "target_schemas": [], "password": SHOP["password"]}
    changed = admin.patch("/connections/shop", change).json()
    assert (changed["port"], changed["target_schemas"], changed["host"]) == (5432, [], SHOP["host"])
    assert changed["updated_at"] > body["updated_at"] or changed["updated_at"] == body["updated_at"]
    assert admin.delete("/connections/shop").status_code == 204
    shape(admin.get("/connections/shop"), 404, "not_found")


def test_four_fields_are_enough(admin):
    four = {name: SHOP[name] for name in ("name", "host", "dbname", "user")}
    body = admin.post("/connections", four).json()
    assert (body["port"], body["sslmode"], body["has_password"]) == (5432, "require", False)
    assert body["target_schemas"] == ["analytics"]


def test_the_list_has_them_all_by_name(admin):
    ConnectionFactory(name="zebra")
    ConnectionFactory(name="ant")
    assert [row["name"] for row in admin.get("/connections").json()] == ["ant", "default", "zebra"]


def test_the_password_is_never_shown_and_kept_encrypted(admin):
    answers = [
        admin.post("/connections", SHOP),
        admin.get("/connections"),
        admin.get("/connections/shop"),
        admin.patch("/connections/shop", {"password": "an0ther-secret"}),
        admin.ask("OPTIONS", "/connections/shop"),
        admin.post("/connections", SHOP | {"port": 0}),
        admin.get("/connections/shop", headers={"accept": "text/html"}),
    ]
    for answer in answers:
        assert b"s3cret" not in answer.content
        assert b"an0ther-secret" not in answer.content
    kept = Connection.objects.get(name="shop")
    assert "an0ther-secret" not in kept.secret
    assert kept.reveal_password() == "an0ther-secret"
    assert kept.secret not in admin.get("/connections/shop").content.decode()


def test_a_password_stays_unless_given_and_goes_when_empty(admin):
    admin.post("/connections", SHOP)
    admin.patch("/connections/shop", {"target_schemas": ["marts"]})
    assert Connection.objects.get(name="shop").reveal_password() == SHOP["password"]
    assert admin.patch("/connections/shop", {"password": ""}).json()["has_password"] is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "Shop"),
        ("name", "a b"),
        ("name", "ёж"),
        ("name", "x" * 64),
        ("name", "shop\n"),
        ("name", "taken"),
        ("name", "default"),
        ("name", None),
        ("host", ""),
        ("host", "/var/run/postgresql"),
        ("host", "@socket"),
        ("host", "a,b"),
        ("host", "a b"),
        ("host", "x" * 256),
        ("host", "."),
        ("host", "db..example.com"),
        ("host", "x" * 64 + ".example.com"),
        ("host", None),
        ("port", 0),
        ("port", 65536),
        ("port", "5432"),
        ("port", True),
        ("dbname", ""),
        ("dbname", "x" * 64),
        ("dbname", "a\0b"),
        ("user", " "),
        ("user", None),
        ("password", None),
        ("password", 12345),
        ("password", "a\0b"),
        ("sslmode", "allow"),
        ("sslmode", ""),
        ("password_source", "elsewhere"),
        ("password_source", None),
        ("password_reference", "ETL_SECRET_SHOP"),
        ("password_reference", None),
        ("target_schemas", "analytics"),
        ("target_schemas", ["pg_catalog"]),
        ("target_schemas", ["pg_temp"]),
        ("target_schemas", ["information_schema"]),
        ("target_schemas", ["etl"]),
        ("target_schemas", [""]),
        ("target_schemas", ["a", "a"]),
        ("target_schemas", ["x" * 64]),
        ("target_schemas", [None]),
        ("built_in", True),
        ("secret", "x"),
        ("hostaddr", "127.0.0.1"),
        ("options", "-c search_path=x"),
    ],
)
def test_wrong_input_is_refused_at_its_field(admin, field, value):
    ConnectionFactory(name="taken")
    wrong = SHOP | {field: value}
    if (field, value) == ("name", "shop\n"):
        wrong["name"] = "sh\nop"
    body = shape(admin.post("/connections", wrong), 400, "invalid")
    assert list(body["errors"]) == [field]
    assert "s3cret" not in json.dumps(body)
    ConnectionFactory(name="other")
    before = Connection.objects.filter(name="other").values().get()
    body = shape(admin.patch("/connections/other", {field: wrong[field]}), 400, "invalid")
    assert list(body["errors"]) == [field]
    assert Connection.objects.filter(name="other").values().get() == before


class TestBuiltIn:
    def test_it_shows_where_it_leads_without_the_password(self, admin):
        body = admin.get("/connections/default").json()
        assert django_settings.WAREHOUSE_URL.endswith(f"/{body['dbname']}?sslmode=disable")
        assert body["target_schemas"] == ["analytics"]
        assert (body["built_in"], body["has_password"], body["sslmode"]) == (True, True, "disable")
        assert Connection.objects.get(name="default").host == ""

    @pytest.mark.parametrize("change", [{}, {"port": 1}, {"password": "x"}, {"name": "mine"}])
    def test_it_does_not_change(self, admin, change):
        before = Connection.objects.filter(name="default").values().get()
        shape(admin.patch("/connections/default", change), 409, "built_in")
        assert Connection.objects.filter(name="default").values().get() == before

    def test_it_does_not_go(self, admin):
        shape(admin.delete("/connections/default"), 409, "built_in")
        assert Connection.objects.filter(name="default").exists()


class TestUsed:
    @pytest.mark.parametrize("side", ["source_connection", "target_connection"])
    def test_it_stays_and_says_who_uses_it(self, admin, side):
        used = ConnectionFactory(name="used")
        PipelineFactory(name="films", **{side: used})
        body = shape(admin.delete("/connections/used"), 409, "connection_in_use")
        assert "films" in body["detail"]
        assert Connection.objects.filter(name="used").exists()

    def test_it_keeps_its_name_since_checkpoints_depend_on_it(self, admin):
        PipelineFactory(source_connection=ConnectionFactory(name="used"))
        shape(admin.patch("/connections/used", {"name": "better"}), 409, "connection_in_use")
        assert admin.patch("/connections/used", {"name": "used", "port": 1}).status_code == 200

    def test_an_unused_one_may_be_renamed(self, admin):
        ConnectionFactory(name="old")
        assert admin.patch("/connections/old", {"name": "new"}).json()["name"] == "new"
        assert admin.get("/connections/old").status_code == 404

    def test_a_pipeline_made_at_the_same_moment_wins(self, admin):
        used = ConnectionFactory(name="used")

        def late(*args):
            if not Pipeline.objects.exists():
                PipelineFactory(name="films", source_connection=used)
                return
            original(*args)

        original = connections._refuse_while_used
        with mock.patch.object(connections, "_refuse_while_used", late):
            body = shape(admin.delete("/connections/used"), 409, "connection_in_use")
        assert "films" in body["detail"]


def test_two_who_take_a_name_at_once_get_no_500(admin):
    ConnectionFactory(name="shop")
    with mock.patch("pipelines.validation.connection.taken", return_value=False):
        body = shape(admin.post("/connections", SHOP), 400, "invalid")
        ConnectionFactory(name="other")
        assert shape(admin.patch("/connections/other", {"name": "shop"}), 400, "invalid")
    assert list(body["errors"]) == ["name"]


class TestTry:
    FIELDS = [
        "name",
        "ok",
        "detail",
        "server_version",
        "role",
        "tls",
        "read_only",
        "warnings",
    ]

    def test_one_that_works_says_as_whom(self, admin, source_connection):
        answer = admin.post("/connections/source/test")
        assert answer.status_code == 200
        body = answer.json()
        assert list(body) == self.FIELDS
        assert (body["name"], body["ok"], body["role"]) == ("source", True, "source")
        assert body["server_version"]

    def test_the_built_in_one_can_be_tried(self, admin, target_url):
        assert admin.post("/connections/default/test").json()["ok"] is True

    @pytest.mark.parametrize(
        "change",
        [
            {"port": 1, "password": "source"},
            {"password": "wrong-one"},
            {"dbname": "no", "password": ""},
        ],
    )
    def test_one_that_does_not_says_so_and_nothing_of_the_server(
        self, admin, source_connection, change
    ):
        admin.patch("/connections/source", change)
        body = admin.post("/connections/source/test").json()
        assert body["ok"] is False
        assert body["detail"]
        assert "wrong-one" not in json.dumps(body)

    def test_a_password_that_no_key_opens_says_what_to_do(self, admin):
        Connection.objects.filter(pk=ConnectionFactory(name="odd").pk).update(secret="not ours")
        body = admin.post("/connections/odd/test").json()
        assert body["ok"] is False
        assert "ENCRYPTION_KEYS" in body["detail"]
        assert admin.get("/connections/odd").json()["has_password"] is True
