"""Passwords at rest: keys that change, places they are kept in, and when they are typed again."""

import os
from io import StringIO

import psycopg
import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from etl_admin.reports import Filter
from pipelines import references
from pipelines.choices import PasswordSource
from pipelines.models import Connection
from pipelines.secrets import is_current
from runner.addresses import address_of
from runner.preflight import test_connection as try_out
from tests import cluster
from tests.control.asking import Asker
from tests.control.test_api_errors import shape
from tests.control.test_settings import _start as start
from tests.factories import ConnectionFactory
from tests.whole.admin_pages import errors, listing, new_connection, page, person, posted

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
ENVIRONMENT, FILE = PasswordSource.ENVIRONMENT, PasswordSource.FILE


@pytest.fixture
def admin(db):
    return Asker("administrator")


@pytest.fixture
def folder(settings, tmp_path):
    """SECRET_FILES_DIR, with a password in it."""
    path = tmp_path / "secrets"
    path.mkdir()
    (path / "shop").write_text("from a file\n")
    settings.SECRET_FILES_DIR = str(path)
    return path


def rotate(*arguments):
    output = StringIO()
    call_command("rotatesecrets", *arguments, stdout=output)
    return output.getvalue().strip()


# Keys.


@pytest.fixture
def rotating(db, settings):
    """Two passwords under the old key and one under the new, which is the first now."""
    settings.ENCRYPTION_KEYS = [OLD]
    ConnectionFactory(name="a", password="one")
    ConnectionFactory(name="b", password="two")
    ConnectionFactory(name="none")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    ConnectionFactory(name="c", password="three")
    return settings


def passwords():
    rows = Connection.objects.exclude(secret="").order_by("name")
    return [row.reveal_password() for row in rows]


def test_rotating_encrypts_under_the_first_key_what_is_not(rotating):
    before = Connection.objects.filter(name="a").values("updated_at").get()

    assert rotate() == "Encrypted again: 2. Under the first key already: 1."
    rotating.ENCRYPTION_KEYS = [NEW]
    assert passwords() == ["one", "two", "three"]
    assert Connection.objects.filter(name="a").values("updated_at").get() == before


def test_rotating_twice_changes_nothing_more(rotating):
    rotate()
    stored = list(Connection.objects.order_by("pk").values())

    assert rotate() == "Encrypted again: 0. Under the first key already: 3."
    assert list(Connection.objects.order_by("pk").values()) == stored


def test_check_says_what_is_under_old_keys_and_changes_nothing(rotating):
    stored = list(Connection.objects.order_by("pk").values())

    with pytest.raises(CommandError, match=r"Still under another: 2 \(a, b\)\. Run: "):
        rotate("--check")
    assert list(Connection.objects.order_by("pk").values()) == stored
    rotate()
    assert rotate("--check").startswith("Under the first key: 3. Still under another: 0.")


def test_a_missing_old_key_names_each_connection_and_changes_nothing(rotating):
    rotating.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), NEW]
    stored = list(Connection.objects.order_by("pk").values())

    for arguments in ([], ["--check"]):
        with pytest.raises(CommandError, match=r"connections “a”, “b”\. Put the old key back"):
            rotate(*arguments)
    assert list(Connection.objects.order_by("pk").values()) == stored


def test_rotating_waits_for_who_is_changing_a_password(transactional_db, settings):
    settings.ENCRYPTION_KEYS = [OLD]
    row = ConnectionFactory(name="a", password="one")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    with psycopg.connect(cluster.url(connection.settings_dict["NAME"])) as other:
        other.execute("SELECT FROM pipelines_connection WHERE id = %s FOR UPDATE", [row.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        try:
            with pytest.raises(Exception, match="lock timeout"):
                rotate()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")
    row.refresh_from_db()
    assert not is_current(row.secret)


# References.


@pytest.mark.parametrize(
    "name",
    [
        *("SECRET_KEY", "ENCRYPTION_KEYS", "DATABASE_URL", "WAREHOUSE_URL", "PATH", "HOME"),
        *("", "ETL_SECRET_", "etl_secret_shop", "ETL_SECRET_A B", "ETL_SECRET_A=B", "ETL_SECRET_é"),
        *("ETL_SECRET_A\n", " ETL_SECRET_A", "X_ETL_SECRET_A"),
    ],
)
def test_no_other_variable_can_be_referred_to(name, monkeypatch):
    monkeypatch.setattr(os, "environ", {name: "not for people"})

    assert "begins with ETL_SECRET_" in references.fault(ENVIRONMENT, name)
    with pytest.raises(references.Missing):
        references.read(ENVIRONMENT, name)


def test_a_variable_of_the_prefix_is_read_when_it_is_needed(monkeypatch, settings):
    monkeypatch.setenv("ETL_SECRET_SHOP", " as it is ")
    assert references.read(ENVIRONMENT, "ETL_SECRET_SHOP") == " as it is "
    settings.SECRET_ENV_PREFIX = "SHOPS_"
    with pytest.raises(references.Missing, match="begins with SHOPS_"):
        references.read(ENVIRONMENT, "ETL_SECRET_SHOP")


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_a_sentence(monkeypatch, value):
    monkeypatch.delenv("ETL_SECRET_SHOP", raising=False)
    if value is not None:
        monkeypatch.setenv("ETL_SECRET_SHOP", value)
    with pytest.raises(references.Missing, match="ETL_SECRET_SHOP is not set where this runs"):
        references.read(ENVIRONMENT, "ETL_SECRET_SHOP")


@pytest.mark.parametrize(
    ("content", "password"),
    [
        ("word", "word"),
        ("word\n", "word"),
        ("word\r\n", "word"),
        ("word\n\n", "word\n"),
        (" w", " w"),
    ],
)
def test_a_file_is_a_password_and_one_line_feed(folder, content, password):
    (folder / "shop").write_bytes(content.encode())

    assert references.read(FILE, "shop") == password


@pytest.mark.parametrize(
    "name",
    [
        *("", "/etc/passwd", "../keys", "a/../../keys", "..", ".", "./shop", "a//b", "shop/"),
        *(".hidden", "a/.hidden", "..data/shop", "shop\n", "sh op", "shop\0", "~root", "a\\b"),
    ],
)
def test_no_other_file_can_be_referred_to(folder, name):
    (folder.parent / "keys").write_text("not for people")
    (folder / ".hidden").write_text("not for people")

    assert "as seen from SECRET_FILES_DIR" in references.fault(FILE, name)
    with pytest.raises(references.Missing):
        references.read(FILE, name)


def test_links_lead_anywhere_in_the_folder_and_nowhere_else(folder, tmp_path):
    """As Kubernetes mounts secrets: shop -> ..data/shop, ..data -> ..2026."""
    (folder / "..2026").mkdir()
    (folder / "..2026" / "inner").write_text("from a mount\n")
    (folder / "..data").symlink_to("..2026")
    (folder / "inner").symlink_to("..data/inner")
    assert references.read(FILE, "inner") == "from a mount"
    (tmp_path / "keys").write_text("not for people")
    (folder / "outer").symlink_to("../keys")
    (folder / "above").symlink_to("..")
    for name in ("outer", "above/keys"):
        with pytest.raises(references.Missing, match="leads out of SECRET_FILES_DIR"):
            references.read(FILE, name)


def test_what_is_no_file_with_a_password_is_a_sentence(folder):
    (folder / "long").write_text("x" * 4097)
    (folder / "bytes").write_bytes(b"\xff\xfe")
    (folder / "nul").write_bytes(b"a\0b")
    (folder / "empty").write_text("\n")
    (folder / "folder").mkdir()
    (folder / "circle").symlink_to("circle")
    os.mkfifo(folder / "pipe")
    words = {"long": "longer than 4096", "bytes": "no text"}
    for name in ("long", "bytes", "nul", "empty", "folder", "circle", "pipe", "missing"):
        with pytest.raises(references.Missing, match=words.get(name, "cannot be read")):
            references.read(FILE, name)


def test_without_a_folder_no_file_is_read(settings, folder):
    settings.SECRET_FILES_DIR = ""
    with pytest.raises(references.Missing, match="SECRET_FILES_DIR names no folder"):
        references.read(FILE, "shop")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"SECRET_ENV_PREFIX": "SECRET_"}, "would open SECRET_KEY to people"),
        ({"SECRET_ENV_PREFIX": "DATABASE_"}, "would open DATABASE_URL to people"),
        ({"SECRET_ENV_PREFIX": "ENCRYPTION"}, "must be capitals"),
        ({"SECRET_ENV_PREFIX": "_"}, "must be capitals"),
        ({"SECRET_ENV_PREFIX": "etl_"}, "must be capitals"),
        ({"SECRET_FILES_DIR": "secrets"}, "must be a folder that is there"),
        ({"SECRET_FILES_DIR": "/nonexistent/secrets"}, "must be a folder that is there"),
        ({"SECRET_FILES_DIR": "/"}, "DATA_DIR, where our own keys are, lies in it"),
    ],
)
def test_a_setting_that_would_open_our_own_keys_stops_the_start(changes, sentence):
    ended = start(**changes)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{next(iter(changes))}: ")
    assert sentence in ended.stderr


# References in connections.


@pytest.mark.parametrize("source", [ENVIRONMENT, FILE])
def test_a_connection_signs_in_with_what_it_refers_to(
    admin, source_connection, monkeypatch, folder, source
):
    monkeypatch.setenv("ETL_SECRET_SHOP", "source")
    (folder / "shop").write_text("source\n")
    name = {ENVIRONMENT: "ETL_SECRET_SHOP", FILE: "shop"}[source]
    change = {"password_source": source, "password_reference": name}
    body = admin.patch("/connections/source", change).json()
    assert (body["password_source"], body["password_reference"]) == (source, name)
    assert body["has_password"] is True
    source_connection.refresh_from_db()
    assert source_connection.secret == ""
    assert try_out(address_of(source_connection)).ok
    assert admin.post("/connections/source/test").json()["ok"] is True


def test_what_is_missing_names_the_connection_at_the_test_and_at_the_run(
    admin, source_connection, monkeypatch, work_once
):
    from pipelines import lifecycle
    from pipelines.choices import Trigger
    from tests.factories import PipelineFactory

    monkeypatch.delenv("ETL_SECRET_SHOP", raising=False)
    change = {"password_source": "environment", "password_reference": "ETL_SECRET_SHOP"}
    assert admin.patch("/connections/source", change).status_code == 200
    sentence = "The connection “source” has no password: the environment variable ETL_SECRET_SHOP"
    body = admin.post("/connections/source/test").json()
    assert body["ok"] is False
    assert body["detail"].startswith(sentence)
    pipeline = PipelineFactory(source_connection=source_connection)
    lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
    assert work_once() is False
    assert pipeline.runs.get().error_message.startswith(sentence)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"password_source": "environment"}, "password_reference"),
        (
            {"password_source": "environment", "password_reference": "SECRET_KEY"},
            "password_reference",
        ),
        ({"password_source": "file", "password_reference": "shop"}, "password_reference"),
        (
            {
                "password_source": "environment",
                "password_reference": "ETL_SECRET_SHOP",
                "password": "typed as well",
            },
            "password",
        ),
        ({"password_reference": "ETL_SECRET_SHOP"}, "password_reference"),
        ({"password_source": "vault"}, "password_source"),
    ],
)
def test_a_password_has_one_place_in_the_api_and_in_the_form(admin, change, field):
    ConnectionFactory(name="other", password="stored")
    body = shape(admin.patch("/connections/other", change), 400, "invalid")
    assert list(body["errors"]) == [field]
    new = {"name": "shop", "host": "db.example.com", "dbname": "shop", "user": "reader"}
    body = shape(admin.post("/connections", new | change), 400, "invalid")
    assert list(body["errors"]) == [field]
    client = person()
    found = errors(
        client.post(listing(Connection, "add"), new_connection(**{"password": "", **change}))
    )
    assert list(found) == [field]
    assert Connection.objects.get(name="other").reveal_password() == "stored"


def test_back_to_a_stored_password_forgets_the_reference(admin):
    change = {"password_source": "environment", "password_reference": "ETL_SECRET_SHOP"}
    ConnectionFactory(name="shop", password="stored")
    admin.patch("/connections/shop", change)
    body = shape(admin.patch("/connections/shop", {"password": "typed"}), 400, "invalid")
    assert list(body["errors"]) == ["password"]
    back = {"password_source": "stored", "password": "typed"}
    body = admin.patch("/connections/shop", back).json()
    assert (body["password_source"], body["password_reference"]) == ("stored", "")
    assert Connection.objects.get(name="shop").reveal_password() == "typed"
    admin.patch("/connections/shop", change)
    assert admin.patch("/connections/shop", {"password_source": "stored"}).json() == {
        **body,
        "has_password": False,
        "updated_at": admin.get("/connections/shop").json()["updated_at"],
    }


def test_the_form_stores_a_reference_and_forgets_the_password(db):
    row = ConnectionFactory(password="stored")
    client = person()
    change = {"password_source": "environment", "password_reference": "ETL_SECRET_SHOP"}
    client.post(page(row), posted(client, row, **change))
    row.refresh_from_db()
    assert (row.password_source, row.password_reference, row.secret) == (
        "environment",
        "ETL_SECRET_SHOP",
        "",
    )
    back = {"password_source": "stored", "password_reference": "", "password": "typed"}
    client.post(page(row), posted(client, row, **back))
    row.refresh_from_db()
    assert (row.password_source, row.password_reference) == ("stored", "")
    assert row.reveal_password() == "typed"


@pytest.mark.parametrize(
    "columns",
    [
        {"password_source": "environment"},
        {"password_reference": "ETL_SECRET_SHOP"},
        {"password_source": "environment", "password_reference": "X", "secret": "x"},
        {"password_source": "vault", "password_reference": "X"},
    ],
)
def test_the_database_keeps_a_password_in_one_place(db, columns):
    row = ConnectionFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        Connection.objects.filter(pk=row.pk).update(**columns)


# A stored password is sent to where it was typed for.

ELSEWHERE = [
    {"host": "evil.example.com"},
    {"port": 5433},
    {"dbname": "other"},
    {"user": "other"},
    {"sslmode": "verify-ca"},
    {"sslmode": "disable"},
    {"host": "evil.example.com", "password_source": "stored"},
]
SENTENCE = "Type the password again"


@pytest.fixture
def kept(db):
    return ConnectionFactory(name="kept", password="word", sslmode="verify-full")


@pytest.mark.parametrize("change", ELSEWHERE)
def test_the_api_wants_the_password_again(admin, kept, change):
    before = Connection.objects.filter(pk=kept.pk).values().get()
    body = shape(admin.patch("/connections/kept", change), 400, "invalid")
    assert list(body["errors"]) == ["password"]
    assert body["errors"]["password"][0].startswith(SENTENCE)
    assert Connection.objects.filter(pk=kept.pk).values().get() == before
    assert admin.patch("/connections/kept", change | {"password": "mine"}).status_code == 200
    assert Connection.objects.get(pk=kept.pk).reveal_password() == "mine"


@pytest.mark.parametrize("change", ELSEWHERE)
def test_the_form_wants_the_password_again(kept, change):
    client = person()
    found = errors(client.post(page(kept), posted(client, kept, **change)))
    assert list(found) == ["password"]
    assert found["password"][0].startswith(SENTENCE)
    kept.refresh_from_db()
    assert kept.host == "db.example.com"
    client.post(page(kept), posted(client, kept, **change, password="mine"))
    kept.refresh_from_db()
    assert kept.reveal_password() == "mine"


@pytest.mark.parametrize(
    "change", [{"target_schemas": []}, {"name": "better"}, {"host": "db.example.com", "port": 5432}]
)
def test_what_sends_it_nowhere_else_asks_for_nothing(admin, kept, change):
    assert admin.patch("/connections/kept", change).status_code == 200
    assert Connection.objects.get(pk=kept.pk).reveal_password() == "word"


def test_more_encryption_asks_for_nothing(admin, kept):
    Connection.objects.update(sslmode="disable")
    assert admin.patch("/connections/kept", {"sslmode": "require"}).status_code == 200


def test_without_a_password_to_lose_nothing_is_asked(admin):
    ConnectionFactory(name="open")
    assert admin.patch("/connections/open", {"host": "evil.example.com"}).status_code == 200


def test_a_password_that_is_taken_away_goes_nowhere(admin, kept):
    change = {"host": "evil.example.com", "password": ""}
    assert admin.patch("/connections/kept", change).json()["has_password"] is False


def test_a_test_takes_nothing_but_what_is_stored(admin, kept):
    body = shape(admin.post("/connections/kept/test", {"host": "evil.example.com"}), 400, "invalid")
    assert list(body["errors"]) == ["host"]


# Reports.


def test_reports_of_errors_hide_addresses_and_what_people_refer_to():
    names = ("DATABASE_URL", "WAREHOUSE_URL", "SECRET_KEY", "ENCRYPTION_KEYS", "ETL_SECRET_SHOP")
    hidden = {name: Filter().cleanse_setting(name, "open") for name in (*names, "STATE_SCHEMA")}
    assert hidden.pop("STATE_SCHEMA") == "open"
    assert "open" not in hidden.values()


def test_the_reports_are_made_with_it(settings):
    from django.views.debug import get_default_exception_reporter_filter

    assert isinstance(get_default_exception_reporter_filter(), Filter)


def test_reports_hide_what_a_form_sent_as_a_password(rf, settings):
    settings.DEBUG = True
    request = rf.post("/", {"name": "shop", "password": "open sesame"})
    shown = Filter().get_post_parameters(request)
    assert shown["name"] == "shop"
    assert "sesame" not in str(shown)
