"""Extensions that the owner of a database may create. On Neon every extension is trusted."""

from __future__ import annotations

import shutil
from pathlib import Path

from reconciler.local.postgres.installation import PostgresInstallation

EXTENSION = "vector"


def trusted_extensions(placement: PostgresInstallation) -> Path | None:
    """Return a folder for ``extension_control_path`` with a trusted copy of each extension's description.

    The installed files are not changed, because they may be shared. None when the setting cannot express the path.
    """
    if any(character in str(placement.cluster) for character in ":,\"'\\"):
        return None
    source = placement.install / "share" / "postgresql" / "extension"
    root = placement.cluster / "trusted"
    folder = root / "extension"
    control = source / f"{EXTENSION}.control"
    if not control.is_file():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for script in source.glob(f"{EXTENSION}--*.sql"):
        shutil.copyfile(script, folder / script.name)
    (folder / control.name).write_text(control.read_text() + "trusted = true\n")
    for path in (root, folder, *folder.iterdir()):
        placement.chown(path)
    return root
