"""Where keys are cut into ranges of about as many rows each, going by some of the pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

from runner.comparing.asking import Pair, copied
from runner.comparing.forms import Form
from runner.comparing.sides import Sides
from runner.statements import comparing

#: PostgreSQL goes through borders of varying width one after the other.
_MOST_VARYING = 64
#: So many pages are looked at.
_SAMPLED_PAGES = 500
#: Pages that lie far apart in the order of the keys are far apart by chance: a handful of them
#: between two borders even that out.
_MOST_SAMPLED = 128


def borders_of(sides: Sides, pair: Pair, form: Form, *, pages: int, wanted: int) -> tuple[str, ...]:
    """Values of the target's column, sorted, as texts, that make about `wanted` ranges."""
    percent = min(100.0, 100.0 * _SAMPLED_PAGES / max(pages, 1))
    numbers = _NUMBERS.get(form.type_name)
    most = wanted if form.width else min(wanted, _MOST_VARYING)
    most = min(most, _SAMPLED_PAGES if numbers is None else _MOST_SAMPLED)
    statement = comparing.quantiles(sides.target.rows, form, percent=percent, count=most)
    values = [fields[0] or "" for fields in copied(pair.target, statement)]
    if numbers is not None and len(values) > 1:
        values = numbers.refined(values, parts=max(1, wanted // len(values)))
    return tuple(dict.fromkeys(values))


@dataclass(frozen=True, kw_only=True)
class _Numbers:
    """A type whose values are numbers in their order: between two there are others, which can be
    reckoned."""

    least: int
    most: int
    number: Callable[[str], int] = int
    text: Callable[[int], str] = str

    def refined(self, values: Sequence[str], *, parts: int) -> list[str]:
        """Each range cut into equal parts; and one more at each end, since there are surely rows
        outside of what some pages have."""
        numbers = [self.number(value) for value in values]
        numbers.insert(0, max(self.least, 2 * numbers[0] - numbers[1]))
        numbers.append(min(self.most, 2 * numbers[-1] - numbers[-2]))
        found = [
            low + (high - low) * part // parts
            for low, high in pairwise(numbers)
            for part in range(parts)
        ]
        return [self.text(number) for number in [*found, numbers[-1]]]


_NUMBERS = {
    "bigint": _Numbers(least=-(2**63), most=2**63 - 1),
    "integer": _Numbers(least=-(2**31), most=2**31 - 1),
    "smallint": _Numbers(least=-(2**15), most=2**15 - 1),
    "oid": _Numbers(least=0, most=2**32 - 1),
    "uuid": _Numbers(
        least=0,
        most=2**128 - 1,
        number=lambda text: UUID(text).int,
        text=lambda number: str(UUID(int=number)),
    ),
}
