"""Assumed rows that nobody can try from outside, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SPENDS = "it would use up the requests of an account that others work with"
_MANY = "it would take as many as a plan allows, and the suite makes one project and little in it"
_NEON_ONLY = "only Neon itself can make an operation end so"

UNTRIED: Final[Mapping[str, str]] = {
    "key-project-scope": "it would make a key, and the suite makes nothing but its project",
    "branch-limits": _MANY,
    "branches-default-limit": "it would take more than a hundred branches",
    "compute-active-limit": _MANY,
    "consumption-newest-first": "it would take more than one project",
    "counters-do-not-lag": "what was used counts up to an hour later",
    "database-limit-rejection": _MANY,
    "failed-deletion-of-a-branch": _NEON_ONLY,
    "history-limited-by-plan": "what is too long depends on the plan, which a key does not tell",
    "limit-of-an-account": _SPENDS,
    "limit-shared-by-keys": _SPENDS,
    "limit-without-retry-after": _SPENDS,
    "new-enum-values": "a value of tomorrow cannot be asked for today",
    "operation-cancelled": _NEON_ONLY,
    "operation-error-frees": _NEON_ONLY,
    "operation-may-be-stuck": _NEON_ONLY,
    "projects-limit-422": _MANY,
    "projects-limit-counts-deleted": _MANY,
    "quota-at-its-moment": "what was used counts up to an hour later",
    "quota-outlives-recovery": "what was used counts up to an hour later",
    "role-limit-rejection": _MANY,
    "scale-to-zero-locks": "it would have to meet the moment at which a compute falls idle",
    "snapshot-limit": _MANY,
    "wrong-keys-are-not-counted": _SPENDS,
}
