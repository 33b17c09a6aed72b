"""Which column types hold each value of another exactly; comparing names and keys is elsewhere."""

from dataclasses import replace

from runner.plan import FIRST_USER_OID, Column

_SMALLINT, _INT, _BIGINT, _NUMERIC = 21, 23, 20, 1700
_TEXT, _VARCHAR, _VARBIT = 25, 1043, 1562
#: time, timestamp, timestamptz, timetz: the modifier is a number of digits, 6 when there is none.
_WITH_DIGITS = {1083, 1114, 1184, 1266}
_MOST_DIGITS = 6
#: Wider types, without modifier, that hold every value of a narrower one in the same order.
_WIDER = {
    _SMALLINT: {_INT, _BIGINT, _NUMERIC},
    _INT: {_BIGINT, _NUMERIC},
    _BIGINT: {_NUMERIC},
    _VARCHAR: {_TEXT},
    _TEXT: {_VARCHAR},
}


def holds(source: Column, target: Column) -> bool:
    """Whether each value of `source` comes back from `target` as it was.

    A domain holds what its base type holds: its checks refuse a value, they do not change it.
    """
    if target.base_oid:
        base = replace(target, oid=target.base_oid, modifier=target.base_modifier, base_oid=0)
        return holds(source, base)
    if source.oid == target.oid:
        return target.modifier in (-1, source.modifier) or _has_room(source, target)
    if source.oid >= FIRST_USER_OID or target.oid >= FIRST_USER_OID:
        return source.type_name == target.type_name
    return target.oid in _WIDER.get(source.oid, set()) and target.modifier == -1


def _has_room(source: Column, target: Column) -> bool:
    """One type, two modifiers."""
    if source.oid in _WITH_DIGITS:
        digits = _MOST_DIGITS if source.modifier == -1 else source.modifier
        return target.modifier >= digits
    if source.modifier == -1:
        return False
    if source.oid in (_VARCHAR, _VARBIT):
        return target.modifier >= source.modifier
    if source.oid == _NUMERIC:
        (whole, scale), (room, digits) = _digits(source.modifier), _digits(target.modifier)
        return room >= whole and digits >= scale
    return False


def _digits(modifier: int) -> tuple[int, int]:
    """Digits before and after the point of a numeric(p, s): see numeric.c, make_numeric_typmod."""
    precision = ((modifier - 4) >> 16) & 0xFFFF
    scale = (((modifier - 4) & 0x7FF) ^ 1024) - 1024
    return precision - scale, scale
