"""Secrets that are generated once and stored in files that only their owner can read."""

from __future__ import annotations

import secrets
from pathlib import Path


def secret_in(file: Path) -> str:
    """Return the secret of a file: 32 random bytes, base64url. It is generated when the file is absent.

    The file has mode 0600 from the start, and gets its name only when it is complete.
    """
    if not file.is_file():
        fresh = file.with_name(f"{file.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600, exist_ok=False)
        fresh.write_text(secrets.token_urlsafe(32))
        fresh.rename(file)
    return file.read_text().strip()
