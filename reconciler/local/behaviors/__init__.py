"""The behaviors of local Neon with their sources: one row each, stored as data in TOML files, one file for each topic.

A row is documented by Neon, or assumed. An assumed row takes the strictest reading of the documents, and states why a
wrong assumption is harmless. ``pytest -m live`` verifies each assumed row against the real Neon. A few rows are local:
one Postgres behind the emulator cannot do there what Neon does, and the row states the difference.
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
    """A file of the table is malformed; the message names the file, and the row if there is one."""


class Behavior(BaseModel):
    """One row.

    Attributes:
        id: names the row; kebab-case, unique over all files.
        call: method and route template of Neon's API, or ``any``.
        statement: the behavior of local Neon.
        basis: documented by Neon, assumed, or local: known to differ from Neon.
        source: the document by its name; for an assumed row, the document that is silent or contradicts itself.
        risk_if_wrong: the consequence of a wrong assumption, or of the difference from Neon, and why it is harmless;
            empty for a documented row.
        test: a test that fails when local Neon behaves differently, ``tests/file.py::name``.
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
    def _require_risk_unless_documented(self) -> Self:
        if (self.basis == "documented") == bool(self.risk_if_wrong.strip()):
            raise ValueError("risk_if_wrong is required unless the behavior is documented, and must be empty if it is")
        return self

    @property
    def assumed(self) -> bool:
        """Whether Neon does not document it."""
        return self.basis == "assumed"


@cache
def topics() -> Mapping[str, tuple[Behavior, ...]]:
    """The whole table, by topic in the order of names.

    Raises:
        InvalidBehaviors: a file is malformed.
    """
    folder = resources.files(__name__)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(_SUFFIX))
    return parse((name.removesuffix(_SUFFIX), folder.joinpath(name).read_text(encoding="utf-8")) for name in names)


def behaviors() -> tuple[Behavior, ...]:
    """Every row of the table.

    Raises:
        InvalidBehaviors: a file is malformed.
    """
    return tuple(row for rows in topics().values() for row in rows)


def parse(files: Iterable[tuple[str, str]]) -> dict[str, tuple[Behavior, ...]]:
    """The rows of each (topic, TOML text).

    Raises:
        InvalidBehaviors: a text is no TOML or contains anything but rows, a row is invalid, or two rows have one id.
    """
    read: dict[str, tuple[Behavior, ...]] = {}
    seen: dict[str, str] = {}
    for topic, text in files:
        read[topic] = tuple(_rows(topic, text))
        for row in read[topic]:
            if row.id in seen:
                raise InvalidBehaviors(f"{topic}{_SUFFIX}: {row.id} is already in {seen[row.id]}{_SUFFIX}")
            seen[row.id] = topic
    return read


def _rows(topic: str, text: str) -> Iterable[Behavior]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidBehaviors(f"{topic}{_SUFFIX}: {error}") from None
    rows = content.get("behavior")
    if set(content) != {"behavior"} or not isinstance(rows, list):
        raise InvalidBehaviors(f"{topic}{_SUFFIX}: only [[behavior]] rows are allowed, and at least one is required")
    for number, row in enumerate(rows, 1):
        try:
            yield Behavior.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            named = row.get("id", f"row {number}") if isinstance(row, dict) else f"row {number}"
            field = ".".join(map(str, first["loc"])) or "the row"
            raise InvalidBehaviors(f"{topic}{_SUFFIX}: {named}: {field}: {first['msg']}") from None
