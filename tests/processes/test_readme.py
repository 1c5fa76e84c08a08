"""The README's commands, copied and pasted."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import psycopg

from tests.processes.running import ROOT, Stage, free_port, until

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(heading: str) -> list[str]:
    """The shell blocks of one section, in their order, those of its parts too."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    level = heading.split(" ", 1)[0]
    section = text.split(f"\n{heading}\n", 1)[1]
    following = re.search(rf"^#{{1,{len(level)}}} ", section, re.MULTILINE)
    return _BLOCK.findall(section[: following.start() if following else None])


def test_from_an_empty_postgres_to_an_app_and_back(stage: Stage, empty_database_url: str) -> None:
    """A catalog of one's own, the three processes, and every call that the README shows, in its order."""
    (stage.folder / ".venv").mkdir()
    (stage.folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    api_port, neon_port = free_port(), free_port()
    calls = [block for block in _blocks("## The API") if "$URL" in block]
    own = _blocks("### On a Postgres of your own")
    script = "\n".join(["set -euo pipefail", *own, *map(_kept, calls), "touch done", "wait"])
    changes = {
        "postgresql://user:password@host/catalog": empty_database_url,
        "127.0.0.1:8000": f"127.0.0.1:{api_port}",
        "127.0.0.1:8080": f"127.0.0.1:{neon_port}",
        "--port 8080": f"--port {neon_port}",
    }
    for there, here in changes.items():
        assert there in script
        script = script.replace(there, here)
    bare = {name: None for name in stage.environment if name not in ("PATH", "HOME", "LANG")}
    pasted = stage.start_program(["bash", "-c", script], "readme", **bare | {"PORT": str(api_port)})
    try:
        until(lambda: (stage.folder / "done").exists() or not pasted.alive, "the last command was carried out")
        assert (stage.folder / "done").exists(), pasted.err
        answers = [json.loads(line) for line in (stage.folder / "answers").read_text().splitlines()]
    finally:
        pasted.send(signal.SIGTERM)
    created, read, listed, deleted, history = answers
    assert created["app_name"] == read["app_name"] == "My first app"
    assert read["status"] == "ready"
    assert read["morphik_uri"].startswith("morphik://")
    assert [app["app_id"] for app in listed["apps"]] == [read["app_id"]]
    assert deleted["status"] == "deleted"
    assert len(history["events"]) == 2
    with psycopg.connect(empty_database_url) as catalog:
        assert catalog.execute("SELECT status FROM app_metadata").fetchall() == [("deleted",)]


def _kept(call: str) -> str:
    """A call whose answer is kept in a line of its own."""
    return f"{{ {call.rstrip()}; echo; }} >> answers"
