"""The API asked at random by its own description: what is asked, of what, and what must hold."""

import json
import re
import socket
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from unittest import mock
from uuid import UUID

import psycopg
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.db.models.functions import Now
from hypothesis import core
from hypothesis import strategies as st
from hypothesis.internal.conjecture import engine
from hypothesis.strategies._internal import collections
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.generation.hypothesis import setup
from schemathesis.specs.openapi import checks as openapi

from pipelines import accounts
from pipelines.limits import LIMITS
from pipelines.models import Connection, Pipeline
from tests.control.asking import description
from tests.factories import (
    PASSWORD,
    ConnectionFactory,
    PipelineFactory,
    ReconciliationFactory,
    RunFactory,
    UserFactory,
    WorkerFactory,
)

ROLES = ("stranger", "viewer", "operator", "editor", "administrator")
#: 503 with one of these words is the answer that the description allows: another server's fault.
NOT_OURS = {
    "connection_busy",
    "reconcile_timeout",
    "source_unavailable",
    "target_unavailable",
}
#: What cannot be said in a schema makes many a well-formed request wrong, so 400 is as good as 2xx.
#: Signing in is in the table of rights. Our own check of 5xx tells ours from other servers'.
_NOT_ASKED = [openapi.positive_data_acceptance, openapi.ignored_auth, not_a_server_error]

#: A checkpoint that has been deleted is still there to be asked for, with nothing in it.
_STATE_STAYS = [openapi.use_after_free]

_QUERIES = st.sampled_from(
    [
        "SELECT id, title, modified FROM film",
        "SELECT id, title, modified FROM film WHERE id > 1",
        "SELECT count(*) AS id, now() AS modified FROM film",
        "SELECT id, modified FROM film GROUP BY id, modified",
        "SELECT 1/0 AS id",
        "SELECT pg_sleep(0)::text AS id",
        "SELECT * FROM nothing",
        "SELECT 1 AS id;",
        "",
    ]
)
_CONNECTIONS = st.sampled_from(["source", "target", "default", "nowhere", "spare", "unknown"])
#: Values with which a request means something here, by field.
REAL: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["new", "newer", "idle", "spare", "target", "source"]),
    "source_query": _QUERIES,
    "target_table": st.sampled_from(
        ["analytics.film", "analytics.film_2", 'analytics."a.b"', "public.film", "film"]
    ),
    "source_connection": _CONNECTIONS,
    "target_connection": _CONNECTIONS,
    "mode": st.sampled_from(["full", "incremental"]),
    "type": st.sampled_from(["SQL", "SQL", "PYTHON"]),
    "incremental_key": st.sampled_from([None, "", "modified", "id", "absent"]),
    "key_columns": st.sampled_from([[], ["id"], ["id", "modified"], ["absent"]]),
    "late_margin": st.sampled_from([None, "", "10 minutes", "1 day", "soon"]),
    "delete_missing": st.sampled_from(["off", "soft", "hard"]),
    "delete_column": st.sampled_from([None, "", "modified", "absent"]),
    "level": st.sampled_from(["count", "checksum", "rows", "closer"]),
    "tolerances": st.sampled_from([{}, {"id": 0.1}, {"absent": 1}]),
    "max_rows": st.sampled_from([1, 7, 2**53]),
    "host": st.sampled_from(["127.0.0.1", "localhost", "db.example.com", "::1", "/tmp", "a,b"]),
    "sslmode": st.sampled_from(["disable", "require", "verify-full"]),
    "password_source": st.just("stored"),
    "password_reference": st.sampled_from(["", "ETL_SECRET_X"]),
    "target_schemas": st.sampled_from([[], ["analytics"], ["public", "pg_catalog"]]),
}
#: With these a pipeline can be made and previewed, and a connection be made.
_GOOD = {
    "create_pipeline": {
        "name": "made",
        "type": "SQL",
        "mode": "full",
        "source_connection": "source",
        "target_connection": "target",
        "source_query": "SELECT id, title, modified FROM film",
        "target_table": "analytics.made",
    },
    "preview": {
        "source_connection": "source",
        "target_connection": "target",
        "source_query": "SELECT id, title, modified FROM film",
        "target_table": "analytics.previewed",
    },
    "create_connection": {
        "name": "made",
        "host": "127.0.0.1",
        "dbname": "nothing",
        "user": "nobody",
        "sslmode": "disable",
    },
    "change_pipeline": {"description": "Changed."},
    "change_connection": {"port": 1},
    "reconcile_pipeline": {"level": "rows"},
    "repair_reconciliation": {"max_rows": 7},
    "create_token": {"name": "made"},
}


@dataclass(frozen=True, kw_only=True)
class World:
    """What there is to be asked about; the same ids each time, so that examples can be repeated."""

    pipelines: dict[str, UUID]
    reconciliations: tuple[UUID, ...]
    connections: tuple[str, ...] = ("spare", "source", "target", "nowhere", "default")
    tokens: dict[str, str] = field(default_factory=dict)
    authorizations: dict[str, str] = field(default_factory=dict)


def make_world(source: Connection, session: psycopg.Connection[Any], target: Connection) -> World:
    """A pipeline of each status, their runs, connections that work and that do not, and people."""
    session.execute(
        "CREATE TABLE film (id int PRIMARY KEY, title text, modified timestamptz NOT NULL);"
        "INSERT INTO film SELECT n, 'Film ' || n, now() FROM generate_series(1, 5) n"
    )
    ConnectionFactory(name="spare")
    ConnectionFactory(name="nowhere", host="127.0.0.1", port=1)
    pipelines = _pipelines(source, target)
    world = World(pipelines=pipelines, reconciliations=tuple(_reconciliations(pipelines["IDLE"])))
    for role in ROLES[1:]:
        _person(world, role)
    return world


def _pipelines(source: Connection, target: Connection) -> dict[str, UUID]:
    made = {}
    statuses = ("IDLE", "RUN_REQUESTED", "RUNNING", "PAUSE_REQUESTED", "PAUSED", "FAILED")
    for number, status in enumerate(statuses, 1):
        is_held = status in {"RUNNING", "PAUSE_REQUESTED"}
        held = {"lease_until": Now() + timedelta(hours=1), "worker": WorkerFactory()}
        pipeline = PipelineFactory(
            id=UUID(int=number),
            name=status.lower(),
            status=status,
            incremental=number % 2 == 0,
            source_connection=source,
            target_connection=target,
            source_query="SELECT id, title, modified FROM film",
            **(held if is_held else {}),
        )
        RunFactory(pipeline=pipeline, status="FAILED", error_message="It went wrong.")
        if is_held:
            RunFactory(pipeline=pipeline, status="RUNNING")
        made[status] = pipeline.pk
    PipelineFactory(
        id=UUID(int=7), name="lost", source_connection=Connection.objects.get(name="nowhere")
    )
    return made | {"lost": UUID(int=7)}


def _reconciliations(pipeline: UUID) -> Iterator[UUID]:
    """One where nothing differs, a later one with rows to repair, one that is being made."""
    to_repair = {"status": "WARNING", "missing": 1, "extra": 2, "different": 4}
    for number, columns in enumerate(({}, to_repair, {"open": True}), 11):
        key = UUID(int=number)
        of = Pipeline.objects.get(pk=pipeline)
        yield ReconciliationFactory(id=key, pipeline=of, **columns).pk


def _person(world: World, role: str) -> None:
    """Somebody of the role, who signs in by a password or, every second one, by a token."""
    user = UserFactory(username=role, groups=[role])
    row, token = accounts.make_token(user, name="used", days=1)
    spare, _other = accounts.make_token(user, name="spare", days=1)
    world.tokens[role] = spare.token_key
    basic = b64encode(f"{role}:{PASSWORD}".encode()).decode()
    world.authorizations[role] = f"Token {token}" if ROLES.index(role) % 2 else f"Basic {basic}"
    assert row.token_key != spare.token_key


@cache
def schema() -> Any:
    """Our description, with links between what makes a thing and what can be done with it."""
    return schema_of(json.loads(json.dumps(description())))


def schema_of(raw: dict[str, Any]) -> Any:
    """The same of another description of our operations, which is changed."""
    for source, status, parameter, expression, targets in _LINKS:
        answers = _operation(raw, source)["responses"][status]
        answers.setdefault("links", {}).update(
            {
                target: {"operationId": target, "parameters": {parameter: expression}}
                for target in targets
            }
        )
    config = SchemathesisConfig()
    made = schemathesis.openapi.from_dict(raw, config=config)
    made.config.generation.update(with_security_parameters=False)
    made.app = get_wsgi_application()
    made.hook("flatmap_case")(_with_real_values)
    load_all_checks()
    return made


#: The status in which an operation succeeds, where that is not IDLE.
_LIKELY = {"pause_pipeline": "RUNNING", "cancel_pipeline": "RUN_REQUESTED"}
_OF_A_PIPELINE = (
    "get_pipeline",
    "change_pipeline",
    "delete_pipeline",
    "run_pipeline",
    "pause_pipeline",
    "cancel_pipeline",
    "reconcile_pipeline",
    "get_status",
    "get_state",
    "reset_state",
    "list_runs",
    "list_reconciliations",
)
_OF_A_RECONCILIATION = (
    "get_reconciliation",
    "cancel_reconciliation",
    "repair_reconciliation",
)
_OF_A_CONNECTION = (
    "get_connection",
    "change_connection",
    "delete_connection",
    "test_connection",
)
#: What answers with the id of a thing: status, the parameter, where it is, who takes it.
_LINKS = (
    ("create_pipeline", "201", "pipeline_id", "$response.body#/id", _OF_A_PIPELINE),
    ("list_pipelines", "200", "pipeline_id", "$response.body#/0/id", _OF_A_PIPELINE),
    ("run_pipeline", "202", "pipeline_id", "$response.body#/pipeline_id", _OF_A_PIPELINE),
    ("cancel_pipeline", "202", "pipeline_id", "$response.body#/pipeline_id", _OF_A_PIPELINE),
    ("delete_pipeline", "204", "pipeline_id", "$request.path.pipeline_id", _OF_A_PIPELINE),
    ("reconcile_pipeline", "200", "reconciliation_id", "$response.body#/id", _OF_A_RECONCILIATION),
    ("create_connection", "201", "name", "$response.body#/name", _OF_A_CONNECTION),
    ("list_connections", "200", "name", "$response.body#/0/name", _OF_A_CONNECTION),
    ("create_token", "201", "token_id", "$response.body#/id", ("delete_token",)),
)


def _operation(raw: dict[str, Any], name: str) -> dict[str, Any]:
    for methods in raw["paths"].values():
        for operation in methods.values():
            if operation["operationId"] == name:
                return operation
    raise AssertionError(name)


def _with_real_values(_context: Any, case: Any) -> st.SearchStrategy[Any]:
    """The case, or one whose body has some values in it that mean something here."""
    body = case.body
    if not isinstance(body, dict) or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return st.just(case)
    good = _GOOD.get(case.operation.definition.raw["operationId"], {})
    names = sorted((REAL.keys() & body.keys()) | {"source_query", "name"} & good.keys())

    def put_in(chosen: tuple[int, dict[str, Any]]) -> Any:
        kind, values = chosen
        changed = {0: body, 1: body | values, 2: good | values, 3: dict(good)}[kind]
        case.body = changed
        return case

    values = st.fixed_dictionaries({}, optional={name: REAL[name] for name in names})
    return st.tuples(st.sampled_from([3, 3, 2, 1, 0]), values).map(put_in)


@dataclass(kw_only=True)
class Explorer:
    """Somebody of a role who asks; `answers` counts the statuses by operation."""

    role: str
    world: World
    answers: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def headers(self) -> dict[str, str]:
        """What signs them in."""
        authorization = self.world.authorizations.get(self.role)
        return {"Authorization": authorization} if authorization else {}

    def cases(self, operation: Any) -> st.SearchStrategy[Any]:
        """Requests of the operation, right ones and wrong ones, mostly about what exists."""

        @st.composite
        def build(draw: Callable[[Any], Any]) -> Any:
            mode = draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
            is_unknown = draw(st.integers(0, 4)) == 4
            fixed = None if is_unknown else draw(self._existing(operation))
            if mode is GenerationMode.NEGATIVE and not _can_be_wrong(operation):
                mode = GenerationMode.POSITIVE
            strategy = operation.as_strategy(generation_mode=mode, path_parameters=fixed)
            return draw(strategy)

        return build()

    def _existing(self, operation: Any) -> st.SearchStrategy[dict[str, str] | None]:
        likely = _LIKELY.get(operation.definition.raw["operationId"], "IDLE")
        ids = {status: str(pk) for status, pk in self.world.pipelines.items()}
        known = {
            "pipeline_id": [ids[likely], *ids.values()],
            "reconciliation_id": [str(key) for key in self.world.reconciliations],
            "name": list(self.world.connections),
            "token_id": [self.world.tokens.get(self.role, "0123456789abcde")],
        }
        for parameter, values in known.items():
            if f"{{{parameter}}}" in operation.path:
                return st.sampled_from([{parameter: value} for value in values])
        return st.none()

    def corners(self, operation: Any) -> Iterator[Any]:
        """Requests at the limits of what the description allows, just beyond, and other methods."""
        config = operation.schema.config.generation
        known = {
            "pipeline_id": str(self.world.pipelines["IDLE"]),
            "reconciliation_id": str(self.world.reconciliations[1]),
        }
        for case in operation.schema.iter_coverage_cases(
            operation, generation_modes=list(GenerationMode), generation_config=config
        ):
            for name, existing in known.items():
                if _is_uuid(case.path_parameters.get(name)):
                    case.path_parameters[name] = existing
            yield case

    def call(self, case: Any) -> Any:
        """The answer, counted."""
        answer = case.call(headers=self.headers)
        name = case.operation.definition.raw["operationId"]
        self.answers[name][answer.status_code] += 1
        return answer

    def check(self, case: Any, answer: Any, recorder: Any = None) -> None:
        """Raises what does not hold."""
        case.validate_response(
            answer,
            headers=self.headers,
            additional_checks=[_our_checks],
            excluded_checks=_NOT_ASKED + _STATE_STAYS * case.operation.path.endswith("/state"),
            transport_kwargs={"headers": self.headers},
            recorder=recorder,
        )
        if self.role == "stranger" and not case.operation.path.endswith("/health"):
            assert answer.status_code in {400, 401, 404, 405}, answer.status_code
            is_nowhere = answer.status_code == 404 and answer.json()["code"] == "not_found"
            assert answer.status_code in {400, 401, 405} or is_nowhere

    def ask(self, case: Any) -> None:
        """Ask, compare with the description, and undo what was done."""
        with undone():
            self.check(case, self.call(case))

    def succeeded(self) -> set[str]:
        """The operations that were answered with 2xx."""
        return {
            name for name, found in self.answers.items() if any(200 <= code < 300 for code in found)
        }


def machine_of(explorer: Explorer, *, names: Iterable[str]) -> Any:
    """The state machine that follows the links between the operations of these names as this
    person; what it does is undone."""
    machine = schema().include(operation_id=sorted(names)).as_state_machine()

    class Workflow(machine):  # type: ignore[misc, valid-type]
        def setup(self) -> None:
            self.known = [str(pk) for pk in explorer.world.pipelines.values()]
            self.undone = undone()
            self.undone.__enter__()

        def teardown(self) -> None:
            self.undone.__exit__(None, None, None)

        def before_call(self, case: Any) -> None:
            """Most ids that nobody has told us of become ids of what exists."""
            asked = case.path_parameters.get("pipeline_id")
            if _is_uuid(asked) and asked not in self.known and (number := UUID(asked).int) % 5:
                case.path_parameters["pipeline_id"] = self.known[number % len(self.known)]

        def call(self, case: Any, **_options: Any) -> Any:
            answer = explorer.call(case)
            if answer.status_code == 201 and "enabled" in answer.json():
                self.known.append(answer.json()["id"])
            return answer

        def validate_response(self, response: Any, case: Any, **_options: Any) -> None:
            explorer.check(case, response, self.recorder)

    return Workflow


@contextmanager
def hypothesis_as_it_is() -> Iterator[None]:
    """Undo what schemathesis changes in Hypothesis: its larger buffer, its empty reports."""
    places = [(core, "RepresentationPrinter"), (core, "BUFFER_SIZE")]
    places += [(engine, "BUFFER_SIZE"), (collections, "BUFFER_SIZE")]
    with ExitStack() as stack:
        for place, name in places:
            stack.enter_context(mock.patch.object(place, name, getattr(place, name)))
        stack.enter_context(mock.patch.object(setup, "_is_patched", False, create=True))
        yield


@contextmanager
def one_transaction() -> Iterator[None]:
    """Requests leave the connection open that the test is using, as those of Django's client do."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


@contextmanager
def undone() -> Iterator[None]:
    """What happens in the metadata database meanwhile is forgotten."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _is_uuid(text: Any) -> bool:
    return isinstance(text, str) and bool(re.fullmatch(r"[0-9a-fA-F-]{36}", text))


def _can_be_wrong(operation: Any) -> bool:
    return bool(operation.query or operation.body or operation.path_parameters)


@contextmanager
def without_obstacles(settings: Any) -> Iterator[None]:
    """No limits, no lock-outs, no other machine; `settings` is the fixture."""
    for name in LIMITS.values():
        setattr(settings, name, 0)
    settings.SIGN_IN_FAILURES = 1_000_000
    with no_other_machine(), one_transaction(), hypothesis_as_it_is():
        yield


@contextmanager
def no_other_machine() -> Iterator[None]:
    """Only this machine has addresses, so that no request leads anywhere else, nor waits."""
    resolve = socket.getaddrinfo

    def answer(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in {"127.0.0.1", "localhost", "::1"}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **kwargs)

    with mock.patch("socket.getaddrinfo", answer):
        yield


_LIKE_A_TRACE = re.compile(r"Traceback|File \"|psycopg\.|django\.|site-packages")


def _our_checks(_context: Any, answer: Any, case: Any) -> None:
    """The shape of our errors, the headers that all answers have, and whose fault a 503 is."""
    for name in ("x-content-type-options", "content-security-policy", "permissions-policy"):
        assert name in answer.headers, name
    if answer.status_code < 400 or case.operation.path.endswith("/health"):
        return
    problem = answer.json()
    assert {"detail", "code"} <= problem.keys() <= {"detail", "code", "errors", "status"}, problem
    assert re.fullmatch(r"[a-z_]+", problem["code"]), problem
    assert problem["detail"].strip()
    assert not _LIKE_A_TRACE.search(answer.content.decode()), problem
    assert answer.status_code < 500 or (
        answer.status_code == 503 and problem["code"] in NOT_OURS
    ), problem
    assert answer.status_code != 429, "the limits stand in the way"
    if "errors" in problem:
        assert answer.status_code == 400
        assert all(sentences for sentences in problem["errors"].values())
    if answer.status_code in {401, 405}:
        assert {401: "www-authenticate", 405: "allow"}[answer.status_code] in answer.headers
