"""What the servers are asked before a definition is stored, and what only they can refuse."""

import pytest
from django.db import connection as metadata

from pipelines.admin import servers
from pipelines.definition import FIELDS
from pipelines.models import Pipeline
from runner.preflight import Rejected
from tests import cluster
from tests.control.asking import Asker
from tests.control.test_api_errors import shape
from tests.data.loading import Loads
from tests.factories import ConnectionFactory, PipelineFactory, UserFactory

QUERY = "SELECT 1 AS id, now() AS modified"
#: Ways to write the address of this machine that no comparison of texts knows.
DISGUISES = ["127.1", "0.0.0.0", "::ffff:127.0.0.1", "0x7f.1"]


@pytest.fixture
def editor(db, target_url):
    return Asker("editor")


class TestMetadata:
    """Our own tables are nobody's target, by whichever name of their server."""

    @pytest.fixture(params=DISGUISES)
    def ours(self, db, request):
        parameters = metadata.get_connection_params()
        return ConnectionFactory(
            name="disguised",
            host=request.param,
            port=parameters["port"],
            dbname=parameters["dbname"],
            user=cluster.METADATA,
            password=cluster.METADATA,
            target_schemas=["public"],
        )

    def test_the_api_refuses_them(self, editor, ours):
        wanted = {"name": "films", "source_query": QUERY, "target_connection": "disguised"}
        for table in ("public.pipelines_pipeline", "public.films"):
            answer = editor.post("/pipelines", wanted | {"target_table": table})
            body = shape(answer, 400, "invalid")
            assert "holds our own tables" in body["errors"]["target_table"][0]
        assert not Pipeline.objects.exists()

    def test_so_does_the_admin(self, target_url, ours):
        pipeline = PipelineFactory.build(target_table="public.films", target_connection=ours)
        with pytest.raises(Rejected, match="holds our own tables"):
            servers.inspect({name: getattr(pipeline, name) for name in FIELDS}, by=UserFactory())

    def test_and_a_run(self, ours, source, target, source_connection):
        loads = Loads(
            source=source,
            target=target,
            source_connection=source_connection,
            target_connection=ours,
        )
        try:
            run = loads.fail(loads.define(QUERY, target_table="public.films"))
        finally:
            with cluster.superuser(ours.dbname) as superuser:
                superuser.execute("DROP SCHEMA etl CASCADE")
        assert "holds our own tables" in run.error_message


def test_an_old_host_that_cannot_be_one_is_no_500(editor):
    old = ConnectionFactory(name="old", host="db..example.com")
    wanted = {"name": "films", "source_query": QUERY, "target_table": "analytics.films"}
    for side in ("source", "target"):
        answer = editor.post("/pipelines", wanted | {f"{side}_connection": "old"})
        body = shape(answer, 400, f"{side}_unavailable")
        assert "“old”" in body["errors"][f"{side}_connection"][0]
    assert Asker("administrator").post("/connections/old/test").json()["ok"] is False
    pipeline = PipelineFactory(source_connection=old)
    shape(editor.post(f"/pipelines/{pipeline.pk}/reconcile"), 503, "source_unavailable")
