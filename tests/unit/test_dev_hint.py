"""``dev`` hints at a local Neon whose catalog was removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.commands.dev import _left_behind


@pytest.mark.parametrize(
    ("folders", "named", "hint"),
    [
        ((), False, False),
        (("catalog", "local-neon"), False, False),
        (("catalog",), False, False),
        (("local-neon",), False, True),
        (("local-neon",), True, False),
    ],
)
def test_left_behind_local_neon_without_catalog_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: tuple[str, ...], named: bool, hint: bool
) -> None:
    for name in ("DATABASE_URL", "NEON_API_URL"):
        monkeypatch.delenv(name, raising=False)
    if named:
        monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/c")
    monkeypatch.chdir(tmp_path)
    for folder in folders:
        (tmp_path / folder).mkdir()
    said = _left_behind(tmp_path)
    assert (str(tmp_path) in said and "make clean" in said) == hint
