"""No secret comes out again: not on a page, in an answer, a log, a report, a table, a process."""

import base64
import io
import json
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from unittest import mock

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection as metadata
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils.log import AdminEmailHandler
from knox.models import AuthToken

from etl_admin.database.account import server_account
from etl_admin.warehouse import warehouse_address
from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.models import Connection, Pipeline
from runner.addresses import address_of, definition_of
from runner.connections import reading, writing
from tests import cluster
from tests.control.asking import BASE, description
from tests.factories import (
    ConnectionFactory,
    PipelineFactory,
    ReconciliationFactory,
    RunFactory,
    UserFactory,
)
from tests.whole.admin_pages import listing, new_connection, new_pipeline, page, posted
from tests.whole.every_page import DIFFERING
from tests.whole.sentinels import (
    Found,
    Sentinel,
    command_lines,
    every_row,
    new,
    new_key,
    roles,
    rows_of,
    sessions,
    url_as,
)

KINDS = ("stored", "environment", "file")


@dataclass
class World:
    """Connections that work, each with a secret, and somebody who may do everything."""

    found: Found
    user: User
    token: str
    wrong: Sentinel
    pipelines: dict[str, Pipeline]
    environment: dict[str, str]

    def client(self, **headers):
        """A browser, or a program with headers; errors of views become pages."""
        client = Client(raise_request_exception=False, headers=headers)
        client.force_login(self.user)
        return client


@pytest.fixture
def world(transactional_db, request, settings, monkeypatch, tmp_path):
    """Everything that has a secret, in use."""
    source_url, target_url = map(request.getfixturevalue, ("source_url", "target_url"))
    passwords = {kind: new(kind) for kind in (*KINDS, "warehouse")}
    keys = {"SECRET_KEY": new("SECRET_KEY"), "ENCRYPTION_KEYS": new_key("ENCRYPTION_KEYS")}
    settings.SECRET_KEY = keys["SECRET_KEY"].value
    settings.ENCRYPTION_KEYS = [keys["ENCRYPTION_KEYS"].value]
    (tmp_path / "shop").write_text(passwords["file"].value)
    settings.SECRET_FILES_DIR = str(tmp_path)
    settings.WAREHOUSE_URL = url_as(
        target_url, cluster.own("s_warehouse"), passwords["warehouse"].value
    )
    environment = {
        "ETL_SECRET_SHOP": passwords["environment"].value,
        "SECRET_FILES_DIR": str(tmp_path),
        "WAREHOUSE_URL": settings.WAREHOUSE_URL,
        **{name: sentinel.value for name, sentinel in keys.items()},
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    databases = (cluster.own(cluster.SOURCE), cluster.own(cluster.TARGET))
    groups = (cluster.SOURCE, cluster.TARGET)
    names = {cluster.own(f"s_{kind}"): one.value for kind, one in passwords.items()}
    user = UserFactory(is_superuser=True)
    _row, token = AuthToken.objects.create(user)
    # The first letters of a token are its name.
    hidden = Sentinel("token", token, token[-30:])
    wrong = new("a wrong password")
    found = Found((*passwords.values(), *keys.values(), hidden, wrong))
    with roles(names, databases=databases, groups=groups):
        yield World(
            found=found,
            user=user,
            token=token,
            wrong=wrong,
            pipelines=dict(_pipelines(source_url, passwords)),
            environment=environment,
        )


def _pipelines(source_url, passwords):
    host, port = re.search(r"@([^:/]+):(\d+)", source_url).groups()
    places = {
        "stored": {"password": passwords["stored"].value},
        "environment": {"password_source": "environment", "password_reference": "ETL_SECRET_SHOP"},
        "file": {"password_source": "file", "password_reference": "shop"},
    }
    for kind, columns in places.items():
        source = ConnectionFactory(
            name=kind,
            host=host,
            port=int(port),
            dbname=cluster.own(cluster.SOURCE),
            user=cluster.own(f"s_{kind}"),
            **columns,
        )
        built_in = Connection.objects.get(name="default")
        pipeline = PipelineFactory(
            name=kind,
            source_connection=source,
            target_connection=built_in,
            source_query="SELECT 1 AS id",
        )
        yield kind, pipeline


@pytest.fixture
def logged():
    """Everything that anybody logs in this process, tracebacks too."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s %(pathname)s"))
    root = logging.getLogger()
    levels = {
        name: logging.getLogger(name).level
        for name in ("", "psycopg", "django", "django.template", "runner")
    }
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_runs_that_go_well_and_runs_that_fail_leave_no_secret(world, work_once, logged):
    broken = ConnectionFactory(
        name="broken",
        host=world.pipelines["stored"].source_connection.host,
        port=world.pipelines["stored"].source_connection.port,
        dbname=cluster.own(cluster.SOURCE),
        user="source",
        password=world.wrong.value,
    )
    failing = PipelineFactory(
        name="failing",
        source_connection=broken,
        target_connection=Connection.objects.get(name="default"),
    )
    for row in (*world.pipelines.values(), failing):
        lifecycle.request_run(row.pk, by=world.user, trigger=Trigger.API)
        went_well = work_once()
        assert went_well is (row is not failing), row.runs.get().error_message
    for database in (metadata.settings_dict["NAME"], cluster.own(cluster.TARGET)):
        for where, text in every_row(database):
            world.found.see(where, text)
    world.found.see("the log", logged.getvalue())
    assert "etl.checkpoint" in " ".join(where for where, _text in world.found.seen)
    assert world.found.leaks() == []


def test_a_worker_at_debug_says_no_secret(world, run_worker):
    for row in world.pipelines.values():
        lifecycle.request_run(row.pk, by=world.user, trigger=Trigger.API)
    ended = run_worker(LOG_LEVEL="DEBUG", **world.environment)
    assert ended.returncode == 0, ended.stderr
    assert {row.runs.get().status for row in world.pipelines.values()} == {"SUCCESS"}
    world.found.see("the worker's output", ended.stdout + ended.stderr)
    assert world.found.leaks() == []


def _changes_of(row):
    return row.history.all() if hasattr(row, "history") else ()


def addresses_of_pages():
    """The name and the address of each page of the admin; every connection's, one row of others."""
    for model, pages in admin.site._registry.items():
        rows = model._default_manager.all()[: None if model is Connection else 1]
        for pattern in pages.get_urls():
            kept = [[one.pk, change.pk] for one in rows for change in _changes_of(one)]
            for arguments in ([], *([one.pk] for one in rows), *kept):
                with suppress(NoReverseMatch):
                    yield pattern.name, reverse(f"admin:{pattern.name}", args=arguments)


def test_no_page_of_the_admin_shows_one(world, logged):
    logging.getLogger("django.template").setLevel(logging.INFO)  # or it is slow, and see below
    RunFactory(pipeline=world.pipelines["stored"])
    client = world.client()
    asked = set()
    for name, path in addresses_of_pages():
        asked.add(name)
        answer = client.get(path)
        if answer.status_code == 405:  # a verb
            answer = client.post(path, follow=True)
        world.found.see(path, answer.content)
    assert {"pipelines_connection_change", "pipelines_connection_test"} <= asked
    assert {"pipelines_pipeline_restore", "pipelines_auditrecord_change"} <= asked
    for button in ("validate", "preview"):
        for row in world.pipelines.values():
            address = f"{listing(Pipeline, button)}?pipeline={row.pk}"
            shown = client.post(address, posted(client, row))
            assert b"Both servers were asked" in shown.content
            world.found.see(button, shown.content)
    for path in (reverse("admin:index"), reverse("admin:login"), "/admin/nowhere/"):
        world.found.see(path, client.get(path).content)
    world.found.see("the log", logged.getvalue())
    assert world.found.leaks() == []


def test_no_form_gives_back_what_was_typed(world, logged):
    client = world.client()
    typed = {"password": world.wrong.value}
    add = listing(Connection, "add")
    for wrong in ({"port": "0"}, {"host": "/tmp"}, {"password_source": "file"}, {"name": ""}):
        world.found.see(add, client.post(add, new_connection(**typed, **wrong)).content)
    row = world.pipelines["stored"].source_connection
    change = posted(client, row, **typed, port="1")
    world.found.see("changed", client.post(page(row), change, follow=True).content)
    world.found.see("tested", client.post(page(row, "test"), follow=True).content)
    world.found.see("history", client.get(page(row, "history")).content)
    pipeline = new_pipeline(source_connection=row.pk)
    world.found.see("stored", client.post(listing(Pipeline, "add"), pipeline).content)
    signing_in = {"username": world.user.username, "password": world.wrong.value}
    world.found.see("login", Client().post(reverse("admin:login"), signing_in).content)
    for where, text in every_row(metadata.settings_dict["NAME"]):
        world.found.see(where, text)
    world.found.see("the log", logged.getvalue())
    assert world.found.leaks() == []


@pytest.mark.parametrize("form", ["application/json", "text/html"])
def test_no_answer_of_the_api_shows_one(world, logged, form):
    program = Client(
        raise_request_exception=False,
        headers={"accept": form, "authorization": f"Token {world.token}"},
    )
    compared = ReconciliationFactory(pipeline=world.pipelines["stored"], **DIFFERING)
    names = {"pipeline_id": compared.pipeline_id, "name": "stored", "token_id": "x"}
    names["reconciliation_id"] = compared.pk
    for template, operations in description()["paths"].items():
        path = re.sub(r"\{(\w+)\}", lambda match: str(names[match[1]]), template)
        for method in [*operations, "options", "trace"]:
            if method in ("delete", "parameters"):
                continue
            for body in (None, b"{", b"[]", json.dumps({"password": world.wrong.value}).encode()):
                answer = program.generic(
                    method.upper(), path, body or b"", content_type="application/json"
                )
                if not path.endswith("/tokens"):  # a new one is shown, once
                    world.found.see(f"{method} {path}", answer.content)
                world.found.see(f"{method} {path}", dict(answer.headers))
    world.found.see("the log", logged.getvalue())
    assert len(world.found.seen) > 100
    assert world.found.leaks() == []


SHOP = {"name": "shop", "host": "db.example.com", "dbname": "shop", "user": "reader"}


def test_no_error_of_the_api_gives_back_what_was_sent(world, logged):
    program = world.client(accept="application/json")
    word = world.wrong.value
    bodies = [
        json.dumps(SHOP | {"password": word}),
        json.dumps(SHOP | {"password": word, "port": 0}),
        json.dumps(SHOP | {"password": [word]}),
        json.dumps(SHOP | {"password": {word: word}}),
        json.dumps(SHOP | {"password": f"{word}\0"}),
        json.dumps(SHOP | {"password": word, "password_source": "file"}),
        json.dumps(SHOP | {"password": word})[:-1],
        json.dumps([SHOP | {"password": word}]),
    ]
    for path, method in (("/connections", "POST"), ("/connections/stored", "PATCH")):
        for body in bodies:
            for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
                answer = program.generic(method, BASE + path, body, content_type=kind)
                world.found.see(f"{method} {path} {body[:20]}", answer.content)
    program.patch(f"{BASE}/connections/stored", {"password": word}, content_type="application/json")
    for path in (
        "/connections/stored/test",
        f"/pipelines/{world.pipelines['stored'].pk}/reconcile",
    ):
        answer = program.post(BASE + path, b"", content_type="application/json")
        world.found.see(path, answer.content)
    for scheme in (f"Token {word}", "Basic " + base64.b64encode(f"x:{word}".encode()).decode()):
        refused = Client().get(f"{BASE}/pipelines", headers={"authorization": scheme.strip()})
        assert refused.status_code == 401
        world.found.see("refused", refused.content)
    world.found.see("the log", logged.getvalue())
    assert world.found.leaks() == []


@pytest.fixture
def reports(settings, mailoutbox):
    """What is mailed to ADMINS, with every variable of every frame."""
    settings.ADMINS = [("Admin", "admin@example.com")]
    handler = AdminEmailHandler(include_html=True)
    handler.setLevel(logging.ERROR)
    for name in ("django.request", "runner"):
        logging.getLogger(name).addHandler(handler)
    yield mailoutbox
    for name in ("django.request", "runner"):
        logging.getLogger(name).removeHandler(handler)


FAULTS = [
    "pipelines.secrets.Fernet",
    "pipelines.validation.password.references.fault",
    "pipelines.api.views.connections.password_columns",
    "pipelines.admin.connection.password_columns",
    "runner.opening.check_not_metadata",
    "runner.opening.classify_connect",
]


@pytest.mark.parametrize("place", FAULTS)
def test_a_fault_shows_no_secret_on_its_page_nor_in_its_report(world, reports, logged, place):
    row = world.pipelines["stored"].source_connection
    client, program = world.client(), world.client(accept="application/json")
    typed = {"password": world.wrong.value}
    named = {**new_connection(), **typed, "name": "stored"}
    referring = {"password_source": "file", "password_reference": "shop"}
    ConnectionFactory(name="refused", host=row.host, port=row.port, user="source", **typed)

    def ask(method, path, body=None):
        return program.generic(
            method, BASE + path, json.dumps(body or {}), content_type="application/json"
        )

    with mock.patch(place, side_effect=RuntimeError("a fault of the program")):
        answers = [
            client.post(listing(Connection, "add"), new_connection(**typed)),
            client.post(page(row), named),
            client.post(page(row), {**named, **referring}),
            client.post(page(row, "test")),
            ask("POST", "/connections", SHOP | typed),
            ask("PATCH", "/connections/stored", typed),
            ask("PATCH", "/connections/stored", typed | referring),
            *(ask("POST", f"/connections/{name}/test") for name in (*world.pipelines, "refused")),
        ]
    faults = [answer for answer in answers if answer.status_code == 500]
    assert faults
    for answer in answers:
        world.found.see("a page", answer.content)
        assert b"a fault of the program" not in answer.content
    assert sum("a fault of the program" in mail.body for mail in reports) >= len(faults)
    for mail in reports:
        world.found.see("a report", mail.body)
        for html, _kind in mail.alternatives:
            world.found.see("a report", html)
    world.found.see("the log", logged.getvalue())
    assert world.found.leaks() == []


def test_servers_and_the_system_see_no_secret_while_sessions_are_open(world):
    for row in world.pipelines.values():
        source, target = address_of(row.source_connection), address_of(row.target_connection)
        with reading(source) as one, writing(target) as other:
            for session in (one, other):
                session.execute("SELECT 1")
                world.found.see("a session", session)
                world.found.see("a session", rows_of(session))
            for where, text in (*sessions(), *command_lines()):
                world.found.see(where, text)
        world.found.see("values", (source, target, definition_of(row), row, row.source_connection))
    assert warehouse_address()["password"]  # a plain dictionary, which is never kept or logged
    assert world.found.leaks() == []


def test_programs_of_the_server_inherit_no_secret(world, tmp_path):
    ended = server_account(tmp_path).run(["/usr/bin/env"])
    assert "PATH=" in ended.stdout
    world.found.see("the environment of PostgreSQL", ended.stdout)
    assert world.found.leaks() == []


def test_the_search_finds_what_is_there():
    """A crawl that could not find a secret would prove nothing."""
    sentinel = new("a password")
    raw = sentinel.value
    texts = [
        raw,
        repr(raw),
        json.dumps({"x": raw}),
        base64.b64encode(f"x:{raw}".encode()).decode(),
        base64.b64encode(f"xy:{raw}".encode()).decode(),
        base64.b64encode(f"xyz:{raw}".encode()).decode(),
        raw.encode().hex(),
        url_as("postgresql://a@h:1/d", "a", raw),
    ]
    assert [sentinel.is_in(text) for text in texts] == [True] * len(texts)
    assert not sentinel.is_in(os.urandom(2000).hex() + django_settings.SECRET_KEY)
