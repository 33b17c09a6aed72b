"""Wrong settings stop the start with a sentence that names the variable, and no traceback."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "WAREHOUSE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "SECRET_KEY": "not a secret",
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
        ({"ENCRYPTION_KEYS": None}, "ENCRYPTION_KEYS: must be set"),
        ({"ENCRYPTION_KEYS": "short"}, "ENCRYPTION_KEYS: Key 1 of"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL: must be an address"),
        ({"DEBUG": "maybe"}, "DEBUG: “maybe” is neither"),
        ({"RUNNER_LEASE_SECONDS": "0.5"}, "RUNNER_LEASE_SECONDS: 0.5 is not between 1"),
        ({"RUNNER_LEASE_SECONDS": "nan"}, "RUNNER_LEASE_SECONDS: nan is not between"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL: “LOUD” is none of DEBUG, INFO"),
        ({"RUNNER_POLL_SECONDS": "soon"}, "RUNNER_POLL_SECONDS: “soon” is not a number"),
        ({"PUBLIC_URL": "etl.example.com"}, "PUBLIC_URL: “etl.example.com” is not an address"),
    ],
)
def test_a_wrong_value_stops_the_start_with_a_sentence(
    changes: dict[str, str | None], sentence: str
) -> None:
    ended = _start(**changes)
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("schema", ["pg_catalog", "analytics", "x" * 64])
def test_a_state_schema_that_cannot_be_ours_is_refused(schema: str) -> None:
    code = "import django; django.setup(); from django.core.management import call_command as c"
    ended = _start(f"{code}; c('check')", STATE_SCHEMA=schema)
    assert ended.returncode == 1
    assert "STATE_SCHEMA" in ended.stderr


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
