"""Names that outlive everything else: app ids, project names, roles, and the annotations that prove a project ours.

``parse_project_name`` is the inverse of ``format_project_name`` in the id, which is all that is ever read back.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from dataclasses import dataclass

APP_ID_LENGTH = 24
APP_ID_PATTERN = r"[a-z2-7]{24}"
SLUG_LENGTH = 40
DATABASE_NAME = "app"
BRANCH_NAME = "main"
FALLBACK_SLUG = "app"

_NAME = re.compile(rf"(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*)-(?P<app_id>{APP_ID_PATTERN})")
_APP_ID = re.compile(APP_ID_PATTERN)
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class ProjectName:
    """A project's name, taken apart."""

    slug: str
    app_id: str


def app_id_from_bytes(entropy: bytes) -> str:
    """An app id of 24 characters from 15 random bytes (120 bits)."""
    if len(entropy) != 15:
        raise ValueError("an app id is made of exactly 15 bytes")
    return base64.b32encode(entropy).decode("ascii").lower()


def is_app_id(text: str) -> bool:
    """Whether ``text`` has the form of an app id."""
    return _APP_ID.fullmatch(text) is not None


def slug(app_name: str) -> str:
    """Lower-case ASCII letters and digits of a name, joined by single hyphens; ``app`` where nothing is left."""
    ascii_name = unicodedata.normalize("NFKD", app_name).encode("ascii", "ignore").decode("ascii").lower()
    cut = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:SLUG_LENGTH].strip("-")
    return cut or FALLBACK_SLUG


def format_project_name(app_name: str, app_id: str) -> str:
    """The project's name, ``<slug>-<app_id>``; at most 65 characters, and Neon allows 256."""
    if not is_app_id(app_id):
        raise ValueError(f"not an app id: {app_id!r}")
    return f"{slug(app_name)}-{app_id}"


def parse_project_name(name: str) -> ProjectName | None:
    """The parts of a name that ``format_project_name`` could have made, else None."""
    found = _NAME.fullmatch(name)
    return ProjectName(found["slug"], found["app_id"]) if found else None


def role_name(app_id: str, incarnation: int, number: int) -> str:
    """The ``number``-th login of an app: ``app_<hash>_<number>``, never text that people chose."""
    digest = hashlib.sha256(f"{app_id}/{incarnation}".encode()).digest()
    return f"app_{base64.b32encode(digest).decode('ascii').lower()[:16]}_{number}"


def is_printable_name(text: str) -> bool:
    """Whether every character can be seen or is a space; joiners count inside a word, as scripts need them."""
    return all(c.isprintable() or (c in _JOINERS and 0 < i < len(text) - 1) for i, c in enumerate(text))
