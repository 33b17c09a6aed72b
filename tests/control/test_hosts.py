"""Where connections may lead: the rules, the form and the API that say them, each real sign-in."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest import mock

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings as django_settings
from psycopg import pq

from pipelines import hosts, lifecycle
from pipelines.choices import Trigger
from pipelines.models import Connection
from runner import libpq
from runner.addresses import address_of
from runner.connections import Session, reading, writing
from runner.errors import RunError
from runner.plan import Address
from runner.preflight import test_connection as try_out
from runner.reach import ForbiddenHost, ways_to
from tests import cluster
from tests.control.asking import Asker
from tests.control.test_api_errors import shape
from tests.data.loading import address as address_at
from tests.factories import ConnectionFactory, PipelineFactory
from tests.whole.admin_pages import errors, listing, new_connection, page, person

SHOP = {"name": "shop", "host": "db.example.com", "dbname": "shop", "user": "reader"}
THIS_MACHINE = [
    "localhost",
    "LocalHost",
    "127.0.0.1",
    "127.255.0.9",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "１２７.0.0.1",
    "0",
    "0.0.0.0",
    "0.0.0.1",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]
SERVICES = [
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "169.254.0.1",
    "::ffff:169.254.169.254",
    "fe80::1",
    "fe80::1%lo",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
]
NO_SERVER = ["224.0.0.1", "239.1.2.3", "ff02::1", "255.255.255.255", "240.0.0.1"]
ALLOWED = ["10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "8.8.8.8", "fd12::1", "2a00::1"]
NO_HOST = [
    "",
    " ",
    "/var/run/postgresql",
    "@socket",
    "user@db",
    "a,b",
    "db.example.com,127.0.0.1",
    "a b",
    "a\tb",
    "a\x01b",
    "a\u200bb",
    "http://db",
    "db/shop",
    "db?sslmode=disable",
    "host=db",
    "a'b",
    "a\\b",
    "[::1]",
    "ⓛocalhost",
    ".",
    "a..b",
    "x" * 64,
    "x" * 256,
]


@pytest.fixture
def guarded(settings):
    """The rules hold, as they do unless CONNECTIONS_ALLOW_LOCAL=1."""
    settings.CONNECTIONS_ALLOW_LOCAL = False


@pytest.fixture
def admin(db):
    return Asker("administrator")


@pytest.fixture
def source_address(source_url):
    """Where the test's source is, as somebody who may go there."""
    return address_at("source", source_url)


def resolving(**known):
    """A resolver that knows these names (with _ for dots), and everything without a letter."""
    real = socket.getaddrinfo

    def answer(host, *args, **kwargs):
        found = known.get(host.replace(".", "_"))
        if found is None:
            return real(host, *args, **kwargs | {"flags": socket.AI_NUMERICHOST})
        return [(0, socket.SOCK_STREAM, 0, "", (address, 0)) for address in found]

    return mock.patch("socket.getaddrinfo", side_effect=answer)


def address(**changes):
    whole = {"name": "shop", "port": 5432, "dbname": "shop", "user": "reader", "password": "x"}
    return Address(**{**whole, "host": "db.example.com", **changes})


# The rules.


@pytest.mark.parametrize("host", NO_HOST)
def test_what_is_no_host_on_the_network_is_refused(host):
    with pytest.raises(hosts.Forbidden):
        hosts.check_name(host)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        *((host, "this machine itself") for host in THIS_MACHINE),
        *((host, "services of its own") for host in SERVICES),
        *((host, "no server's address") for host in NO_SERVER),
    ],
)
def test_an_address_is_judged_however_it_is_written(host, words):
    hosts.check_name(host)
    with pytest.raises(hosts.Forbidden, match=words):
        hosts.check_addresses(host, hosts.resolve(host))


@pytest.mark.parametrize("host", ALLOWED)
def test_private_and_public_addresses_are_where_databases_live(host):
    hosts.check_name(host)
    hosts.check_addresses(host, hosts.resolve(host))


def test_every_address_of_a_name_is_judged():
    with pytest.raises(hosts.Forbidden):
        hosts.check_addresses("db.example.com", ["10.0.0.1", "2a00::1", "::1"])


def test_a_resolver_that_does_not_answer_is_left_behind():
    forever = threading.Event()
    with (
        mock.patch("socket.getaddrinfo", side_effect=lambda *_args, **_more: forever.wait()),
        pytest.raises(OSError, match="too long"),
    ):
        hosts.resolve("db.example.com", seconds=0.05)
    forever.set()


# The API and the form.


@pytest.mark.parametrize("host", ["localhost", "127.1", "::1", "169.254.169.254", "rebound.test"])
def test_a_host_that_leads_here_is_400_at_host(admin, guarded, host):
    with resolving(localhost=["127.0.0.1"], rebound_test=["10.0.0.1", "127.0.0.1"]):
        body = shape(admin.post("/connections", SHOP | {"host": host}), 400, "invalid")
        assert list(body["errors"]) == ["host"]
        assert "CONNECTIONS_ALLOW_LOCAL" in body["errors"]["host"][0]
        ConnectionFactory(name="other")
        body = shape(admin.patch("/connections/other", {"host": host}), 400, "invalid")
    assert list(body["errors"]) == ["host"]
    assert Connection.objects.get(name="other").host == "db.example.com"


@pytest.mark.parametrize("host", [host for host in NO_HOST if host.isprintable()])
def test_no_host_is_400_at_host_whatever_is_allowed(admin, settings, host):
    settings.CONNECTIONS_ALLOW_LOCAL = True
    body = shape(admin.post("/connections", SHOP | {"host": host}), 400, "invalid")
    assert list(body["errors"]) == ["host"]


def test_a_name_that_nobody_knows_yet_is_stored(admin, guarded):
    with mock.patch("socket.getaddrinfo", side_effect=socket.gaierror):
        assert admin.post("/connections", SHOP).status_code == 201


def test_the_metadata_database_is_400_by_whichever_name(admin, guarded):
    own = django_settings.DATABASES["default"]
    there = {"host": "meta.test", "port": own["PORT"] or 5432, "dbname": own["NAME"]}
    with (
        resolving(meta_test=["10.0.0.5"], **{own["HOST"].replace(".", "_"): ["10.0.0.5"]}),
    ):
        body = shape(admin.post("/connections", SHOP | there), 400, "invalid")
        assert "pipelines' own tables" in body["errors"]["host"][0]
        ConnectionFactory(name="other", host="meta.test", port=there["port"])
        body = shape(admin.patch("/connections/other", {"dbname": own["NAME"]}), 400, "invalid")
        assert list(body["errors"]) == ["host"]
        assert admin.post("/connections", SHOP | there | {"dbname": "shop"}).status_code == 201


# Each sign-in.


def test_a_session_goes_to_the_addresses_that_were_judged_and_no_others():
    answers = [["10.0.0.1", "2a00::1"], ["127.0.0.1"]]  # what the name means a moment later

    def answer(*_args, **_more):
        return [(0, 0, 0, "", (found, 0)) for found in answers.pop(0)]

    with (
        mock.patch("socket.getaddrinfo", side_effect=answer),
        mock.patch.object(Session, "connect", side_effect=psycopg.OperationalError) as connect,
        pytest.raises(RunError),
        reading(address()),
    ):
        pass
    asked = connect.call_args.kwargs
    assert (asked["host"], asked["hostaddr"]) == (
        "db.example.com,db.example.com",
        "10.0.0.1,2a00::1",
    )
    assert len(answers) == 1


def test_the_next_address_is_tried_when_one_does_not_answer(source_address):
    with resolving(db_example_com=["127.0.0.2", "127.0.0.1"]):
        there = replace(source_address, host="db.example.com")
        with reading(there) as session:
            assert session.info.hostaddr == "127.0.0.1"
            assert session.info.host == "db.example.com"


@pytest.mark.parametrize("opening", [reading, writing])
@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "169.254.169.254", "/tmp", "a,b"])
def test_a_forbidden_host_is_not_asked_at_all(opening, host):
    with (
        mock.patch.object(Session, "connect") as connect,
        pytest.raises(ForbiddenHost) as error,
        opening(address(host=host)),
    ):
        pass
    assert connect.call_count == 0
    assert error.value.patience is None
    assert error.value.sentence.startswith("The connection “shop” may not be used. ")


def test_what_is_allowed_to_be_local_is_still_one_host(source_address):
    with pytest.raises(ForbiddenHost, match="sockets"):
        ways_to(replace(source_address, host="/tmp"))


def test_a_forbidden_host_fails_the_run_with_its_sentence(guarded, source_connection, work_once):
    pipeline = PipelineFactory(source_connection=source_connection)
    lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
    assert work_once() is False
    run = pipeline.runs.get()
    assert (run.status, run.error_class) == ("FAILED", "ForbiddenHost")
    assert run.error_message.startswith(
        "The connection “source” may not be used. “127.0.0.1” leads to 127.0.0.1, which is this "
        "machine itself."
    )


def test_a_forbidden_host_is_said_where_a_pipeline_is_stored(guarded, admin, source_connection):
    body = {
        "name": "films",
        "type": "SQL",
        "mode": "full",
        "source_query": "SELECT 1 AS id",
        "target_table": "analytics.films",
        "source_connection": "source",
    }
    answer = shape(admin.post("/pipelines", body), 400, "source_unavailable")
    assert "which is this machine itself" in answer["errors"]["source_connection"][0]


def test_a_forbidden_host_is_said_where_rows_are_counted(guarded, admin, source_connection):
    pipeline = PipelineFactory(source_connection=source_connection)
    answer = shape(admin.post(f"/pipelines/{pipeline.pk}/reconcile"), 503, "source_unavailable")
    assert "which is this machine itself" in answer["detail"]


def test_a_forbidden_host_is_said_where_a_connection_is_tried(guarded, admin, source_connection):
    body = admin.post("/connections/source/test").json()
    assert body["ok"] is False
    assert "which is this machine itself" in body["detail"]


def test_every_failure_of_a_server_is_one_sentence(source_address):
    wrong = [{"port": 1}, {"password": "no"}, {"dbname": "no"}, {"user": "no"}, {"host": "no.test"}]
    with mock.patch("socket.getaddrinfo", wraps=socket.getaddrinfo):
        said = {try_out(replace(source_address, **change)).sentence for change in wrong}
    assert len(said) == 1


def test_the_built_in_connection_is_where_the_operator_put_it(guarded, db, target_url):
    with writing(address_of(Connection.objects.get(name="default"))) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


# The metadata database, as the server itself knows it.


@pytest.fixture
def to_metadata(guarded, transactional_db):
    """An address that leads to the metadata by a name that does not say so."""
    with resolving(db_example_com=["127.0.0.1"]), mock.patch.object(hosts, "check_addresses"):
        port = int(django_settings.DATABASES["default"]["PORT"])
        dbname = django_settings.DATABASES["default"]["NAME"]
        row = ConnectionFactory(port=port, dbname=dbname, user="source", password="source")
        yield address_of(row)


def test_the_server_says_itself_that_it_is_the_metadata(to_metadata):
    for opening in (reading, writing):
        with pytest.raises(ForbiddenHost, match="own tables, sessions"), opening(to_metadata):
            pass
    assert "own tables, sessions" in try_out(to_metadata).sentence


def test_a_role_that_may_not_ask_for_the_number_is_led_nowhere_else(to_metadata):
    name = django_settings.DATABASES["default"]["NAME"]
    with cluster.superuser(name) as session:
        session.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        try:
            with pytest.raises(ForbiddenHost, match="own tables"), reading(to_metadata):
                pass
        finally:
            session.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")


def test_another_database_of_the_same_server_is_none_of_ours(to_metadata, source_url):
    there = replace(to_metadata, dbname=source_url.rsplit("/", 1)[1].split("?")[0])
    with reading(there) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


# libpq's own ideas.

LEAKING = {
    "PGHOSTADDR": "192.0.2.1",
    "PGHOST": "192.0.2.1",
    "PGPORT": "1",
    "PGDATABASE": "nowhere",
    "PGUSER": "nobody",
    "PGPASSWORD": "from the environment",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGSSLCERTMODE": "require",
    "PGREQUIREAUTH": "gss",
    "PGCHANNELBINDING": "require",
    "PGREQUIREPEER": "nobody",
    "PGTARGETSESSIONATTRS": "standby",
    "PGMINPROTOCOLVERSION": "3.2",
    "PGOPTIONS": "-c work_mem=123kB",
    "PGAPPNAME": "somebody",
    "PGCLIENTENCODING": "LATIN1",
    "PGCONNECT_TIMEOUT": "1",
}


def test_no_variable_of_the_environment_changes_a_session(source_address, monkeypatch):
    with ExitStack() as stack:
        with monkeypatch.context() as environment:
            for name, value in LEAKING.items():
                environment.setenv(name, value)
            session = stack.enter_context(reading(source_address))
        row = session.execute(
            "SELECT current_setting('work_mem'), current_user::text, current_database()::text,"
            " current_setting('application_name'), current_setting('client_encoding')"
        ).fetchone()
    assert row == ("4MB", "source", source_address.dbname, "etl_admin:read", "UTF8")


def test_an_empty_password_is_not_taken_from_the_environment(source_address, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "source")
    with pytest.raises(RunError), reading(replace(source_address, password="")):
        pass


def test_whatever_a_variable_can_say_to_libpq_is_said_by_us():
    """A new libpq may know new variables: say here what each must be."""
    ours = {"host", "hostaddr", "port", "dbname", "user", "password", "sslmode"}
    ours |= {"application_name", "connect_timeout"}
    free = {
        option.keyword.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar and option.keyword.decode() not in ours | libpq.fixed().keys()
    }
    assert free == libpq.OPERATORS | {"service"}


def test_variables_that_outweigh_parameters_are_gone_once_the_settings_are_read():
    names = ("PGSERVICE", "PGTZ", "PGDATESTYLE", "PGGEQO")
    code = f"import os; from etl_admin import settings; print([n in os.environ for n in {names}])"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=django_settings.BASE_DIR,
        env={**os.environ, **dict.fromkeys(names, "x")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.strip() == str([False] * 4)


# TLS checks the name, whatever address it was.


def certificate(name):
    """A certificate of its own for `name`, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    whose = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(whose)
        .issuer_name(whose)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return made.public_bytes(pem), key.private_bytes(pem, *private)


@pytest.fixture
def encrypted_server(tmp_path):
    """The port of a server for db.example.com that goes as far as TLS, and who got there."""
    public, private = certificate("db.example.com")
    (tmp_path / "root.crt").write_bytes(public)
    (tmp_path / "server.pem").write_bytes(public + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    reached = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            while True:
                with suppress(OSError):
                    try:
                        client, _address = listening.accept()
                    except OSError:
                        return
                    client.recv(8)  # SSLRequest
                    client.sendall(b"S")
                    with context.wrap_socket(client, server_side=True) as session:
                        reached.append(session.recv(1024))

        threading.Thread(target=serve, daemon=True).start()
        yield SimpleNamespace(
            port=listening.getsockname()[1],
            root=tmp_path / "root.crt",
            names=names,
            reached=reached,
        )
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("name", ["db.example.com", "other.example.com"])
def test_the_certificate_must_be_for_the_name_and_not_for_the_address(
    encrypted_server, monkeypatch, name
):
    monkeypatch.setenv("PGSSLROOTCERT", str(encrypted_server.root))
    there = address(host=name, port=encrypted_server.port, sslmode="verify-full", may_be_local=True)
    known = {name.replace(".", "_"): ["127.0.0.1"]}
    with resolving(**known), pytest.raises(RunError) as error, reading(there):
        pass
    assert set(encrypted_server.names) == {name}
    signed_in = any(b"reader" in words for words in encrypted_server.reached)
    assert signed_in is (name == "db.example.com")
    assert ("refused the sign-in" in error.value.sentence) is not signed_in


def test_a_connection_insists_on_tls_unless_told_otherwise(admin):
    admin.post("/connections", SHOP)
    assert Connection.objects.get(name="shop").sslmode == "require"
    assert Address(name="", host="", port=1, dbname="", user="").sslmode == "require"


@pytest.mark.parametrize(
    ("host", "sslmode", "is_said"),
    [
        ("db.example.com", "disable", True),
        ("db.example.com", "prefer", True),
        ("db.example.com", "require", False),
        ("localhost", "disable", False),
        ("127.0.0.1", "prefer", False),
        ("::1", "disable", False),
    ],
)
def test_a_page_says_when_rows_may_cross_a_network_for_all_to_read(db, host, sslmode, is_said):
    row = ConnectionFactory(host=host, sslmode=sslmode)
    html = person().get(page(row)).content.decode()
    assert ("may be unencrypted" in html) is is_said


def test_a_test_says_when_encryption_is_luck():
    row = ("18.0", "reader", False, False, True, True, True, 180000)
    session = mock.MagicMock()
    session.__enter__.return_value.execute.return_value.fetchone.return_value = row
    session.__enter__.return_value.limit = None
    said = {}
    for mode in ("prefer", "require"):
        with (
            socket.socket() as connection,
            mock.patch.object(session.__enter__.return_value, "pgconn", socket=connection.fileno()),
            mock.patch("runner.preflight.ask.writing", return_value=session),
            mock.patch("runner.preflight.ask.powers_of", return_value=()),
        ):
            said[mode] = try_out(address(sslmode=mode)).warnings
    assert said["require"] == ()
    assert "does not insist" in said["prefer"][0]


@pytest.mark.parametrize("host", ["localhost", "0x7f.1", "169.254.169.254"])
def test_a_host_that_leads_here_is_said_in_the_form(db, guarded, host):
    found = errors(person().post(listing(Connection, "add"), new_connection(host=host)))
    assert list(found) == ["host"]
    assert "CONNECTIONS_ALLOW_LOCAL" in found["host"][0]
