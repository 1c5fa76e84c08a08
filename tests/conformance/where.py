"""Where Neon's OpenAPI document is. It is Neon's, so no copy of it is in this repository."""

from __future__ import annotations

import os
from pathlib import Path

from tests import npm

NAMED = "NEON_OPENAPI"
_BESIDE = npm.ROOT.parent / "shared" / "neon" / "openapi.json"
_IN_PACKAGE = Path("@neondatabase", "api-client", "public-v2-for-users.gen.yaml")


def document_path(*, install: bool) -> Path:
    """The document that ``NEON_OPENAPI`` names, else the one beside the checkout, else the one in Neon's npm package.

    Args:
        install: whether the package may be installed now.

    Raises:
        NotThere: there is none; the message says why.
    """
    named = os.environ.get(NAMED)
    if named:
        if not Path(named).is_file():
            raise npm.NotThere(f"{NAMED} names no file")
        return Path(named).absolute()
    if _BESIDE.is_file():
        return _BESIDE
    modules = npm.installed() if install else npm.present()
    if modules is None:
        raise npm.NotThere(f"no {NAMED}, and Neon's npm package is not installed yet")
    return modules / _IN_PACKAGE
