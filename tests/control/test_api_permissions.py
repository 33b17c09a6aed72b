"""Who may do what over the API: every group, address and method, against a list of its own."""

from unittest import mock

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction
from knox.models import AuthToken

from pipelines.api.urls import urlpatterns
from runner.plan import Address, Method
from runner.preflight import ConnectionReport, Findings, Preview
from tests.control.asking import EQUAL, Asker, Stranger
from tests.data.loading import definition
from tests.factories import (
    ConnectionFactory,
    PipelineFactory,
    ReconciliationFactory,
    UserFactory,
)

VIEWER = {"viewer", "operator", "editor", "administrator"}
OPERATOR = VIEWER - {"viewer"}
EDITOR = OPERATOR - {"operator"}
ADMINISTRATOR = {"administrator"}
ANYBODY = {*VIEWER, None}

NEW_PIPELINE = {
    "name": "new",
    "target_table": "analytics.new",
    "source_query": "SELECT 1 AS id",
}
TO_REPAIR = {"status": "WARNING", "missing": 1, "extra": 2, "different": 4}
NEW_CONNECTION = {"name": "new", "host": "db.example.com", "dbname": "d", "user": "u"}

#: Who may ask each; {p} is a pipeline, {c} a connection, {r} a
#: comparison. The status is that of success.
TABLE = [
    ("GET", "/", ANYBODY, 200, None),
    ("GET", "/pipelines", VIEWER, 200, None),
    ("POST", "/pipelines", EDITOR, 201, NEW_PIPELINE),
    ("GET", "/pipelines/{p}", VIEWER, 200, None),
    ("PATCH", "/pipelines/{p}", EDITOR, 200, {"batch_size": 1}),
    ("DELETE", "/pipelines/{p}", ADMINISTRATOR, 204, None),
    ("POST", "/pipelines/{p}/run", OPERATOR, 202, None),
    ("POST", "/pipelines/{p}/pause", OPERATOR, 202, None),
    ("POST", "/pipelines/{p}/cancel", OPERATOR, 202, None),
    ("POST", "/pipelines/{p}/reconcile", OPERATOR, 200, None),
    ("GET", "/pipelines/{p}/reconciliations", VIEWER, 200, None),
    ("GET", "/reconciliations/{r}", VIEWER, 200, None),
    ("POST", "/reconciliations/{r}/cancel", OPERATOR, 202, None),
    ("POST", "/reconciliations/{r}/repair", OPERATOR, 202, {"max_rows": 7}),
    ("GET", "/pipelines/{p}/status", VIEWER, 200, None),
    ("GET", "/pipelines/{p}/state", VIEWER, 200, None),
    ("DELETE", "/pipelines/{p}/state", ADMINISTRATOR, 204, None),
    ("GET", "/pipelines/{p}/runs", VIEWER, 200, None),
    ("POST", "/preview", EDITOR, 200, NEW_PIPELINE),
    ("GET", "/connections", VIEWER, 200, None),
    ("POST", "/connections", ADMINISTRATOR, 201, NEW_CONNECTION),
    ("GET", "/connections/{c}", VIEWER, 200, None),
    ("PATCH", "/connections/{c}", ADMINISTRATOR, 200, {"port": 1}),
    ("DELETE", "/connections/{c}", ADMINISTRATOR, 204, None),
    ("POST", "/connections/{c}/test", EDITOR, 200, None),
    ("GET", "/tokens", ANYBODY, 200, None),
    ("POST", "/tokens", ANYBODY, 201, {}),
    ("GET", "/schema", ANYBODY, 200, None),
    ("GET", "/docs", ANYBODY, 200, None),
    ("GET", "/health", {*ANYBODY, "stranger"}, 200, None),
]
GROUPS = ["stranger", None, "viewer", "operator", "editor", "administrator"]


@pytest.fixture
def _no_servers():
    """The question here is who may ask, not what the servers say."""
    found = Findings(columns=(), target_columns=(), key=(), method=Method.SWAP)
    with (
        mock.patch("runner.preflight.inspect", return_value=found),
        mock.patch("runner.preflight.preview", return_value=looked_at(found)),
        mock.patch("runner.reconcile.compare", return_value=EQUAL),
        mock.patch(
            "runner.preflight.test_connection",
            return_value=ConnectionReport(ok=True, sentence="Connected."),
        ),
    ):
        yield


def looked_at(found):
    """A preview of these findings."""
    where = Address(name="nowhere", host="", port=1, dbname="", user="")
    asked = definition("SELECT 1 AS id", source=where, target=where)
    return Preview(definition=asked, findings=found, columns=(), as_bytes=True)


def _person(group):
    return Stranger() if group == "stranger" else Asker(group)


@pytest.mark.usefixtures("_no_servers")
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("asked", TABLE, ids=lambda asked: " ".join(asked[:2]))
def test_each_group_may_do_what_is_its_own(db, group, asked):
    method, path, allowed, success, body = asked
    pipeline = PipelineFactory(status="RUN_REQUESTED")
    connection = ConnectionFactory(name="shop")
    found = ReconciliationFactory(**TO_REPAIR)
    path = path.format(p=pipeline.pk, c=connection.name, r=found.pk)
    answer = _person(group).ask(method, path, body)
    refused = 401 if group == "stranger" else 403
    assert answer.status_code == (success if group in allowed else refused), answer.content
    if group not in allowed:
        pipeline.refresh_from_db()
        connection.refresh_from_db()
        assert (pipeline.status, pipeline.batch_size) == ("RUN_REQUESTED", 5000)
        assert connection.port == 5432


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = sorted({path for _method, path, *_rest in TABLE} | {"/tokens/{t}"})
#: Who is asked for besides the groups.
EVERYBODY = [*GROUPS, "superuser", "deactivated"]
#: What the list above says, by path and method; a token of somebody else's is never found.
RIGHTS = {(path, method): (allowed, success) for method, path, allowed, success, _ in TABLE} | {
    ("/tokens/{t}", "DELETE"): (ANYBODY, 404)
}


def _wanted(path, method, who):
    """The status of the answer, by the list above."""
    if path == "/health":
        return 200 if method in ("GET", "HEAD", "OPTIONS") else 405
    if who in ("stranger", "deactivated"):
        return 401
    looked_at = "GET" if method == "HEAD" else method
    if method == "OPTIONS":
        return 405 if path == "/docs" else 200
    if (path, looked_at) not in RIGHTS:
        return 405
    allowed, success = RIGHTS[path, looked_at]
    return success if who == "superuser" or who in allowed else 403


def _somebody(who):
    if who == "superuser":
        return Asker(user=UserFactory(is_superuser=True))
    if who == "deactivated":
        asker = Asker("administrator")
        asker.user.is_active = False
        asker.user.save(update_fields=["is_active"])
        return asker
    return _person(who)


@pytest.mark.usefixtures("_no_servers")
@pytest.mark.parametrize("path", PATHS)
def test_every_method_of_every_address_for_everybody(db, path):
    pipeline = PipelineFactory(status="RUN_REQUESTED")
    connection = ConnectionFactory(name="shop")
    token = AuthToken.objects.create(UserFactory())[0].token_key
    found = ReconciliationFactory(**TO_REPAIR)
    address = path.format(p=pipeline.pk, c=connection.name, t=token, r=found.pk)
    bodies = {(method, path): body for method, path, *_rest, body in TABLE}
    wanted, found = {}, {}
    for who in EVERYBODY:
        asker = _somebody(who)
        for method in METHODS:
            with transaction.atomic():
                answer = asker.ask(method, address, bodies.get((method, path)))
                transaction.set_rollback(True)
            wanted[who, method] = _wanted(path, method, who)
            found[who, method] = answer.status_code

    assert found == wanted


def test_the_list_above_has_every_method_of_every_view():
    views = {pattern.name: pattern.callback.cls for pattern in urlpatterns if pattern.name}
    methods = {
        (name, method.upper())
        for name, view in views.items()
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(view, method)
    }
    # Revoking a token is always about one's own.
    assert len(methods) - len({("token", "DELETE")}) == len(TABLE)


def test_every_view_says_the_verb_of_each_of_its_methods():
    for pattern in urlpatterns:
        view = pattern.callback.cls
        if pattern.name in {"schema", "docs", "health"} or not pattern.name:
            continue
        methods = {m.upper() for m in ("get", "post", "put", "patch", "delete") if hasattr(view, m)}
        assert methods == set(view.verbs), pattern.name


def test_a_permission_of_ones_own_is_enough(db):
    user = UserFactory()
    user.user_permissions.add(Permission.objects.get(codename="run_pipeline"))
    path = f"/pipelines/{PipelineFactory().pk}"
    assert Asker(user=user).post(f"{path}/run").status_code == 202
    assert Asker(user=user).get(path).status_code == 403


def test_a_superuser_may_do_everything(db):
    asker = Asker(user=UserFactory(is_superuser=True))
    assert asker.delete(f"/pipelines/{PipelineFactory().pk}").status_code == 204


def test_who_was_deactivated_is_a_stranger(db):
    asker = Asker("administrator")
    asker.user.is_active = False
    asker.user.save(update_fields=["is_active"])
    assert asker.get("/pipelines").status_code == 401


def test_options_tell_who_is_signed_in_and_nobody_else(db):
    assert Asker(None).ask("OPTIONS", "/pipelines").status_code == 200
    assert Stranger().ask("OPTIONS", "/pipelines").status_code == 401


def test_head_asks_for_what_get_asks(db):
    assert Asker("viewer").ask("HEAD", "/pipelines").status_code == 200
    assert Asker(None).ask("HEAD", "/pipelines").status_code == 403
