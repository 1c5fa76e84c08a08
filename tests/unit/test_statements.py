"""The catalog's SQL files are read by name, and badly written ones are refused."""

from __future__ import annotations

from importlib import resources

import pytest

from reconciler.catalog.statements import InvalidStatements, load, parse

GOOD = (
    "-- Two of them.\n\n"
    "-- name: one\n-- What it is for.\nSELECT 1;\n\n-- name: two\n-- Something else.\nSELECT\n    2\n"
)


def test_statements_are_found_by_name_and_carry_it() -> None:
    assert parse("file", GOOD) == {"one": "/* file.one */ SELECT 1", "two": "/* file.two */ SELECT\n    2"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + GOOD.partition("\n\n")[2], "two statements are named one"),
        ("-- name: Bad-Name\n-- x\nSELECT 1", "not a snake_case name"),
        ("-- name:\n-- x\nSELECT 1", "not a snake_case name"),
        ("-- name: one\nSELECT 1", "needs a comment line"),
        ("-- name: one\n-- What for.\n", "needs a comment line"),
        ("SELECT 0;\n-- name: one\n-- What for.\nSELECT 1", "only comments may stand"),
        ("-- Nothing.", "only comments may stand"),
        ("SELECT 0;", "only comments may stand"),
    ],
)
def test_a_file_in_another_form_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidStatements, match=says):
        parse("file", text)


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        load("nothing_of_that_name")


def test_every_file_of_the_package_can_be_read() -> None:
    names = [entry.name for entry in resources.files("reconciler.catalog").iterdir() if entry.name.endswith(".sql")]
    assert names
    assert all(load(name.removesuffix(".sql")) for name in names)
