"""How a row becomes one number, and what shows whether two servers make the same one of it."""

from psycopg import sql

from runner.comparing.forms import Hashing

#: A record's hash is a sum over its columns, and a sum of such sums is the same when two rows
#: have exchanged values: so it is hashed once more. A seed that is not 0 tells NULL from what has
#: the seed's own hash (0.0).
HASHES = {
    Hashing.RECORD: sql.SQL(
        "pg_catalog.hashint8extended(0, pg_catalog.hash_record_extended({row}, {seed}))"
    ),
    Hashing.TEXT: sql.SQL('pg_catalog.hashtextextended({row}::text COLLATE "C", 0)'),
    Hashing.MD5: sql.SQL(
        "('x' || pg_catalog.left(pg_catalog.md5(pg_catalog.convert_to({row}::text, 'UTF8')), 16))"
        "::bit(64)::bigint"
    ),
}

#: What servers that hash alike answer alike; in characters that each encoding has.
PROBES = {
    Hashing.RECORD: HASHES[Hashing.RECORD].format(
        seed=sql.SQL("-5"),
        row=sql.SQL(
            "ROW(1::smallint, 2::integer, -5::bigint, 3::oid, true, NULL::text,"
            " 'text'::text COLLATE \"C\", 'text'::bpchar COLLATE \"C\","
            " 0.1::real, 0.1::float8, 'NaN'::float8,"
            " date '2026-01-01', '00000000-0000-0000-0000-000000000001'::uuid,"
            " '08:00:2b:01:02:03'::macaddr, pg_catalog.int8send(4))"
        ),
    ),
    Hashing.TEXT: HASHES[Hashing.TEXT].format(row=sql.SQL("ROW(1, 'text', NULL, 0.1::float8)")),
}
PROBES = {hashing: sql.SQL("SELECT {}").format(probe) for hashing, probe in PROBES.items()}
