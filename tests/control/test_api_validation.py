"""The rules that need no server, as the admin and the API ask them."""

from unittest import mock

import pytest
from django.db import connection as metadata

from pipelines.models import Connection
from pipelines.validation import check_connection, check_definition, warnings_for
from tests.factories import ConnectionFactory, PipelineFactory

pytestmark = pytest.mark.django_db

SOFT = {"delete_missing": "soft", "delete_column": "deleted_at"}
GOOD = {"name": "films", "target_table": "analytics.films", "source_query": "SELECT 1 AS id"}


def test_a_good_definition_has_no_errors():
    assert check_definition(GOOD) == {}


def test_nothing_at_all_lacks_name_table_and_query():
    assert list(check_definition({})) == ["name", "target_table", "source_query"]


@pytest.mark.parametrize(
    "margin",
    [
        None,
        "",
        "10 minutes",
        "10minutes",
        "1 day",
        "1 day 02:00",
        "1 day 2 hours",
        "90 s",
        "1.5 hours",
        "PT10M",
        "P1D",
        "P1DT2H",
        "02:30",
        "02:30:00.5",
        "100",
        "0",
        "12.5",
        "2 WEEKS",
    ],
)
def test_lengths_of_time_and_numbers_are_margins(margin):
    assert check_definition(GOOD | {"late_margin": margin}) == {}


@pytest.mark.parametrize(
    "margin", ["-1 day", "soon", "10 parsecs", "P", "PT", "1e3", "٣", "--", "1,5"]
)
def test_anything_else_is_no_margin(margin):
    assert list(check_definition(GOOD | {"late_margin": margin})) == ["late_margin"]


@pytest.mark.parametrize("table", ['"analytics"."with.dot"', "analytics.ёж", " analytics.films "])
def test_tables_may_be_quoted_and_in_any_language(table):
    assert check_definition(GOOD | {"target_table": table}) == {}


def test_a_connection_of_ones_own_has_its_own_allow_list():
    marts = ConnectionFactory(target_schemas=["marts"])
    assert check_definition(GOOD | {"target_connection": marts, "target_table": "marts.x"}) == {}
    wrong = check_definition(GOOD | {"target_connection": marts})
    assert "marts" in wrong["target_table"][0]


def test_the_state_schema_is_never_a_target_whatever_it_is_called(settings):
    settings.STATE_SCHEMA = "analytics"
    assert "checkpoints" in check_definition(GOOD)["target_table"][0]


class TestMetadata:
    """The database that holds our own tables is no warehouse, whatever leads there."""

    @pytest.fixture
    def ours(self):
        parameters = metadata.get_connection_params()
        return ConnectionFactory(
            host="localhost",
            port=parameters["port"],
            dbname=parameters["dbname"],
            target_schemas=["public", "analytics"],
        )

    def test_its_schema_is_forbidden(self, ours):
        wrong = check_definition(GOOD | {"target_connection": ours, "target_table": "public.x"})
        assert "our own tables" in wrong["target_table"][0]

    def test_other_schemas_of_it_are_not(self, ours):
        assert check_definition(GOOD | {"target_connection": ours}) == {}

    def test_public_of_another_database_is_not(self, ours):
        Connection.objects.filter(pk=ours.pk).update(dbname="another")
        ours.refresh_from_db()
        wrong = check_definition(GOOD | {"target_connection": ours, "target_table": "public.x"})
        assert wrong == {}

    def test_the_warehouse_may_be_the_same_database_too(self, ours, settings):
        settings.TARGET_SCHEMAS = ["public"]
        settings.WAREHOUSE_URL = f"postgresql://u@127.0.0.1:{ours.port}/{ours.dbname}"
        assert "target_table" in check_definition(GOOD | {"target_table": "public.x"})


class TestChanges:
    def test_only_what_changes_is_checked(self):
        pipeline = PipelineFactory(target_table="forbidden.table", source_query="")
        assert check_definition({"enabled": False}, instance=pipeline) == {}
        assert check_definition({"target_table": "forbidden.table"}, instance=pipeline) == {}
        assert list(check_definition({"target_table": "forbidden.x"}, instance=pipeline)) == [
            "target_table"
        ]

    def test_a_change_is_judged_with_what_stays(self):
        pipeline = PipelineFactory(target_table="analytics.films")
        nowhere = ConnectionFactory(target_schemas=[])
        assert list(check_definition({"mode": "incremental"}, instance=pipeline)) == [
            "incremental_key"
        ]
        assert list(check_definition({"target_connection": nowhere}, instance=pipeline)) == [
            "target_table"
        ]

    def test_a_pipeline_keeps_its_own_name(self):
        pipeline = PipelineFactory(name="films")
        assert check_definition({"name": "films"}, instance=pipeline) == {}
        assert list(check_definition(GOOD)) == ["name"]

    def test_a_connection_keeps_its_own_name(self):
        connection = ConnectionFactory(name="shop")
        assert check_connection({"name": "shop", "port": 1}, instance=connection) == {}
        other = ConnectionFactory()
        assert list(check_connection({"name": "shop"}, instance=other)) == ["name"]


def test_others_that_write_to_the_same_table_are_named():
    pipeline = PipelineFactory(name="a", target_table="analytics.films")
    assert warnings_for(pipeline) == []
    PipelineFactory(name="b", target_table="analytics.films")
    PipelineFactory(name="c", target_table="analytics.films", target_connection=ConnectionFactory())
    (sentence,) = warnings_for(pipeline)
    assert "“b”" in sentence
    PipelineFactory(name="d", target_table='analytics."films"')
    assert [sentence.split("“")[1][0] for sentence in warnings_for(pipeline)] == ["b", "d"]


def test_sentences_are_translated_for_who_reads_them():
    with mock.patch("pipelines.validation.definition._", lambda text: f"<{text}>"):
        assert check_definition({})["name"][0].startswith("<")


FOLLOWING = GOOD | {
    "name": "following",
    "mode": "incremental",
    "incremental_key": "modified",
    "key_columns": ["id"],
}


@pytest.mark.parametrize("choice", [{"delete_missing": "hard"}, SOFT])
def test_gone_rows_are_looked_for_only_where_nobody_else_writes(choice):
    other = PipelineFactory(name="other", target_table='"analytics".films')
    sentence = check_definition(FOLLOWING | choice)["delete_missing"][0]
    assert "“other” writes to the table analytics.films too" in sentence
    assert check_definition(FOLLOWING) == {}
    assert check_definition(FOLLOWING | choice | {"target_table": "analytics.others"}) == {}
    elsewhere = ConnectionFactory(target_schemas=["analytics"])
    assert check_definition(FOLLOWING | choice | {"target_connection": elsewhere}) == {}

    mine = PipelineFactory(name="following", target_table="analytics.mine", **_stored(choice))
    assert list(check_definition({"target_table": "analytics.films"}, instance=mine)) == [
        "delete_missing"
    ]
    assert check_definition({"description": "new"}, instance=mine) == {}
    assert list(check_definition({"target_table": "analytics.mine"}, instance=other)) == [
        "target_table"
    ]
    assert list(check_definition(GOOD | {"target_table": "analytics.mine"})) == ["target_table"]


def _stored(choice):
    return {"mode": "incremental", "incremental_key": "modified", "key_columns": ["id"], **choice}
