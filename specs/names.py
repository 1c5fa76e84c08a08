"""Permanent names: app ids, project names and roles.

``parse_project_name`` returns the id that ``format_project_name`` was called with; no caller needs the full app name.
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

# Characters that are invisible or look like another one: Unicode's controls, formats, separators except the space,
# and private use (Unicode 15, general categories C except Cn, and Z). The list does not depend on Python's version.
_INVISIBLE_CHARACTERS = (
    r"\u0000-\u001f\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200b"
    r"\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\ue000-\uf8ff\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff"
    "\U000f0000-\U0010ffff"
)
_JOINERS = r"\u200c\u200d"
_VISIBLE = (
    rf"^[^{_INVISIBLE_CHARACTERS}{_JOINERS}](?:[^{_INVISIBLE_CHARACTERS}]*[^{_INVISIBLE_CHARACTERS}{_JOINERS}])?$"
)
APP_NAME_PATTERN = r"^[^\x00-\x1F\x7F-\x9F]+$"
"""The pattern of a name in the API's description: the part of ``is_app_name`` that every regex dialect supports."""

_APP_NAME = re.compile(_VISIBLE)
_NAME = re.compile(rf"(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*)-(?P<app_id>{APP_ID_PATTERN})")
_APP_ID = re.compile(APP_ID_PATTERN)


OWNER_LENGTH = 255


@dataclass(frozen=True, slots=True)
class ProjectName:
    """The parts of a project's name."""

    slug: str
    app_id: str


def app_id_from_bytes(entropy: bytes) -> str:
    """Return an app id of 24 characters from 15 random bytes (120 bits)."""
    if len(entropy) != 15:
        raise ValueError("an app id needs exactly 15 bytes")
    return base64.b32encode(entropy).decode("ascii").lower()


def is_app_id(text: str) -> bool:
    """Whether ``text`` has the form of an app id."""
    return _APP_ID.fullmatch(text) is not None


def slug(app_name: str) -> str:
    """Return the ASCII letters and digits of a name in lower case, joined by single hyphens; ``app`` if it has none."""
    ascii_name = unicodedata.normalize("NFKD", app_name).encode("ascii", "ignore").decode("ascii").lower()
    cut = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:SLUG_LENGTH].strip("-")
    return cut or FALLBACK_SLUG


def format_project_name(app_name: str, app_id: str) -> str:
    """Return the project's name, ``<slug>-<app_id>``: at most 65 characters, and Neon allows 256."""
    if not is_app_id(app_id):
        raise ValueError(f"not an app id: {app_id!r}")
    return f"{slug(app_name)}-{app_id}"


def parse_project_name(name: str) -> ProjectName | None:
    """Return the parts of a name in the form of ``format_project_name``, else None."""
    match = _NAME.fullmatch(name)
    return ProjectName(match["slug"], match["app_id"]) if match else None


def role_name(app_id: str, incarnation: int, number: int) -> str:
    """Return the app's ``number``-th role name, ``app_<hash>_<number>``; it contains no text from a user."""
    digest = hashlib.sha256(f"{app_id}/{incarnation}".encode()).digest()
    return f"app_{base64.b32encode(digest).decode('ascii').lower()[:16]}_{number}"


def is_owner_id(text: str) -> bool:
    """Whether ``text`` can name an owner: a token may contain it, and Postgres can store and index it."""
    return 0 < len(text) <= OWNER_LENGTH and text.isprintable()


def is_app_name(text: str) -> bool:
    """Whether ``text`` has only the characters of an app's name; its length is not checked.

    Visible characters and the space are allowed. Joiners are allowed inside, as some scripts need them.
    """
    return _APP_NAME.fullmatch(text) is not None
