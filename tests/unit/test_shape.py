"""The shape of the house: small files, one direction, nothing left lying about."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "reconciler", "specs", "migrations", "tests")
LIMIT = 400
TOP_LEVEL = {
    "api", "reconciler", "specs", "migrations", "tests",
    "pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "SECURITY.md", "THREATS.md", "RELIABILITY.md",
    "Dockerfile", "compose.yaml", "docs",
}  # fmt: skip
MADE_BY_TOOLS = {"build", "dist", "node_modules"}


def _files(*suffixes: str) -> list[Path]:
    return sorted(
        file
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.suffix in suffixes and file.is_file()
    )


def test_every_file_is_read_in_one_sitting() -> None:
    """No source file has more than 400 lines."""
    long = {
        str(f.relative_to(ROOT)): n for f in _files(".py", ".sql") if (n := len(f.read_text().splitlines())) > LIMIT
    }
    assert long == {}


def test_the_top_level_is_the_owners_choice() -> None:
    """Nothing lies at the top that DESIGN's layout does not have."""
    seen = {p.name for p in ROOT.iterdir() if not p.name.startswith(".") and not p.name.endswith(".egg-info")}
    assert seen - TOP_LEVEL - MADE_BY_TOOLS == set()


def test_no_text_is_left_open() -> None:
    """Nothing is marked as to be finished later."""
    words = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK", "NotImplemented" + "Error"]))
    marked = [str(f.relative_to(ROOT)) for f in _files(".py", ".sql") if words.search(f.read_text())]
    assert marked == []


def test_sql_and_migrations_travel_with_the_packages() -> None:
    """What the code reads at run time is package data."""
    assert resources.files("migrations").joinpath("catalog", "0001.baseline.sql").is_file()
    for name in ("work_queue", "status_store", "control_plane_store", "apps"):
        assert resources.files("reconciler.catalog").joinpath(f"{name}.sql").is_file()
