"""The form of Neon's ids, for what is sent and for what is read."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field

NEON_ID_PATTERN: Final = r"^[a-z0-9-]{1,60}$"
"""Ids of projects, branches, computes and organizations (Neon OpenAPI document, pattern of each)."""

NeonId = Annotated[str, Field(pattern=NEON_ID_PATTERN)]

_ID = re.compile(NEON_ID_PATTERN)


def is_neon_id(text: str) -> bool:
    """Whether Neon can have issued the id."""
    return _ID.fullmatch(text) is not None
