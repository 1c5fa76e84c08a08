"""What local Neon does, and how it is known: one row a behavior, kept as data in TOML files, one a topic.

A row is documented by Neon, or assumed. What is assumed is the strictest reading, and says why being wrong about it
cannot hurt. ``pytest -m live`` asks the real Neon about each assumed row. A few rows are local: there one Postgres
behind the model cannot be what Neon is, and they say what it is instead.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_SUFFIX = ".toml"


class InvalidBehaviors(ValueError):
    """A file of the table is not in its form; the message names the file, and the row where there is one."""


class Behavior(BaseModel):
    """One row.

    Attributes:
        id: names the row; kebab-case, unique over all files.
        call: method and route template of Neon's API, or ``any``.
        says: what local Neon does.
        basis: whether Neon documents it, it is assumed, or it is local: known to be other than Neon.
        source: the document by its name; for what is assumed, the one that is silent or contradicts itself.
        why: why being wrong about it, or being other than Neon, cannot hurt; of rows that are not documented.
        test: a test that fails when local Neon does otherwise, ``tests/file.py::name``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)
    call: str = Field(pattern=r"^(any|(GET|POST|PUT|PATCH|DELETE) /\S*)$")
    statement: _Text
    basis: Literal["documented", "assumed", "local"]
    source: _Text
    risk_if_wrong: str = ""
    test: str = Field(pattern=r"^tests/[\w/]+\.py(::\w+){1,2}$")

    @model_validator(mode="after")
    def _only_what_is_assumed_says_why(self) -> Self:
        if (self.basis == "documented") == bool(self.risk_if_wrong.strip()):
            raise ValueError("a behavior that is not documented says why it cannot hurt, a documented one does not")
        return self

    @property
    def assumed(self) -> bool:
        """Whether Neon's documents do not say it."""
        return self.basis == "assumed"


@cache
def topics() -> Mapping[str, tuple[Behavior, ...]]:
    """The whole table, by topic in the order of names.

    Raises:
        InvalidBehaviours: a file is not in its form.
    """
    folder = resources.files(__name__)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(_SUFFIX))
    return parse((name.removesuffix(_SUFFIX), folder.joinpath(name).read_text(encoding="utf-8")) for name in names)


def behaviors() -> tuple[Behavior, ...]:
    """Every row of the table.

    Raises:
        InvalidBehaviours: a file is not in its form.
    """
    return tuple(row for rows in topics().values() for row in rows)


def parse(files: Iterable[tuple[str, str]]) -> dict[str, tuple[Behavior, ...]]:
    """The rows of each (topic, TOML text).

    Raises:
        InvalidBehaviours: a text is no TOML, holds anything but rows, a row is wrong, or two have the same id.
    """
    read: dict[str, tuple[Behavior, ...]] = {}
    seen: dict[str, str] = {}
    for topic, text in files:
        read[topic] = tuple(_rows(topic, text))
        for row in read[topic]:
            if row.id in seen:
                raise InvalidBehaviors(f"{topic}{_SUFFIX}: {row.id} is in {seen[row.id]}{_SUFFIX} already")
            seen[row.id] = topic
    return read


def _rows(topic: str, text: str) -> Iterable[Behavior]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidBehaviors(f"{topic}{_SUFFIX}: {error}") from None
    rows = content.get("behavior")
    if set(content) != {"behavior"} or not isinstance(rows, list):
        raise InvalidBehaviors(f"{topic}{_SUFFIX}: only [[behavior]] rows may be in it, and at least one")
    for number, row in enumerate(rows, 1):
        try:
            yield Behavior.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            named = row.get("id", f"row {number}") if isinstance(row, dict) else f"row {number}"
            place = ".".join(map(str, first["loc"])) or "the row"
            raise InvalidBehaviors(f"{topic}{_SUFFIX}: {named}: {place}: {first['msg']}") from None
