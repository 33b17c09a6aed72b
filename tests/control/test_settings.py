"""Wrong settings stop the start with a sentence that names the variable, and no traceback."""

import ast
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from etl_admin import environment
from etl_admin.database.throwaway import throwaway_cluster
from etl_admin.settings import VERSION

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "WAREHOUSE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "SECRET_KEY": "not a secret, but long enough to be taken for one at the start",
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
}


def _start(
    code: str = "import etl_admin.settings", **changes: str | None
) -> subprocess.CompletedProcess[str]:
    values = {**COMPLETE, **changes}
    inherited = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "etl_admin.settings"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=inherited | {name: value for name, value in values.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_complete_environment_starts() -> None:
    assert _start().returncode == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"WAREHOUSE_URL": None}, "WAREHOUSE_URL: must be set"),
        ({"SECRET_KEY": None}, "SECRET_KEY: must be set"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY: must be random text of at least 50 characters"),
        ({"SECRET_KEY": "ab" * 40}, "SECRET_KEY: must be random text of at least 50 characters"),
        ({"ENCRYPTION_KEYS": None}, "ENCRYPTION_KEYS: must be set"),
        ({"ENCRYPTION_KEYS": "short"}, "ENCRYPTION_KEYS: Key 1 of"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL: must be an address"),
        ({"DEBUG": "maybe"}, "DEBUG: “maybe” is neither"),
        ({"RUNNER_LEASE_SECONDS": "0.5"}, "RUNNER_LEASE_SECONDS: 0.5 is not between 1"),
        ({"RUNNER_LEASE_SECONDS": "nan"}, "RUNNER_LEASE_SECONDS: nan is not between"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL: “LOUD” is none of DEBUG, INFO"),
        ({"RUNNER_POLL_SECONDS": "soon"}, "RUNNER_POLL_SECONDS: “soon” is not a number"),
        ({"PUBLIC_URL": "etl.example.com"}, "PUBLIC_URL: must be an address like"),
        ({"SIGN_IN_FAILURES": "0"}, "SIGN_IN_FAILURES: 0 is not between 1"),
        ({"SIGN_IN_LOCK_MINUTES": "1.5"}, "SIGN_IN_LOCK_MINUTES: “1.5” is not a whole number"),
        ({"TRUSTED_PROXIES": "-1"}, "TRUSTED_PROXIES: “-1” is not a whole number"),
        ({"LIMIT_RUN": "many"}, "LIMIT_RUN: “many” is not a whole number"),
        ({"AUDIT_DAYS": "0"}, "AUDIT_DAYS: 0 is not between 1"),
    ],
)
def test_a_wrong_value_stops_the_start_with_a_sentence(
    changes: dict[str, str | None], sentence: str
) -> None:
    ended = _start(**changes)
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


HIDDEN = "Sesame"  # the password of the addresses below: no piece of it may be shown
AN_ADDRESS = "must be an address like postgresql://user:password@host:5432/database"


@pytest.mark.parametrize("name", ["DATABASE_URL", "WAREHOUSE_URL"])
@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("mysql://u:Sesame@h/x", AN_ADDRESS),
        ("u:Sesame@h/x", AN_ADDRESS),
        ("postgresql://u:12/Sesame@h/x", AN_ADDRESS),
        ("postgresql://u:Sesame/x@h/x", AN_ADDRESS),
        ("postgresql://u:Ses@Sesame@h/x", AN_ADDRESS),
        ("postgresql://u:Sesame#1@h/x", AN_ADDRESS),
        ("postgresql://u:1?Sesame=2@h/x", AN_ADDRESS),
        ("postgresql://u:Sesame%zz@h/x", AN_ADDRESS),
        ("postgresql://u:Sesame@h:port/x", AN_ADDRESS),
        ("postgresql://u:Sesame@h:0/x", AN_ADDRESS),
        ("postgresql://u:Sesame@h:65536/x", AN_ADDRESS),
        ("postgresql://u:Sesame@[::1/x", AN_ADDRESS),
        ("postgresql://u:Sesame@/x", AN_ADDRESS),
        ("postgresql://h/x", AN_ADDRESS),
        ("postgresql://u:Sesame@h", AN_ADDRESS),
        ("postgresql://u:Sesame@h/x/y", AN_ADDRESS),
        ("postgresql://u:a@Sesame/b@h", AN_ADDRESS),
        ("postgresql://u:Ses ame@h/x", "it has a space or a control character"),
        ("postgresql://u:Sesame\t1@h/x", "it has a space or a control character"),
        ("postgresql://u:Sesame%00@h/x", "it has a space or a control character"),
        ("postgresql://u:Sesame%ff@h/x", "what is written with % in it is not UTF-8"),
        ("postgresql://:Sesame@h/x", "the user is missing"),
        ("postgresql://u:Sesame@h/", "not one database follows the host"),
        ("postgresql://u:Sesame@%2Ftmp/x", "its host has a %"),
        ("postgresql://u:Sesame@h:0/x", "its port is not from 1 to 65535"),
        ("postgresql://u:p@h/x?sslmode=allow&sslmode=allow", "a parameter after “?” twice"),
        ("postgresql://u:p@h/x?Sesame=1", "a parameter after “?” that is none of"),
        ("postgresql://u:p@h/x?sslmode=Sesame", "sslmode must be one of disable, allow, prefer"),
    ],
)
def test_a_wrong_address_of_a_server_is_refused_and_not_shown(
    name: str, address: str, sentence: str
) -> None:
    ended = _start(**{name: address})
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{name}: ")
    assert sentence in ended.stderr
    assert HIDDEN not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_time_limit_for_connecting_is_a_number_of_seconds() -> None:
    address = COMPLETE["DATABASE_URL"] + "?connect_timeout="
    code = "from etl_admin import settings as s; print(s.DATABASES['default']['OPTIONS'])"
    assert "'connect_timeout': 10," in _start(code).stdout
    assert "'connect_timeout': 3," in _start(code, DATABASE_URL=address + "3").stdout
    ended = _start(DATABASE_URL=address + "soon")
    assert ended.stderr.startswith("DATABASE_URL: its connect_timeout must be a number of seconds")


def test_a_password_with_every_character_arrives_as_it_is() -> None:
    address = "postgresql://u:a%2F%40%3A%23%3F%25+%2Bb@db.example.com:5433/x+y?sslmode=require"
    code = (
        "import django; django.setup(); from etl_admin import settings as s;"
        "from etl_admin.warehouse import warehouse_address as w; d = s.DATABASES['default'];"
        "print(d['PASSWORD'], w()['password'], d['PORT'], w()['port'],"
        "d['NAME'], w()['dbname'])"
    )
    ended = _start(code, DATABASE_URL=address, WAREHOUSE_URL=address)
    assert ended.stdout.split() == ["a/@:#?%++b", "a/@:#?%++b", "5433", "5433", "x+y", "x+y"], (
        ended.stderr
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://[",
        "https://u:Sesame@etl.example.com",
        "https://etl.example.com?x=1",
        "https://etl.example.com/?",
        "https://etl.example.com#x",
        "https://etl.example.com/etl",
        "https://etl.example.com:0",
        "https://etl.example.com:99999",
        "ftp://etl.example.com",
        "https://@etl.example.com",
        "https://etl.example.com/#",
        "https://*",
        "https://.example.com",
        "https://etl example.com",
        "https://пример.рф",
        "http://[v1.x]",
    ],
)
def test_a_public_address_is_host_and_port_only(address: str) -> None:
    ended = _start(PUBLIC_URL=address)
    assert (ended.returncode, HIDDEN in ended.stderr) == (1, False)
    assert ended.stderr.startswith("PUBLIC_URL: must be an address like https://etl.example.com")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("address", "origin", "host"),
    [
        ("HTTPS://ETL.Example.com:443/", "https://etl.example.com", "etl.example.com"),
        ("http://etl.example.com:8000", "http://etl.example.com:8000", "etl.example.com"),
        ("http://[2001:DB8::1]:80", "http://[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_a_public_address_is_kept_as_browsers_send_it(address: str, origin: str, host: str) -> None:
    code = (
        "from etl_admin import settings as s;"
        "print(*s.CSRF_TRUSTED_ORIGINS);"
        "print(*(set(s.ALLOWED_HOSTS) - {'127.0.0.1', 'localhost', '[::1]'}))"
    )
    assert _start(code, PUBLIC_URL=address).stdout.split() == [origin, host]


@pytest.mark.parametrize("name", ["STATE_SCHEMA", "TARGET_SCHEMAS"])
@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ("pg_catalog", "belongs to PostgreSQL itself"),
        ("information_schema", "belongs to PostgreSQL itself"),
        ("pg_temp_3", "belongs to PostgreSQL itself"),
        ("x" * 64, "is longer than the 63 bytes"),
        ("я" * 32, "is longer than the 63 bytes"),
        ("analytics.film", "must be the plain name of a schema"),
        ('"analytics"', "must be the plain name of a schema"),
        ("ana\x07lytics", "must be the plain name of a schema"),
        ("\udcff", "must be the plain name of a schema"),
    ],
)
def test_a_schema_that_cannot_be_ours_is_refused(name: str, schema: str, sentence: str) -> None:
    ended = _start(**{name: schema})
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{name}: ")
    assert sentence in ended.stderr


def test_no_pipeline_may_write_where_the_checkpoints_are() -> None:
    ended = _start(STATE_SCHEMA="state", TARGET_SCHEMAS="analytics,state")
    assert ended.returncode == 1
    assert "STATE_SCHEMA: is in TARGET_SCHEMAS too" in ended.stderr


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        ended = _start(DATA_DIR=str(place), DATABASE_URL=None)
        assert ended.returncode == 1
        assert "DATA_DIR: " in ended.stderr
        assert "is a file; give a directory" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_data_directory_that_cannot_be_made_is_refused() -> None:
    for place in ("/proc/data", "/" + "x" * 300):
        ended = _start(DATA_DIR=place, DATABASE_URL=None, SECRET_KEY=None)
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"DATA_DIR: {place}/secret_key cannot be made or read: ")
        assert len(ended.stderr.splitlines()) == 1


def test_a_folder_that_is_closed_to_us_is_refused_only_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(environment.BadSetting, match="cannot be written by this user"):
        environment.directory("DATA_DIR", tmp_path, is_written=True)
    assert environment.directory("DATA_DIR", tmp_path, is_written=False) == tmp_path / "data"


def test_a_folder_that_we_may_not_even_look_into_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, look = tmp_path / "closed", Path.exists

    def exists(path: Path) -> bool:
        if closed in path.parents:
            raise PermissionError
        return look(path)

    closed.mkdir()
    monkeypatch.setenv("DATA_DIR", str(closed / "data"))
    monkeypatch.setattr(Path, "exists", exists)
    assert environment.directory("DATA_DIR", tmp_path, is_written=True) == closed / "data"


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [(b"\n", "is empty"), (b"\xff\n", "cannot be made or read: it is damaged")],
)
def test_a_kept_secret_that_is_damaged_is_named(tmp_path: Path, kept: bytes, sentence: str) -> None:
    (tmp_path / "secret_key").write_bytes(kept)
    ended = _start(DATA_DIR=str(tmp_path), DATABASE_URL=None, SECRET_KEY=None)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"DATA_DIR: {tmp_path / 'secret_key'} {sentence}")
    assert len(ended.stderr.splitlines()) == 1


def _manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


CREATE_SOMEBODY = "createsuperuser --noinput --username somebody --email some@body.example"


@pytest.mark.parametrize("command", ["migrate", "installation", "showmigrations", CREATE_SOMEBODY])
def test_a_command_says_in_a_sentence_that_the_metadata_is_away(command: str) -> None:
    ended = _manage(*command.split(), **COMPLETE)
    assert ended.returncode == 1
    assert ended.stderr.startswith("The metadata database cannot be used: ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_command_asked_for_its_traceback_gives_it() -> None:
    assert "Traceback" in _manage("migrate", "--traceback", **COMPLETE).stderr


def test_a_command_before_the_first_migration_says_what_to_run() -> None:
    with throwaway_cluster() as cluster:
        address = cluster.url("postgres")
        ended = _manage("installation", **{**COMPLETE, "DATABASE_URL": address})
    assert ended.returncode == 1
    assert ended.stderr == (
        "The metadata database lacks tables of this version; run: manage.py migrate.\n"
    )


def test_the_development_server_says_that_the_metadata_is_away_and_serves() -> None:
    code = (
        "import django; django.setup();"
        "from pipelines.management.commands.runserver import Command as c; c().check_migrations()"
    )
    ended = _start(code)
    assert ended.returncode == 0
    assert ended.stderr.startswith("The metadata database cannot be used: ")


@pytest.mark.parametrize(
    "headers", ["", "HTTP_AUTHORIZATION='Token abc', HTTP_COOKIE='sessionid=x'"]
)
def test_the_health_check_says_in_its_own_words_that_the_metadata_is_away(headers: str) -> None:
    code = (
        "import django; django.setup(); from django.test import Client;"
        f"answer = Client().get('/api/v1/health', HTTP_HOST='localhost', {headers});"
        "print(answer.status_code, answer.json())"
    )
    said = _start(code).stdout
    assert said == f"503 {{'status': 'error', 'db': 'error', 'version': '{VERSION}'}}\n"


def test_without_a_database_url_keys_are_made_once_and_for_us_alone(tmp_path: Path) -> None:
    unset = dict.fromkeys(COMPLETE)
    code = "from etl_admin import settings as s; print(s.SECRET_KEY, s.ENCRYPTION_KEYS)"
    first = _start(code, **unset, DATA_DIR=str(tmp_path / "data"))
    second = _start(code, **unset, DATA_DIR=str(tmp_path / "data"))
    assert first.returncode == 0
    assert first.stdout == second.stdout
    files = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert files == ["encryption_key", "secret_key"]
    for name in files:
        assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) == 0o600


def test_https_turns_on_redirect_hsts_and_secure_cookies() -> None:
    code = (
        "from etl_admin import settings as s; print(s.SECURE_SSL_REDIRECT,"
        " s.SECURE_HSTS_SECONDS > 0, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE)"
    )
    assert _start(code, PUBLIC_URL="https://etl.example.com").stdout.split() == ["True"] * 4
    assert _start(code).stdout.split() == ["False"] * 4


@pytest.mark.parametrize(
    ("host", "changes", "served"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("0.0.0.0", {}, False),
        ("", {}, False),
        ("0.0.0.0", {"ALLOW_HTTP": "1"}, True),
        ("0.0.0.0", {"PUBLIC_URL": "https://etl.example.com"}, True),
    ],
)
def test_plain_http_is_served_to_this_machine_only(
    host: str, changes: dict[str, str | None], served: bool
) -> None:
    code = f"from etl_admin.bind import refuse_open_bind; refuse_open_bind({host!r})"
    ended = _start(code, **changes)
    assert (ended.returncode == 0) is served
    assert served or "ALLOW_HTTP=1" in ended.stderr


def test_check_deploy_is_clean_with_an_https_address() -> None:
    code = (
        "import django; django.setup(); from django.core.management import call_command as c;"
        "c('check', deploy=True, fail_level='WARNING')"
    )
    changes = {
        "PUBLIC_URL": "https://etl.example.com",
        "SECRET_KEY": "k9" * 20 + "abcdefghij",
    }
    ended = _start(code, **changes, PYTHONWARNINGS="ignore")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "host", ["http://etl.example.com", "etl.example.com:8000", "a b", "etl..example.com", "/"]
)
def test_an_allowed_host_is_a_name_alone(host: str) -> None:
    ended = _start(ALLOWED_HOSTS=f"good.example.com,{host}")
    assert ended.returncode == 1
    assert ended.stderr.startswith("ALLOWED_HOSTS: “")
    assert "without port" in ended.stderr


def test_every_form_of_allowed_host_is_taken() -> None:
    allowed = "ETL.example.com,.example.org,localhost,127.0.0.1,[::1],*"
    code = "from etl_admin import settings as s; print(*s.ALLOWED_HOSTS)"
    ended = _start(code, ALLOWED_HOSTS=allowed)
    assert ended.stdout.split() == allowed.lower().split(","), ended.stderr


@pytest.mark.parametrize(
    ("url", "sslmode"),
    [
        ("postgresql://etl:x@db.example.com/etl", "require"),
        ("postgresql://etl:x@db.example.com/etl?sslmode=verify-full", "verify-full"),
        ("postgresql://etl:x@127.0.0.1/etl", "None"),
    ],
)
def test_metadata_elsewhere_are_asked_for_over_tls(url: str, sslmode: str) -> None:
    code = "from etl_admin import settings as s; print(s.DATABASES['default']['OPTIONS'])"
    options = ast.literal_eval(_start(code, DATABASE_URL=url).stdout)
    assert str(options.get("sslmode")) == sslmode
