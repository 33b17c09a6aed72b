"""Every address of the admin, and every action on a list, for everybody there is; and that looking
changes nothing.

The table below is written by hand. An address or an action that it does not name fails the test.
"""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import transaction
from django.template.response import SimpleTemplateResponse
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from knox.models import AuthToken
from rest_framework.permissions import AllowAny

from pipelines import changes
from pipelines.middleware import SignedIn
from pipelines.models import AuditRecord, Connection, Pipeline, PipelineRun, Reconciliation, Worker
from runner.comparing.values import Level, Report
from runner.plan import Method
from runner.preflight import ConnectionReport, Findings
from tests.control.asking import HANDLER
from tests.factories import (
    AttemptFactory,
    ConnectionFactory,
    PipelineFactory,
    ReconciliationFactory,
    RunFactory,
    UserFactory,
    WorkerFactory,
)
from tests.whole.admin_pages import person

OUTSIDE = ("anonymous", "deactivated", "not staff")
INSIDE = ("no group", "viewer", "operator", "editor", "administrator", "superuser")

NOBODY: frozenset[str] = frozenset()
SUPERUSER = frozenset({"superuser"})
ADMINISTRATOR = SUPERUSER | {"administrator"}
EDITOR = ADMINISTRATOR | {"editor"}
OPERATOR = EDITOR | {"operator"}
VIEWER = OPERATOR | {"viewer"}
STAFF = VIEWER | {"no group"}

#: Who may GET, and who may POST, by the address's name. Everybody else inside gets 403, and
#: whoever is outside gets to the sign-in page.
TABLE: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "index": (STAFF, STAFF),
    "app_list": (STAFF, STAFF),
    "search": (STAFF, STAFF),
    "jsi18n": (STAFF, STAFF),
    "password_change": (STAFF, STAFF),
    "password_change_done": (STAFF, STAFF),
    # Its POST is 405 for whoever is let in.
    "autocomplete": (VIEWER, STAFF),
    "pipelines_pipeline_changelist": (VIEWER, VIEWER),
    "pipelines_pipeline_rows": (VIEWER, VIEWER),
    "pipelines_pipeline_live": (VIEWER, VIEWER),
    "pipelines_pipeline_add": (EDITOR, EDITOR),
    "pipelines_pipeline_change": (VIEWER, EDITOR),
    "pipelines_pipeline_history": (VIEWER, VIEWER),
    "pipelines_pipeline_restore": (EDITOR, EDITOR),
    # Their GET is 405 for whoever is let in.
    "pipelines_pipeline_preview": (EDITOR, EDITOR),
    "pipelines_pipeline_validate": (EDITOR, EDITOR),
    "pipelines_pipeline_delete": (ADMINISTRATOR, ADMINISTRATOR),
    "pipelines_pipeline_run": (OPERATOR, OPERATOR),
    "pipelines_pipeline_pause": (OPERATOR, OPERATOR),
    "pipelines_pipeline_cancel": (OPERATOR, OPERATOR),
    "pipelines_pipeline_reconcile": (OPERATOR, OPERATOR),
    "pipelines_pipeline_enable": (EDITOR, EDITOR),
    "pipelines_pipeline_disable": (EDITOR, EDITOR),
    "pipelines_pipeline_reset": (ADMINISTRATOR, ADMINISTRATOR),
    "pipelines_reconciliation_cancel": (OPERATOR, OPERATOR),
    "pipelines_reconciliation_repair": (OPERATOR, OPERATOR),
    "pipelines_connection_changelist": (VIEWER, VIEWER),
    "pipelines_connection_add": (ADMINISTRATOR, ADMINISTRATOR),
    "pipelines_connection_change": (VIEWER, ADMINISTRATOR),
    "pipelines_connection_history": (VIEWER, VIEWER),
    "pipelines_connection_delete": (ADMINISTRATOR, ADMINISTRATOR),
    "pipelines_connection_test": (EDITOR, EDITOR),
    "auth_user_changelist": (ADMINISTRATOR, ADMINISTRATOR),
    "auth_user_add": (ADMINISTRATOR, ADMINISTRATOR),
    "auth_user_change": (ADMINISTRATOR, ADMINISTRATOR),
    "auth_user_history": (ADMINISTRATOR, ADMINISTRATOR),
    "auth_user_delete": (ADMINISTRATOR, ADMINISTRATOR),
    "auth_user_password_change": (ADMINISTRATOR, ADMINISTRATOR),
    "auth_group_changelist": (ADMINISTRATOR, ADMINISTRATOR),
    "auth_group_add": (SUPERUSER, SUPERUSER),
    "auth_group_change": (ADMINISTRATOR, SUPERUSER),
    "auth_group_history": (ADMINISTRATOR, ADMINISTRATOR),
    "auth_group_delete": (SUPERUSER, SUPERUSER),
    # Of the own tokens, see below; the row here is another person's, which is not found.
    "knox_authtoken_changelist": (STAFF, STAFF),
    "knox_authtoken_add": (STAFF, STAFF),
    "knox_authtoken_change": (ADMINISTRATOR, NOBODY),
    "knox_authtoken_history": (ADMINISTRATOR, ADMINISTRATOR),
    "knox_authtoken_delete": (ADMINISTRATOR, ADMINISTRATOR),
    "axes_accessattempt_unlock": (ADMINISTRATOR, ADMINISTRATOR),
}
#: What is only looked at: the list, a row, its history.
READ_ONLY = {
    "pipelines_pipelinerun": VIEWER,
    "pipelines_reconciliation": VIEWER,
    "pipelines_worker": VIEWER,
    "pipelines_auditrecord": ADMINISTRATOR,
    "axes_accessattempt": ADMINISTRATOR,
}
for _model, _readers in READ_ONLY.items():
    TABLE |= {
        f"{_model}_changelist": (_readers, _readers),
        f"{_model}_history": (_readers, _readers),
        f"{_model}_change": (_readers, NOBODY),
        f"{_model}_add": (NOBODY, NOBODY),
        f"{_model}_delete": (NOBODY, NOBODY),
    }
SAME = Report(level=Level.COUNT, source_count=1, target_count=1, equal=True)
#: These answer in a way of their own: the ways in and out, and two that show nothing.
APART = {"login", "logout", "view_on_site", None}

#: Who may ask for each action on a list.
ACTIONS: dict[type, dict[str, frozenset[str]]] = {
    Pipeline: {
        "run": OPERATOR,
        "pause": OPERATOR,
        "cancel": OPERATOR,
        "reconcile": OPERATOR,
        "enable": EDITOR,
        "disable": EDITOR,
        "delete_selected": ADMINISTRATOR,
    },
    Connection: {"delete_selected": ADMINISTRATOR},
    User: {"delete_selected": ADMINISTRATOR},
    Group: {"delete_selected": SUPERUSER},
    AuthToken: {"delete_selected": STAFF},
    AccessAttempt: {"unlock": ADMINISTRATOR},
    PipelineRun: {},
    Reconciliation: {},
    Worker: {},
    AuditRecord: {},
}
ROWS = {
    Pipeline: lambda: PipelineFactory(incremental=True),
    Connection: ConnectionFactory,
    PipelineRun: RunFactory,
    Reconciliation: lambda: ReconciliationFactory(open=True),
    Worker: WorkerFactory,
    User: UserFactory,
    Group: lambda: Group.objects.get(name="viewer"),
    AuthToken: lambda: AuthToken.objects.create(UserFactory())[0],
    AuditRecord: lambda: AuditRecord.objects.create(action="run", via="admin"),
    AccessAttempt: AttemptFactory,
}


@pytest.fixture(autouse=True)
def _no_servers():
    """The question here is who may ask, not what the servers say."""
    found = Findings(columns=(), target_columns=(), key=(), method=Method.SWAP)
    report = ConnectionReport(ok=True, sentence="Connected.")
    with (
        mock.patch("runner.preflight.inspect", return_value=found),
        mock.patch("runner.preflight.test_connection", return_value=report),
        mock.patch("runner.reconcile.compare", return_value=SAME),
    ):
        yield


@pytest.fixture
def _no_pages():
    """What the pages look like is the question of other tests; drawing them takes most time."""
    with mock.patch.object(SimpleTemplateResponse, "rendered_content", new=""):
        yield


def patterns(found: Any = None) -> Iterator[Any]:
    for pattern in admin.site.get_urls() if found is None else found:
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern.url_patterns)
        else:
            yield pattern


def somebody(who: str) -> Client:
    client = _somebody(who)
    client.handler = HANDLER
    return client


def _somebody(who: str) -> Client:
    if who == "anonymous":
        return Client()
    if who in ("deactivated", "not staff"):
        client = person("administrator")
        column = "is_active" if who == "deactivated" else "is_staff"
        User.objects.filter(pk=client.user.pk).update(**{column: False})
        return client
    if who == "superuser":
        return person(None, is_superuser=True)
    return person(None if who == "no group" else who)


def address(name: str) -> str:
    if name == "app_list":
        return reverse("admin:app_list", args=["knox"])
    if name == "autocomplete":
        query = "app_label=pipelines&model_name=pipeline&field_name=source_connection"
        return f"{reverse('admin:autocomplete')}?{query}"
    app, _, rest = name.partition("_")
    model_name, _, page = rest.partition("_")
    if (
        page
        and page not in ("changelist", "add", "rows", "preview", "validate")
        and app in ("auth", "pipelines", "axes", "knox")
    ):
        row = ROWS[apps.get_model(app, model_name)]()
        more = [changes.newest_first(row).get().pk] if page == "restore" else []
        return reverse(f"admin:{name}", args=[row.pk, *more])
    return reverse(f"admin:{name}")


def outcome(answer: Any) -> str:
    """In, out (to the sign-in page), 403, or 404: not there, as far as this person can see."""
    if answer.status_code == 302:
        if answer.url.startswith(reverse("admin:login")):
            return "out"
        return "404" if answer.url == reverse("admin:index") else "in"
    # 405 comes after the wall: whoever is let in may not GET the way out.
    return {200: "in", 405: "in"}.get(answer.status_code, str(answer.status_code))


def asked(client: Client, method: str, path: str, body: dict[str, Any]) -> str:
    with transaction.atomic():
        answer = client.get(path) if method == "GET" else client.post(path, body)
        transaction.set_rollback(True)
    return outcome(answer)


def test_the_table_names_every_address() -> None:
    found = {pattern.name for pattern in patterns()}

    assert found == TABLE.keys() | APART


@pytest.mark.usefixtures("_no_pages")
@pytest.mark.parametrize("name", TABLE)
def test_each_address_is_for_whom_the_table_says(db, name):
    path = address(name)
    body = {"post": "yes"}
    refusal = "404" if name.startswith("knox_authtoken") else "403"
    expected, found = {}, {}
    for who in (*OUTSIDE, *INSIDE):
        client = somebody(who)
        for method, allowed in zip(("GET", "POST"), TABLE[name], strict=True):
            if who in OUTSIDE:
                expected[who, method] = "out"
            elif who in allowed:
                expected[who, method] = "in"
            else:
                expected[who, method] = refusal
            found[who, method] = asked(client, method, path, body)
    if name == "knox_authtoken_change":
        # There is nothing to change; whether there is such a token is not told.
        expected |= {(who, "POST"): "403" for who in INSIDE}
        found |= {(who, "POST"): "403" for who in INSIDE if found[who, "POST"] == "404"}
    if name.endswith(("_history", "_delete")) and refusal == "404":
        found = {key: "404" if value == "403" else value for key, value in found.items()}

    assert found == expected


def test_the_table_names_every_action(db, rf):
    request = rf.get("/")
    request.user = UserFactory(is_superuser=True)
    found = {
        model: set(pages.get_actions(request)) for model, pages in admin.site._registry.items()
    }

    assert found == {model: set(actions) for model, actions in ACTIONS.items()}


@pytest.mark.usefixtures("_no_pages")
@pytest.mark.parametrize(
    ("model", "action"),
    [(model, action) for model, actions in ACTIONS.items() for action in actions],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_action_is_for_whom_the_table_says(db, model, action):
    row = ROWS[model]()
    path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    body = {"action": action, "_selected_action": [row.pk], "post": "yes"}
    allowed = ACTIONS[model][action]

    found = {who: asked(somebody(who), "POST", path, body) for who in (*OUTSIDE, *INSIDE)}

    assert found == {
        **dict.fromkeys(OUTSIDE, "out"),
        **{who: "in" if who in allowed else "403" for who in INSIDE},
    }


def test_addresses_that_stand_for_nothing_do_not_tell_strangers_so(db):
    strange = [
        "/admin/no/such/page/",
        f"/admin/pipelines/pipeline/{PipelineFactory().pk}/",
        f"/admin/r/{ContentType.objects.get_for_model(User).pk}/1/",
    ]

    assert {outcome(Client().get(path)) for path in strange} == {"out"}


def test_strangers_reach_the_sign_in_page_and_the_health_check_only(db):
    reached = [
        path
        for path in ("/", "/admin/", "/admin/login/", "/api/v1", "/api/v1/health", "/api/v1/docs")
        if Client().get(path).status_code == 200
    ]

    assert reached == ["/admin/login/", "/api/v1/health"]


def test_every_view_asks_who_it_is_or_is_one_of_these():
    """The first wall is each view's own, the second LoginRequiredMiddleware's."""
    open_views = set()
    for pattern in patterns(get_resolver().url_patterns):
        view = getattr(pattern.callback, "cls", None)
        asks = (
            view is not None and view.permission_classes and AllowAny not in view.permission_classes
        )
        if not asks and not getattr(pattern.callback, "login_required", True):
            open_views.add(pattern.name or view.__name__)

    assert open_views == {"login", "set_language", "health", "Health", "Unknown"}


def test_a_view_that_forgets_to_ask_is_behind_the_second_wall(rf):
    request = rf.get("/forgotten/")
    request.user = AnonymousUser()

    answer = SignedIn(lambda _request: None).process_view(request, lambda _request: None, (), {})

    assert outcome(answer) == "out"


def test_whoever_is_outside_may_choose_a_language(db):
    answer = Client().post("/i18n/setlang/", {"language": "ru", "next": "/admin/login/"})

    assert answer.url == "/admin/login/"


# Looking.


def everything() -> dict[str, list[Any]]:
    """All rows of all tables, but for the sessions, whose reading is Django's."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in apps.get_models(include_auto_created=True)
        if model is not Session
    }


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_at_the_admin_as_a_superuser_changes_nothing(db, method):
    client = somebody("superuser")
    paths = [address(name) for name in TABLE]
    client.get("/admin/")  # the first request of all notes where the database is
    before = everything()

    for path in paths:
        getattr(client, method)(path)

    assert everything() == before
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_looking_at_the_api_as_a_superuser_changes_nothing(db, method):
    client, pipeline = somebody("superuser"), PipelineFactory()
    token = AuthToken.objects.create(UserFactory())[0]
    one, other = f"pipelines/{pipeline.pk}", "connections/default"
    verbs = [f"{one}/{verb}" for verb in ("run", "pause", "cancel", "reconcile", "status", "runs")]
    client.get("/api/v1/health")
    before = everything()

    for path in (
        "", "pipelines", one, *verbs, f"{one}/state", "preview", "connections", other,
        f"{other}/test", "tokens", f"tokens/{token.token_key}", "schema", "docs", "health",
    ):  # fmt: skip
        getattr(client, method)(f"/api/v1/{path}")

    assert everything() == before
