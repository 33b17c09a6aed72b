"""Synthetic films, the same on every machine, loaded as a source; none of them was ever made."""

import datetime as dt
import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString, TypeVar
from uuid import UUID, uuid5

import psycopg

from pipelines.demo import words
from pipelines.demo.loading import Cursor, load_once

COUNT = 20_000
TABLES = ("film_work", "genre", "genre_film_work")

#: `checksum` of the first COUNT films: when it changes, everybody's demo changes.
CHECKSUM = "4970488bdee0718bdb42dd3301f33bfb16c8708c85f7d4932a4192ba9307601f"

_SEED = 1895
_NAMESPACE = UUID("5f0c1c2e-7f5b-4a53-9d5c-8f6e0a4b1895")
_OPENED = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
_OPEN_DAYS = 4 * 365
#: One film in twenty was last touched here, all in one statement: rows that tie on `modified`.
_CORRECTED = dt.datetime(2025, 3, 1, 9, tzinfo=dt.UTC)

_DEFINITION: LiteralString = """
CREATE TABLE IF NOT EXISTS content.film_work (
    id uuid PRIMARY KEY,
    title text NOT NULL,
    description text,
    creation_date date,
    rating numeric(3, 1) CHECK (rating BETWEEN 0 AND 10),
    type text NOT NULL CHECK (type IN ('movie', 'tv_show')),
    created timestamptz NOT NULL DEFAULT now(),
    modified timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS film_work_modified_id ON content.film_work (modified, id);
CREATE TABLE IF NOT EXISTS content.genre (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    description text,
    created timestamptz NOT NULL DEFAULT now(),
    modified timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS content.genre_film_work (
    id uuid PRIMARY KEY,
    film_work_id uuid NOT NULL REFERENCES content.film_work ON DELETE CASCADE,
    genre_id uuid NOT NULL REFERENCES content.genre ON DELETE CASCADE,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (film_work_id, genre_id)
);
CREATE INDEX IF NOT EXISTS genre_film_work_genre_id ON content.genre_film_work (genre_id);
"""

#: The next number from 0 up to but not including 1.
Chance = Callable[[], float]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Film:
    """A row of content.film_work and the names of its genres."""

    id: UUID
    title: str
    description: str | None
    creation_date: dt.date | None
    rating: Decimal | None
    type: str
    created: dt.datetime
    modified: dt.datetime
    genres: tuple[str, ...]

    @property
    def row(self) -> tuple[object, ...]:
        """The values in the order of the table's columns."""
        return (
            *(self.id, self.title, self.description, self.creation_date),
            *(self.rating, self.type, self.created, self.modified),
        )


def load(connection: psycopg.Connection[Any], *, count: int = COUNT) -> dict[str, int]:
    """Create and fill the tables if they are empty; the number of rows of each by full name."""

    def fill(cursor: Cursor) -> None:
        films = list(make_films(count))
        _copy(cursor, "COPY content.film_work FROM STDIN", (film.row for film in films))
        _copy(cursor, "COPY content.genre FROM STDIN", _genre_rows())
        _copy(cursor, "COPY content.genre_film_work FROM STDIN", _link_rows(films))

    return load_once(connection, tables=TABLES, definition=_DEFINITION, fill=fill)


def make_films(count: int) -> Iterator[Film]:
    """The first `count` films; a smaller set is always the beginning of a larger one."""
    # Of all that Random offers, only random() is promised to stay the same in every Python.
    chance = random.Random(_SEED).random  # noqa: S311 - sample data, not secrets
    seen: dict[str, int] = {}
    for number in range(count):
        title = _text(chance, words.TITLES)
        seen[title] = seen.get(title, 0) + 1
        created = _OPENED + _up_to(chance, days=_OPEN_DAYS)
        yield Film(
            id=uuid5(_NAMESPACE, f"film/{number}"),
            title=title if seen[title] == 1 else f"{title} {seen[title]}",
            description=_text(chance, words.DESCRIPTIONS) if chance() < 0.97 else None,
            creation_date=_release(chance) if chance() < 0.98 else None,
            rating=_rating(chance) if chance() < 0.92 else None,
            type="movie" if chance() < 0.8 else "tv_show",
            created=created,
            modified=_modified(chance, created),
            genres=_genres(chance) if chance() < 0.98 else (),
        )


def checksum(films: Iterable[Film]) -> str:
    """SHA-256 over every value of every film, in the order given."""
    digest = hashlib.sha256()
    for film in films:
        digest.update(repr([str(value) for value in (*film.row, *film.genres)]).encode())
    return digest.hexdigest()


def _genre_rows() -> Iterator[tuple[object, ...]]:
    for name, description in words.GENRES:
        yield _genre_id(name), name, description, _OPENED, _OPENED


def _link_rows(films: Iterable[Film]) -> Iterator[tuple[object, ...]]:
    genre_ids = {name: _genre_id(name) for name, _ in words.GENRES}
    for film in films:
        for name in film.genres:
            yield uuid5(film.id, name), film.id, genre_ids[name], film.created


def _genre_id(name: str) -> UUID:
    return uuid5(_NAMESPACE, f"genre/{name}")


def _copy(cursor: Cursor, statement: LiteralString, rows: Iterable[tuple[object, ...]]) -> None:
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _text(chance: Chance, patterns: Sequence[str]) -> str:
    adjective, noun = _pick(chance, words.ADJECTIVES), _pick(chance, words.NOUNS)
    while (other := _pick(chance, words.NOUNS)) == noun:
        pass
    return _pick(chance, patterns).format(
        **{"A": adjective, "a": adjective.lower(), "N": noun, "n": noun.lower()},
        **{"M": other, "m": other.lower()},
        **{"P": _pick(chance, words.PLACES), "W": _pick(chance, words.NAMES)},
    )


def _release(chance: Chance) -> dt.date:
    """A day of the hundred years up to 2024, the later the likelier."""
    year = 1925 + int(100 * max(chance(), chance()))
    return dt.date(year, 1, 1) + dt.timedelta(days=int(365 * chance()))


def _rating(chance: Chance) -> Decimal:
    """2.0 to 9.9, mostly around six."""
    return Decimal(20 + int(80 * (chance() + chance() + chance()) / 3)).scaleb(-1)


def _modified(chance: Chance, created: dt.datetime) -> dt.datetime:
    """Half of the films were never touched again."""
    luck = chance()
    if luck < 0.05:
        return _CORRECTED
    return created + _up_to(chance, days=60) if luck < 0.5 else created


def _genres(chance: Chance) -> tuple[str, ...]:
    """One to three genres, in the order of their names; the first of the list are the likelier."""
    number = 1 + int(3 * chance())
    drawn = {_pick(lambda: min(chance(), chance()), words.GENRES)[0] for _ in range(number)}
    return tuple(sorted(drawn))


def _up_to(chance: Chance, *, days: int) -> dt.timedelta:
    return dt.timedelta(microseconds=int(chance() * days * 86_400_000_000))


def _pick(chance: Chance, choices: Sequence[T]) -> T:
    return choices[int(len(choices) * chance())]
