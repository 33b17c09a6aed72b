"""The lists: what they can be narrowed by, their order, their pages; wrong values are refused."""

import re
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.control.asking import Asker
from tests.control.test_api_errors import shape
from tests.factories import PipelineFactory, RunFactory

EIGHT = ["id", "name", "type", "mode", "enabled", "status", "target_table", "batch_size"]


@pytest.fixture
def viewer(db):
    return Asker("viewer")


@pytest.fixture
def five(db):
    """a to e; b is incremental, c disabled, d failed, e has another table and size."""
    PipelineFactory(name="a", description="Films of the year")
    PipelineFactory(name="b", incremental=True)
    PipelineFactory(name="c", enabled=False)
    PipelineFactory(name="d", status="FAILED", description="50% of films")
    PipelineFactory(name="e", target_table="analytics.films_by_year", batch_size=9)


def names(answer):
    assert answer.status_code == 200, answer.content
    return "".join(row["name"] for row in answer.json())


def links(answer):
    """The query of each page by its relation."""
    found = re.findall(r'<([^>]+)>; rel="(\w+)"', answer.headers.get("Link", ""))
    return {
        rel: {name: value[0] for name, value in parse_qs(urlsplit(address).query).items()}
        for address, rel in found
    }


def test_the_list_is_all_pipelines_by_name_in_the_contracts_fields(viewer, five):
    answer = viewer.get("/pipelines")
    assert names(answer) == "abcde"
    assert all(list(row) == EIGHT for row in answer.json())
    assert answer.headers["X-Total-Count"] == "5"
    assert "Link" not in answer.headers


def test_the_list_of_nothing_is_an_empty_array(viewer):
    answer = viewer.get("/pipelines")
    assert (answer.json(), answer.headers["X-Total-Count"]) == ([], "0")


def test_the_number_of_queries_does_not_grow_with_the_list(viewer, five):
    viewer.get("/pipelines")
    with CaptureQueriesContext(connection) as few:
        viewer.get("/pipelines")
    for _ in range(20):
        PipelineFactory()
    with CaptureQueriesContext(connection) as many:
        viewer.get("/pipelines")
    assert len(few) == len(many)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=IDLE", "abce"),
        ("status=FAILED", "d"),
        ("status=RUNNING", ""),
        ("type=SQL", "abcde"),
        ("type=PYTHON", ""),
        ("mode=incremental", "b"),
        ("mode=full", "acde"),
        ("enabled=true", "abde"),
        ("enabled=false", "c"),
        ("search=films", "ade"),
        ("search=FILMS+year", "ae"),
        ("search=50%25", "d"),
        ("search=", "abcde"),
        ("search=_by_", "e"),
        ("ordering=-name", "edcba"),
        ("ordering=batch_size", "eabcd"),
        ("ordering=-batch_size,-name", "dcbae"),
        ("ordering=status", "dabce"),
        ("mode=full&enabled=true&ordering=-name", "eda"),
        ("limit=2", "ab"),
        ("limit=2&offset=4", "e"),
        ("limit=2&offset=5", ""),
        ("offset=3", "de"),
        ("offset=2147483647", ""),
        ("limit=1000", "abcde"),
    ],
)
def test_parameters_narrow_order_and_page(viewer, five, query, expected):
    assert names(viewer.get(f"/pipelines?{query}")) == expected


@pytest.mark.parametrize(
    "query",
    [
        "status=idle",
        "status=NOPE",
        "status=",
        "status=IDLE&status=FAILED",
        "type=sql",
        "mode=both",
        "enabled=maybe",
        "enabled=True",
        "enabled=1",
        "search=%00",
        "ordering=worker",
        "ordering=secret",
        "ordering=--name",
        "ordering=",
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=ten",
        "limit=1e2",
        "limit=%D9%A3",
        "offset=-1",
        "offset=2147483648",
        "offset=99999999999999999999",
        "format=json",
        "page=2",
        "Status=IDLE",
    ],
)
def test_wrong_values_and_unknown_parameters_are_refused_by_name(viewer, five, query):
    body = shape(viewer.get(f"/pipelines?{query}"), 400, "invalid")
    assert list(body["errors"]) == [query.split("=")[0]]


def test_a_wrong_choice_is_answered_with_the_right_ones(viewer):
    body = viewer.get("/pipelines?status=NOPE").json()
    assert "NOPE" in body["detail"]
    assert "PAUSE_REQUESTED" in body["detail"]


def test_a_page_tells_the_way_to_the_others(viewer, five):
    answer = viewer.get("/pipelines?limit=2&offset=2&mode=full&enabled=true&ordering=-name")
    assert answer.headers["X-Total-Count"] == "3"
    same = {"limit": "2", "mode": "full", "enabled": "true", "ordering": "-name"}
    assert links(answer) == {
        "first": same,
        "prev": same,
        "last": same | {"offset": "2"},
    }
    assert links(viewer.get("/pipelines?limit=2"))["next"] == {"limit": "2", "offset": "2"}


def test_following_next_gives_each_pipeline_once(viewer, five):
    query, seen = {"limit": "2"}, ""
    while query:
        answer = viewer.get("/pipelines?" + "&".join(f"{k}={v}" for k, v in query.items()))
        seen += names(answer)
        query = links(answer).get("next")
    assert seen == "abcde"


def test_runs_are_newest_first_and_fifty_unless_asked_otherwise(viewer):
    pipeline = PipelineFactory()
    for generation in range(1, 56):
        RunFactory(pipeline=pipeline, generation=generation)
    RunFactory()  # of another pipeline
    order = [str(pk) for pk in pipeline.runs.order_by("-generation").values_list("pk", flat=True)]
    path = f"/pipelines/{pipeline.pk}/runs"
    usual = viewer.get(path)
    assert [run["id"] for run in usual.json()] == order[:50]
    assert links(usual)["next"] == {"before": order[49]}
    rest = viewer.get(f"{path}?before={order[49]}")
    assert [run["id"] for run in rest.json()] == order[50:]
    assert "next" not in links(rest)
    assert links(viewer.get(f"{path}?limit=5"))["next"] == {"limit": "5", "before": order[4]}
    assert len(viewer.get(f"{path}?limit=500").json()) == 55


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "limit=",
        "before=1",
        "before=",
        "offset=1",
        "status=PAUSED",
    ],
)
def test_runs_refuse_wrong_values_and_unknown_parameters_by_name(viewer, query):
    path = f"/pipelines/{PipelineFactory().pk}/runs"
    body = shape(viewer.get(f"{path}?{query}"), 400, "invalid")
    assert list(body["errors"]) == [query.split("=")[0]]


def test_runs_before_a_run_of_another_pipeline_are_refused(viewer):
    other = RunFactory()
    path = f"/pipelines/{PipelineFactory().pk}/runs"
    for run in (other.pk, uuid4()):
        shape(viewer.get(f"{path}?before={run}"), 400, "invalid")


def test_runs_of_nothing_are_an_empty_array(viewer):
    assert viewer.get(f"/pipelines/{PipelineFactory().pk}/runs").json() == []
