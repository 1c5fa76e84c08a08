"""The limits of one project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlanLimits:
    """Limits of one project, by default those of the Scale plan (Neon documentation, Plans; Limits).

    Attributes:
        branches: number of branches, the default one included.
        root_branches: number of branches without a parent.
        protected_branches: number of protected branches.
        active_computes: number of computes that run at the same time, those of the default branch excluded.
        roles: number of roles of one branch.
        databases: number of databases of one branch.
        snapshots: number of manual snapshots. Neon's pages state 10 and 100; this is the lower one.
    """

    branches: int = 5000
    root_branches: int = 25
    protected_branches: int = 5
    active_computes: int = 20
    roles: int = 500
    databases: int = 500
    snapshots: int = 10
