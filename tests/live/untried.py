"""Assumed rows that nobody can try from outside, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

UNTRIED: Final[Mapping[str, str]] = {}
