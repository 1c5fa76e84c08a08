"""The catalog's SQL, kept in ``.sql`` files by concern, every statement with a name.

A file may begin with comments. Then it is a row of blocks: a line ``-- name: snake_case_name``, one comment line saying
what the statement is for, then the statement. The name goes along as a comment, so that the server's own views say
which statement is running.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import LiteralString

_HEAD = re.compile(r"^-- name:(?P<name>.*)$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class InvalidStatements(ValueError):
    """A ``.sql`` file of the catalog is not written in the form that this module reads."""


@cache
def load(name: str) -> Mapping[str, LiteralString]:
    """The statements of ``reconciler/catalog/<name>.sql`` by their names.

    Raises:
        FileNotFoundError: there is no such file in the package.
        InvalidStatements: a name is missing, doubled or badly formed, or a statement has no purpose or no text.
    """
    text = resources.files("reconciler.catalog").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return MappingProxyType(parse(name, text))


def parse(source: str, text: str) -> dict[str, LiteralString]:
    """The statements in ``text``; ``source`` names the file in messages and in the comment sent along.

    Raises:
        InvalidStatements: see ``load``.
    """
    heads = list(_HEAD.finditer(text))
    preamble = text[: heads[0].start() if heads else None].splitlines()
    if not heads or any(line.strip() and not line.startswith("--") for line in preamble):
        raise InvalidStatements(f"{source}.sql: only comments may stand before the first '-- name:' line")
    statements: dict[str, LiteralString] = {}
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        name = head["name"].strip()
        if not _NAME.fullmatch(name):
            raise InvalidStatements(f"{source}.sql: {name!r} is not a snake_case name")
        if name in statements:
            raise InvalidStatements(f"{source}.sql: two statements are named {name}")
        block = text[head.end() : following.start() if following else None].strip()
        purpose, _, body = block.partition("\n")
        statement = body.strip().removesuffix(";").rstrip()
        if not purpose.startswith("-- ") or not statement:
            raise InvalidStatements(f"{source}.sql: {name} needs a comment line saying what it is for, then SQL")
        # The text comes from the package's own files, never from a request: that is what the type promises.
        statements[name] = f"/* {source}.{name} */ {statement}"
    return statements
