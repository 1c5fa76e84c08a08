"""The steps of the ``Dockerfile`` without an engine: its own lines, carried out in a folder instead of an image.

``COPY`` copies, ``RUN`` of the build stage runs in a shell with the folder before every absolute path, and what the
final stage says of the user, the environment and the commands is there to be run. So the file and its proof cannot
drift apart.

There is no network: pip installs from wheels that are packed again from what is installed here, and finds nothing
else. So the environment starts empty, and a dependency that ``pyproject.toml`` does not name is missing in it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.processes.running import ROOT

OURS = "morphik-apps"


@dataclass(frozen=True)
class Instruction:
    """A line of the file: its keyword, and the rest."""

    keyword: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The exec form's words, else the words of the line without options."""
        if self.rest.startswith("["):
            parsed: list[str] = json.loads(self.rest)
            return parsed
        return [word for word in self.rest.split() if not word.startswith("--")]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, from its ``FROM`` on."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(keyword, rest.strip()))
    return found


def last(stage: list[Instruction], keyword: str) -> Instruction:
    """The instruction of this keyword that counts."""
    return [one for one in stage if one.keyword == keyword][-1]


def variables(stage: list[Instruction]) -> dict[str, str]:
    """What ``ENV`` sets, with references to ``PATH`` left in place."""
    return dict(word.split("=", 1) for one in stage if one.keyword == "ENV" for word in one.words)


@dataclass
class Image:
    """A folder that stands for the image's root.

    Attributes:
        folder: the root; everybody may read it.
        python: the folder of a Python that everybody may run, with nothing but pip beside it.
        environment: what every command of the image gets.
    """

    folder: Path
    python: Path = field(init=False)
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        base, libraries = _readable_python(self.folder / "python")
        self.environment = {"LANG": "C.UTF-8", **libraries}
        base_environment = self.folder / "base"
        subprocess.run([base, "-m", "venv", "--without-pip", base_environment], check=True, env=self.environment)
        self.python = base_environment / "bin"
        with zipfile.ZipFile(_packed(distribution("pip"), self.folder)) as pip:
            pip.extractall(next(base_environment.glob("lib/*/site-packages")))

    def build(self) -> None:
        """Carry out the build stage."""
        wheels = self.folder / "wheels"
        wheels.mkdir()
        for needed in _needed():
            _packed(needed, wheels)
        here, environment = self.folder, self.environment | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
        for one in stages()[0]:
            match one.keyword:
                case "ENV":
                    environment |= dict(word.split("=", 1) for word in one.words)
                case "WORKDIR":
                    here = self._inside(one.rest)
                    here.mkdir(parents=True)
                case "COPY":
                    *sources, target = one.words
                    for source in sources:
                        _copy(ROOT / source, here / target / ("" if (ROOT / source).is_dir() else source))
                case "RUN":
                    command = re.sub(r"(?<=[\s=])/(?=opt/)", f"{self.folder}/", one.rest)
                    ran = subprocess.run(
                        ["/bin/sh", "-c", command],
                        check=False,
                        cwd=here,
                        env=environment | {"PATH": f"{self.python}:/usr/bin:/bin"},
                        capture_output=True,
                        text=True,
                    )
                    assert ran.returncode == 0, f"{one.rest}\n{ran.stdout}{ran.stderr}"

    def ready(self) -> dict[str, str]:
        """Take away what the final stage does not copy; the environment of its commands."""
        final = stages()[1]
        copied = {word for one in final if one.keyword == "COPY" for word in one.words}
        shutil.rmtree(self.folder / "build")
        shutil.rmtree(self.folder / "wheels")
        assert copied == {"/opt/morphik-apps"}
        said = variables(final)
        said["PATH"] = said["PATH"].replace("$PATH", "/usr/bin:/bin").replace("/opt/", f"{self.folder}/opt/")
        return self.environment | said

    def _inside(self, path: str) -> Path:
        return self.folder / path.lstrip("/")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _needed() -> list[Distribution]:
    """What the product needs, whatever that needs, and what builds its wheel."""
    found: dict[str, Distribution] = {}

    def add(requirement: Requirement) -> None:
        one = distribution(requirement.name)
        known = requirement.name.lower() in found
        found[requirement.name.lower()] = one
        if known and not requirement.extras:
            return
        for text in one.requires or ():
            below = Requirement(text)
            if below.marker is None or any(below.marker.evaluate({"extra": e}) for e in ("", *requirement.extras)):
                add(below)

    add(Requirement(OURS))
    del found[OURS]
    add(Requirement("setuptools"))
    return list(found.values())


def _packed(one: Distribution, folder: Path) -> Path:
    """The wheel that an installed distribution came from, made again in a folder."""
    wheel = (one.read_text("WHEEL") or "").splitlines()
    tags = [line.removeprefix("Tag: ").split("-") for line in wheel if line.startswith("Tag: ")]
    tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    made = folder / f"{one.name.replace('-', '_')}-{one.version}-{tag}.whl"
    with zipfile.ZipFile(made, "w") as packed:
        for name, file in _files(one):
            packed.write(file, name)
    return made


def _files(one: Distribution) -> Iterator[tuple[str, Path]]:
    """What a distribution brought along: not what was compiled or written at its installation."""
    written = {"INSTALLER", "REQUESTED", "direct_url.json"}
    for file in one.files or ():
        if ".." not in file.parts and file.suffix != ".pyc" and file.name not in written:
            yield str(file), Path(str(one.locate_file(file)))


def _readable_python(place: Path) -> tuple[Path, dict[str, str]]:
    """A Python that every user may run, and what it needs in its environment: this one, or a copy of it."""
    here = Path(sys.base_prefix)
    interpreter = here / "bin" / f"python3.{sys.version_info.minor}"
    if all(folder.stat().st_mode & 0o001 for folder in (here, *here.parents)):
        return interpreter, {}
    library = Path(sysconfig.get_path("stdlib", vars={"base": str(here), "installed_base": str(here)}))
    unneeded = shutil.ignore_patterns("site-packages", "__pycache__", "test", "tests", "idlelib", "config-*")
    shutil.copytree(library, place / "lib" / library.name, ignore=unneeded)
    (place / "bin").mkdir()
    shutil.copy(interpreter, place / "bin")
    for file in (here / "lib").glob("libpython*.so*"):
        shutil.copy(file, place / "lib", follow_symlinks=False)
    return place / "bin" / interpreter.name, {"LD_LIBRARY_PATH": str(place / "lib")}


def account() -> tuple[int, int]:
    """The user and group that the final stage's commands run as: those of the file where we are root, else our own."""
    uid, gid = (int(part) for part in last(stages()[1], "USER").rest.split(":"))
    return (uid, gid) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
