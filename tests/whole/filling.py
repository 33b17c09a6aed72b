"""Two installations side by side in the test database, a small and a large one, made by SQL."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

TABLES = (
    "connection",
    "worker",
    "pipeline",
    "pipelinestate",
    "pipelinerun",
    "runevent",
    "runsample",
    "runline",
)

# Every second pipeline is incremental, every tenth is running, and every eighth fails; runs are
# spread over 90 days, and one in fifty failed.
_FILL = """
INSERT INTO pipelines_connection
    (id, name, host, port, dbname, "user", password_source, password_reference, secret, sslmode,
    target_schemas)
SELECT gen_random_uuid(), 'shop-' || n, 'db' || n || '.example.com', 5432, 'shop', 'reader',
    'stored', '', '', 'require', ARRAY[]::varchar[]
FROM generate_series(1, {pipelines} / 5) n
UNION ALL SELECT gen_random_uuid(), 'default', '', 5432, '', '', 'stored', '', '', 'require',
    ARRAY[]::varchar[];

INSERT INTO pipelines_worker (id, label, pid, started_at, last_seen_at)
SELECT gen_random_uuid(), 'host-' || n, 1000 + n, now() - interval '1 day',
    now() - CASE WHEN n <= 3 THEN interval '1 second' ELSE n * interval '1 hour' END
FROM generate_series(1, {pipelines} / 2) n;

INSERT INTO pipelines_pipeline
    (id, name, description, type, mode, enabled, source_connection_id, target_connection_id,
     source_query, target_table, batch_size, incremental_key, key_columns, publish, allow_empty,
     allow_cascade, null_policy, delete_missing, created_at, updated_at, status, status_changed_at,
     generation, attempt, worker_id, lease_until, next_attempt_at, trigger, checkpoint_epoch)
SELECT gen_random_uuid(), 'pipeline_' || n, 'Everything that the shop sold on day ' || n, 'SQL',
    CASE n % 2 WHEN 0 THEN 'full' ELSE 'incremental' END, true,
    (SELECT id FROM pipelines_connection ORDER BY name LIMIT 1 OFFSET n % ({pipelines} / 5)),
    (SELECT id FROM pipelines_connection WHERE name = 'default'),
    'SELECT id, modified FROM sales', 'analytics.sales_' || n, 5000,
    CASE n % 2 WHEN 0 THEN NULL ELSE 'modified' END, '{{id}}', 'auto', false, false, 'fail', 'off',
    now() - interval '100 days', now(),
    CASE WHEN n % 10 = 1 THEN 'RUNNING' WHEN n % 8 = 2 THEN 'FAILED' ELSE 'IDLE' END, now(), 0, 1,
    CASE WHEN n % 10 = 1
        THEN (SELECT id FROM pipelines_worker ORDER BY pid LIMIT 1 OFFSET n % 3) END,
    CASE WHEN n % 10 = 1 THEN now() + interval '1 day' END, now(), 'api', 0
FROM generate_series(1, {pipelines}) n;

INSERT INTO pipelines_pipelinestate
    (pipeline_id, last_processed_value, last_processed_id, epoch, seq, rows, promise, updated_at)
SELECT id, '2026-01-15T12:30:00Z', '17', 0, 10, 20000, '', now()
FROM pipelines_pipeline WHERE mode = 'incremental';

INSERT INTO pipelines_pipelinerun
    (id, pipeline_id, generation, kind, status, trigger, requested_at, worker_id, attempt,
     started_at, finished_at, progress_at, phase, rows_read, rows_written, batches, resumed,
     publish, promise, error_message, error_class, sqlstate, definition)
SELECT gen_random_uuid(), id, n, 'load', status, trigger, at, worker, 1, at,
    CASE WHEN status <> 'RUNNING' THEN at + seconds * interval '1 second' END, at, 'load',
    seconds * 1000, seconds * 900, seconds, false, 'swap', '',
    CASE status WHEN 'FAILED' THEN 'The source closed the connection: ' || n || ' rows were read.'
    END, '', '', '{{"mode": "full", "source_query": "SELECT id, modified FROM sales"}}'
FROM (
    SELECT p.id, n, (SELECT id FROM pipelines_worker ORDER BY pid LIMIT 1) AS worker,
        1 + hashtext(p.name || n) & 63 AS seconds,
        now() - interval '90 days' * (1 - (n - 0.5) / {each}) - (hashtext(p.name) & 4095)
            * interval '1 second' AS at,
        CASE WHEN p.status = 'RUNNING' AND n = {each} THEN 'RUNNING'
            WHEN p.status = 'FAILED' AND n > {each} - 1 - (hashtext(p.name) & 7) THEN 'FAILED'
            WHEN n = {each} THEN 'SUCCESS'
            WHEN n % 50 = 7 THEN 'FAILED' WHEN n % 97 = 3 THEN 'CANCELLED' ELSE 'SUCCESS'
        END AS status,
        CASE WHEN n % 100 = 1 THEN 'admin' WHEN n % 10 = 1 THEN 'command' ELSE 'api' END AS trigger
    FROM pipelines_pipeline p, generate_series(1, {each}) n
) ran;
UPDATE pipelines_pipeline SET generation = {each};

INSERT INTO pipelines_runevent (pipeline_id, run_id, at, event, to_status, message)
SELECT pipeline_id, id, started_at, 'claim', 'RUNNING', '' FROM pipelines_pipelinerun
UNION ALL SELECT pipeline_id, id, finished_at, 'finish', 'IDLE', ''
FROM pipelines_pipelinerun WHERE finished_at IS NOT NULL;

INSERT INTO pipelines_runsample (run_id, number, at, rows_read, rows_written, batches)
SELECT id, n, started_at + n * interval '1 second', n * 100, n * 90, n
FROM (SELECT * FROM pipelines_pipelinerun ORDER BY started_at DESC LIMIT 1000) r,
    generate_series(1, 20) n;
INSERT INTO pipelines_runline (run_id, number, at, level, text)
SELECT id, n, started_at, 'INFO', 'A batch is committed.'
FROM (SELECT * FROM pipelines_pipelinerun ORDER BY started_at DESC LIMIT 1000) r,
    generate_series(1, 10) n;
"""


@contextmanager
def installation(schema: str, *, pipelines: int, runs: int) -> Iterator[str]:
    """So many pipelines, with so many runs in all, in a schema of their own.

    Who sets `search_path` to `schema, public` sees them instead of what tests make.
    """
    copies = [
        f"CREATE TABLE pipelines_{table} (LIKE public.pipelines_{table} INCLUDING ALL)"
        for table in TABLES
    ]
    # Not in a transaction: only committed rows can be vacuumed.
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
        try:
            cursor.execute(f"SET search_path TO {schema}")
            cursor.execute("; ".join(copies))
            cursor.execute(_FILL.format(pipelines=pipelines, each=runs // pipelines))
            for table in TABLES:
                cursor.execute(f"VACUUM ANALYZE pipelines_{table}")
            cursor.execute("RESET search_path")
            yield schema
        finally:
            cursor.execute("RESET search_path")
            cursor.execute(f"DROP SCHEMA {schema} CASCADE")
