"""The built-in types whose values are compared as they are, and how each is hashed and written.

Fixed by PostgreSQL's catalog (pg_type.dat). Not here, so compared as text: interval and inet, where
values that differ can be equal; json and the geometric types, which have no hash.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type of which equal values are hashed and written alike on every server.

    Templates of the value {v}: `hashed` goes into a record's hash, `text` is equal where values
    are, `shown` is what people read. `width` is in bytes, 0 when it varies. `ranged`: the order of
    values is the same on every server. `collated`: text, to be compared byte by byte. `typed`: not
    only the text of something else. `readable`: the text can be read back as a value.
    `seed` is all of the value as a bigint that is not 0, where that is cheap.
    """

    name: str
    hashed: str = "{v}"
    text: str = "({v})::text"
    shown: str = "({v})::text"
    width: int = 0
    ranged: bool = True
    collated: bool = False
    typed: bool = True
    readable: bool = True
    seed: str = ""

    @property
    def between_encodings(self) -> "Kind":
        """The same where servers keep text in different bytes, which give it its order."""
        if self.name == "jsonb":
            return replace(self, hashed=_JSONB_PARTS, text=_JSONB_PARTS, readable=False)
        return replace(self, ranged=False) if self.collated else self


# PostgreSQL's hash of numeric leaves out the sign, and is one for NaN and both infinities.
_TRIMMED = '(pg_catalog.trim_scale({v})::text COLLATE "C")'
# Its hash of jsonb leaves out where an array or object ends. So: the text, in which the order of
# keys is fixed, with 1.50 written as 1.5 wherever it is not inside a string.
_STRING = r'("(?:[^"\\]|\\.)*")'
_JSONB = (
    "(CASE WHEN ({v})::text LIKE '%.%0%' THEN"
    " pg_catalog.regexp_replace(pg_catalog.regexp_replace(({v})::text,"
    rf" '{_STRING}|(\.\d*[1-9])0+(?!\d)', '\1\2', 'g'),"
    rf" '{_STRING}|\.0+(?!\d)', '\1', 'g')"
    ' ELSE ({v})::text END COLLATE "C")'
)
# The order of keys is that of their bytes, so it is another one in another encoding: each part
# with its path, in the order of paths.
_JSONB_PARTS = """((
WITH RECURSIVE part (path, value) AS (
    SELECT ''::text, {v}
    UNION ALL
    SELECT path || step, inner_value FROM part, LATERAL (
        SELECT '.' || pg_catalog.to_json(key)::text, e.value FROM pg_catalog.jsonb_each(
            CASE pg_catalog.jsonb_typeof(part.value) WHEN 'object' THEN part.value END) AS e
        UNION ALL
        SELECT '#' || ordinality, a.value FROM pg_catalog.jsonb_array_elements(
            CASE pg_catalog.jsonb_typeof(part.value) WHEN 'array' THEN part.value END)
            WITH ORDINALITY AS a (value, ordinality)
    ) AS inside (step, inner_value)
)
SELECT pg_catalog.string_agg(path || '=' || CASE pg_catalog.jsonb_typeof(value)
    WHEN 'object' THEN '{{}}' WHEN 'array' THEN '[]'
    WHEN 'number' THEN pg_catalog.trim_scale((value #>> '{{}}')::numeric)::text
    ELSE value::text END, ',' ORDER BY pg_catalog.convert_to(path, 'UTF8')) FROM part
) COLLATE "C")"""
# As PostgreSQL writes it where the time zone is UTC.
_IN_UTC = (
    "CASE WHEN pg_catalog.isfinite({v}) THEN pg_catalog.regexp_replace("
    "(({v}) AT TIME ZONE 'UTC')::text, '( BC)?$', '+00\\1') ELSE ({v})::text END"
)
# 0 for one number that nobody has.
_SEED = "coalesce(pg_catalog.int8xor({v}, -7046029254386353131), 1)"

#: What has no other kind.
PLAIN_TEXT = Kind(name="text", text="{v}", shown="{v}", ranged=False, collated=True, typed=False)
# PostgreSQL's hash of what has 8 bytes is made of 4, so -1 and 4294967295 have the same: the upper
# half beside it tells them apart, faster than bytes; of one in a row it is the seed, faster still.
# That of minus zero is that of zero, and the text has to be.
KINDS = {
    16: Kind(name="boolean", width=1, ranged=False),
    17: Kind(name="bytea"),
    20: Kind(name="bigint", hashed="{v}, ({v}) >> 32", width=8, seed=_SEED),
    21: Kind(name="smallint", width=2),
    23: Kind(name="integer", width=4),
    25: Kind(name="text", collated=True),
    26: Kind(name="oid", width=4),
    700: Kind(name="real", text="({v} + 0::real)::text", width=4),
    701: Kind(name="double precision", text="({v} + 0::float8)::text", width=8),
    # width_bucket reads wrong borders where a value has 6 bytes, and 8 in an array.
    829: Kind(name="macaddr", ranged=False),
    1042: Kind(name="bpchar", collated=True),
    1043: Kind(name="character varying", collated=True),
    1082: Kind(name="date", width=4),
    1083: Kind(name="time", hashed="pg_catalog.time_send({v})", width=8),
    1114: Kind(name="timestamp", hashed="pg_catalog.timestamp_send({v})", width=8),
    1184: Kind(
        name="timestamptz",
        hashed="pg_catalog.timestamptz_send({v})",
        text=_IN_UTC,
        shown=_IN_UTC,
        width=8,
    ),
    1700: Kind(name="numeric", hashed=_TRIMMED, text=_TRIMMED),
    2950: Kind(name="uuid", width=16),
    3802: Kind(name="jsonb", hashed=_JSONB, text=_JSONB, ranged=False),
}
