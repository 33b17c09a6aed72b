"""Who may do what in the admin: every group and address against a list of its own."""

from unittest import mock

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.test import Client
from knox.models import AuthToken

from pipelines.admin.connection import ConnectionAdmin
from pipelines.admin.pipeline import PipelineAdmin
from pipelines.models import AuditRecord, Connection, Pipeline, PipelineRun, Reconciliation, Worker
from runner.comparing.values import Level, Report
from runner.plan import Method
from runner.preflight import ConnectionReport, Findings
from tests.factories import (
    AttemptFactory,
    ConnectionFactory,
    PipelineFactory,
    ReconciliationFactory,
    RunFactory,
    UserFactory,
    WorkerFactory,
)
from tests.whole.admin_pages import (
    GROUPS,
    listing,
    new_connection,
    new_pipeline,
    page,
    person,
    posted,
    said,
    standing,
)

VIEWER = {"viewer", "operator", "editor", "administrator"}
OPERATOR = VIEWER - {"viewer"}
EDITOR = OPERATOR - {"operator"}
ADMINISTRATOR = {"administrator"}
NOBODY: set[str] = set()
SAME = Report(level=Level.COUNT, source_count=1, target_count=1, equal=True)


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


#: Pages that are looked at: model, page (None: the list), who may.
LOOKED_AT = [
    (Pipeline, None, VIEWER),
    (Pipeline, "add", EDITOR),
    (Pipeline, "change", VIEWER),
    (Pipeline, "history", VIEWER),
    (Pipeline, "delete", ADMINISTRATOR),
    (Pipeline, "reset", ADMINISTRATOR),
    (Connection, None, VIEWER),
    (Connection, "add", ADMINISTRATOR),
    (Connection, "change", VIEWER),
    (Connection, "history", VIEWER),
    (Connection, "delete", ADMINISTRATOR),
    (PipelineRun, None, VIEWER),
    (Pipeline, "reconcile", OPERATOR),
    (Reconciliation, None, VIEWER),
    (Reconciliation, "change", VIEWER),
    (PipelineRun, "add", NOBODY),
    (PipelineRun, "change", VIEWER),
    (PipelineRun, "delete", NOBODY),
    (Worker, None, VIEWER),
    (Worker, "add", NOBODY),
    (Worker, "change", VIEWER),
    (Worker, "delete", NOBODY),
    (User, None, ADMINISTRATOR),
    (User, "add", ADMINISTRATOR),
    (User, "change", ADMINISTRATOR),
    (User, "delete", ADMINISTRATOR),
    (Group, None, ADMINISTRATOR),
    (Group, "add", NOBODY),
    (Group, "change", ADMINISTRATOR),
    (Group, "delete", NOBODY),
    (AuthToken, None, VIEWER),
    (AuthToken, "add", VIEWER),
    (AuditRecord, None, ADMINISTRATOR),
    (AuditRecord, "add", NOBODY),
    (AuditRecord, "change", ADMINISTRATOR),
    (AuditRecord, "delete", NOBODY),
    (AccessAttempt, None, ADMINISTRATOR),
    (AccessAttempt, "add", NOBODY),
    (AccessAttempt, "change", ADMINISTRATOR),
    (AccessAttempt, "delete", NOBODY),
]

MAKE = {
    Pipeline: lambda: PipelineFactory(incremental=True),
    Connection: lambda: ConnectionFactory(name="shop"),
    PipelineRun: RunFactory,
    Reconciliation: ReconciliationFactory,
    Worker: WorkerFactory,
    User: UserFactory,
    Group: lambda: Group.objects.get(name="viewer"),
    AuthToken: lambda: AuthToken.objects.create(UserFactory())[0],
    AuditRecord: lambda: AuditRecord.objects.create(action="run", via="admin"),
    AccessAttempt: AttemptFactory,
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    "looked_at", LOOKED_AT, ids=lambda row: f"{row[0].__name__}-{row[1] or 'list'}"
)
def test_each_group_sees_the_pages_that_are_its_own(db, group, looked_at):
    model, name, allowed = looked_at
    row = MAKE[model]()
    path = listing(model, name or "changelist") if name in (None, "add") else page(row, name)

    answer = person(group).get(path)

    assert answer.status_code == (200 if group in allowed else 403)


#: What is asked of a pipeline: verb, a status in which it is possible, the status after it, who.
VERBS = [
    ("run", "IDLE", "RUN_REQUESTED", OPERATOR),
    ("pause", "RUNNING", "PAUSE_REQUESTED", OPERATOR),
    ("cancel", "RUN_REQUESTED", "IDLE", OPERATOR),
    ("enable", "IDLE", "IDLE", EDITOR),
    ("disable", "RUN_REQUESTED", "IDLE", EDITOR),
    ("reconcile", "IDLE", "IDLE", OPERATOR),
    ("reset", "PAUSED", "PAUSED", ADMINISTRATOR),
]
#: Not asked of many: with a question that each has to answer.
SINGLE = ("reset",)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("asked", VERBS, ids=lambda row: row[0])
def test_each_group_may_ask_the_verbs_that_are_its_own(db, group, asked):
    verb, before, after, allowed = asked
    pipeline = standing(before, enabled=verb != "enable")

    answer = person(group).post(page(pipeline, verb))

    pipeline.refresh_from_db()
    assert answer.status_code == (302 if group in allowed else 403)
    assert pipeline.status == (after if group in allowed else before)
    assert pipeline.enabled == (
        {"enable": group in allowed, "disable": group not in allowed}.get(verb, True)
    )
    assert pipeline.checkpoint_epoch == (1 if verb == "reset" and group in allowed else 0)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    "asked", [row for row in VERBS if row[0] not in SINGLE], ids=lambda row: row[0]
)
def test_each_group_may_ask_many_pipelines_the_verbs_that_are_its_own(db, group, asked):
    verb, before, after, allowed = asked
    rows = [standing(before, enabled=verb != "enable") for _ in range(2)]

    answer = person(group).post(
        listing(Pipeline), {"action": verb, "_selected_action": [row.pk for row in rows]}
    )

    assert answer.status_code == (302 if group in allowed else 403)
    statuses = set(Pipeline.objects.values_list("status", flat=True))
    assert statuses == {after if group in allowed else before}


@pytest.mark.parametrize("group", GROUPS)
def test_only_editors_may_test_a_connection(db, group):
    connection = ConnectionFactory()

    answer = person(group).post(page(connection, "test"), follow=True)

    assert answer.status_code == (200 if group in EDITOR else 403)
    if group in EDITOR:
        assert said(answer) == ["Connected."]


@pytest.mark.parametrize("group", GROUPS)
def test_only_editors_store_pipelines(db, group):
    client, pipeline = person(group), PipelineFactory()
    changed = posted(person("editor"), pipeline, batch_size="7")

    answers = [
        client.post(listing(Pipeline, "add"), new_pipeline(name="brand_new")),
        client.post(page(pipeline), changed),
    ]

    pipeline.refresh_from_db()
    is_allowed = group in EDITOR
    assert {answer.status_code for answer in answers} == {302 if is_allowed else 403}
    assert Pipeline.objects.filter(name="brand_new").exists() == is_allowed
    assert pipeline.batch_size == (7 if is_allowed else 5000)


@pytest.mark.parametrize("group", GROUPS)
def test_only_administrators_store_connections(db, group):
    client, connection = person(group), ConnectionFactory(name="old")
    changed = posted(person(), connection, port="6432")

    answers = [
        client.post(listing(Connection, "add"), new_connection(name="brand-new")),
        client.post(page(connection), changed),
    ]

    connection.refresh_from_db()
    is_allowed = group in ADMINISTRATOR
    assert {answer.status_code for answer in answers} == {302 if is_allowed else 403}
    assert Connection.objects.filter(name="brand-new").exists() == is_allowed
    assert connection.port == (6432 if is_allowed else 5432)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("model", [Pipeline, Connection])
def test_only_administrators_delete(db, group, model):
    client, one = person(group), MAKE[model]()
    many = PipelineFactory() if model is Pipeline else ConnectionFactory(name="another")

    answers = [
        client.post(page(one, "delete"), {"post": "yes"}),
        client.post(
            listing(model),
            {"action": "delete_selected", "_selected_action": many.pk, "post": "yes"},
        ),
    ]

    is_allowed = group in ADMINISTRATOR
    assert {answer.status_code for answer in answers} == {302 if is_allowed else 403}
    assert model.objects.filter(pk__in=[one.pk, many.pk]).count() == (0 if is_allowed else 2)


def test_the_lists_above_have_every_verb_of_the_admin():
    verbs = {verb.name for admin in (PipelineAdmin, ConnectionAdmin) for verb in admin.verbs}

    assert verbs == {row[0] for row in VERBS} | {"test"}


@pytest.mark.parametrize(
    ("group", "shown"),
    [
        ("viewer", set()),
        ("operator", {"run", "reconcile"}),
        ("editor", {"run", "reconcile", "disable"}),
        ("administrator", {"run", "reconcile", "disable", "reset"}),
    ],
)
def test_a_page_has_the_buttons_that_its_reader_may_press(db, group, shown):
    pipeline = PipelineFactory(incremental=True)
    client = person(group)
    with mock.patch("pipelines.admin.pipeline_page._checkpoint", return_value={"value": "1"}):
        html = client.get(page(pipeline)).content.decode()

    offered = {row[0] for row in VERBS if f"/{row[0]}/" in html}

    assert offered == shown


@pytest.mark.parametrize(
    ("group", "shown"),
    [
        ("viewer", set()),
        ("operator", {"run", "pause", "cancel", "reconcile"}),
        ("editor", {"run", "pause", "cancel", "reconcile", "enable", "disable"}),
        (
            "administrator",
            {"run", "pause", "cancel", "reconcile", "enable", "disable", "delete_selected"},
        ),
    ],
)
def test_a_list_has_the_actions_that_its_reader_may_ask_for(db, group, shown):
    PipelineFactory()

    answer = person(group).get(listing(Pipeline))

    form = answer.context["action_form"]
    offered = {name for name, _label in form.fields["action"].choices} - {""} if form else set()
    assert offered == shown
    assert (b"formaction" in answer.content) == bool(shown)


def test_a_viewer_sees_no_save_no_delete_and_no_add(db):
    pipeline = PipelineFactory()
    client = person("viewer")

    html = (
        client.get(page(pipeline)).content.decode() + client.get(listing(Pipeline)).content.decode()
    )

    assert 'name="_save"' not in html
    assert page(pipeline, "delete") not in html
    assert listing(Pipeline, "add") not in html


def test_strangers_are_sent_to_the_login_page(db):
    pipeline = PipelineFactory()

    for path in (listing(Pipeline), page(pipeline), page(pipeline, "run")):
        answer = Client().post(path)
        assert answer.status_code == 302
        assert answer.url.startswith("/admin/login/")
    pipeline.refresh_from_db()
    assert pipeline.status == "IDLE"


def test_who_may_not_enter_the_admin_cannot_press_its_buttons(db):
    pipeline = PipelineFactory()

    answer = person("administrator", is_staff=False).post(page(pipeline, "run"))

    pipeline.refresh_from_db()
    assert answer.url.startswith("/admin/login/")
    assert pipeline.status == "IDLE"


@pytest.mark.parametrize("verb", [row[0] for row in VERBS])
def test_opening_the_address_of_a_verb_changes_nothing(db, verb):
    pipeline = standing("RUN_REQUESTED")

    answer = person().get(page(pipeline, verb))

    unchanged = Pipeline.objects.get(pk=pipeline.pk)
    assert answer.status_code in (200, 302)
    assert (unchanged.status, unchanged.enabled, unchanged.checkpoint_epoch) == (
        "RUN_REQUESTED",
        True,
        0,
    )


@pytest.mark.parametrize("verb", [row[0] for row in VERBS])
def test_a_post_without_the_csrf_token_is_refused(db, verb):
    pipeline = PipelineFactory()
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory(groups=["administrator"]))

    assert client.post(page(pipeline, verb)).status_code == 403


def test_a_user_without_a_group_is_told_what_to_do(db):
    answer = person(None).get("/admin/")

    assert b"Ask an administrator to put you into a group" in answer.content
    assert person(None).get(listing(Pipeline)).status_code == 403


def test_who_may_not_is_told_so_in_a_sentence(db):
    answer = person("viewer").get(listing(Pipeline, "add"))

    assert answer.status_code == 403
    assert b"Your account lacks the right to it." in answer.content


def test_a_page_that_is_not_there_leads_back_to_the_overview(db):
    answer = person("viewer").get("/no/such/page")

    assert answer.status_code == 404
    assert b'href="/admin/"' in answer.content
