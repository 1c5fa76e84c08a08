"""The table of behaviors is whole: every row in its form, held by a test, and asked of the real Neon where assumed."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from api.cli.main import main
from reconciler.local.behaviors import (
    Behavior,
    InvalidBehaviors,
    behaviors,
    parse,
    topics,
)
from reconciler.local.behaviors.text import HEADING, render, render_markdown
from tests.live.registry import entries, observed_rows
from tests.live.untried import UNTRIED
from tests.unit.test_shape import ROOT

ROWS = {row.id: row for row in behaviors()}
DECISIVE = (
    "new-project-listed-immediately",
    "old-password-ends-with-the-reset",
    "roles-after-restore",
    "deleted-role-ownership",
)
FILE = """
[[behavior]]
id = "one"
call = "GET /projects"
statement = "It does."
basis = "assumed"
source = "A document"
risk_if_wrong = "It cannot hurt."
test = "tests/unit/test_x.py::test_y"
"""


@cache
def _tests_of(file: str) -> frozenset[str]:
    """The names of a file's tests, those of classes with the class's name before them."""
    found: set[str] = set()
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        for each in inside:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name.startswith("test_"):
                found.add(prefix + each.name)
    return frozenset(found)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_row_names_a_test_that_exists(row: Behavior) -> None:
    """In a file that exists, as a function or as a method of a class."""
    file, _, name = row.test.partition("::")
    assert (ROOT / file).is_file()
    assert name in _tests_of(file)


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.assumed], ids=lambda row: row.id)
def test_every_assumption_is_asked_of_the_real_neon_or_says_why_not(row: Behavior) -> None:
    """By an observation of ``tests/live``, or with its reason in the short list of what cannot be tried."""
    assert (row.id in observed_rows()) != (row.id in UNTRIED)


def test_no_observation_and_no_reason_is_about_a_row_that_does_not_exist() -> None:
    """A row that goes takes them along; only assumed rows need a reason."""
    assert set(observed_rows()) - set(ROWS) == set()
    assert set(UNTRIED) - {row.id for row in ROWS.values() if row.assumed} == set()
    assert all(reason.strip() for reason in UNTRIED.values())


def test_what_decides_the_design_is_asked_first() -> None:
    """The decisive questions are assumed, and observed before every other of their phase."""
    assert set(DECISIVE) <= {row.id for row in ROWS.values() if row.assumed}
    asked = [entry for entry in entries() if entry.observe is not None]
    for phase in {entry.phase for entry in asked}:
        decisive = [entry.name in DECISIVE for entry in asked if entry.phase is phase]
        assert decisive == sorted(decisive, reverse=True)
    assert set(DECISIVE) <= set(observed_rows())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("GET /projects", "projects"), "call"),
        (('"one"', '"One"'), "id"),
        (('"assumed"', '"guessed"'), "basis"),
        (('"assumed"', '"documented"'), "risk_if_wrong is required"),
        (("It cannot hurt.", " "), "risk_if_wrong is required"),
        (("tests/unit/test_x.py::test_y", "test_y"), "test"),
        (("It does.", " "), "statement"),
        (("risk_if_wrong =", "reason ="), "reason"),
        (("[[behavior]]", "[[behaviour]]"), "only [[behavior]] rows"),
        (('id = "one"', ""), "id"),
        (('id = "one"', "id"), "file.toml"),
    ],
)
def test_a_row_out_of_form_is_refused_by_name(change: tuple[str, str], said: str) -> None:
    """The message names the file and what is wrong."""
    with pytest.raises(InvalidBehaviors, match=r"file\.toml") as caught:
        parse([("file", FILE.replace(*change))])
    assert said in str(caught.value)


def test_an_id_is_given_once_over_all_files() -> None:
    """Also where the rows are in different files."""
    assert set(parse([("file", FILE)])) == {"file"}
    with pytest.raises(InvalidBehaviors, match=r"one is already in file\.toml"):
        parse([("file", FILE), ("other", FILE)])


def test_the_table_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """``local-neon --behaviors`` shows every row with what it says, and serves nothing."""
    assert main(["local-neon", "--behaviors"]) == 0
    printed = capsys.readouterr().out
    assert printed == render(topics())
    words = " ".join(printed.split())
    for row in ROWS.values():
        mark = {"documented": " ", "assumed": "?", "local": "*"}[row.basis]
        assert f"\n{mark} {row.id}  [{row.call}]\n" in printed
        for text in (row.statement, row.source, row.risk_if_wrong, row.test):
            assert " ".join(text.split()) in words


def test_readme_of_local_neon_contains_the_generated_table() -> None:
    """After a change of a row: ``python -m reconciler.local.behaviors reconciler/local/README.md``."""
    _, heading, table = (ROOT / "reconciler/local/README.md").read_text(encoding="utf-8").partition(HEADING)
    assert heading + table == HEADING + render_markdown(topics())
