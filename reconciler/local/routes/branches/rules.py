"""Rules that every new or changed branch follows, and what a copy inherits."""

from __future__ import annotations

from reconciler.local.errors import conflict, over_limit, unprocessable
from reconciler.local.state.account_state import AccountState
from reconciler.local.state.history import BranchState
from reconciler.local.state.models import Branch, Database, Project, Role


def inherited_roles(account: AccountState, source: Branch, point: BranchState) -> dict[str, Role]:
    """Return the roles that a copy has: those of its source, with new passwords where the source is protected."""
    if not source.protected:
        return dict(point.roles)
    return {name: role.model_copy(update={"password": account.password()}) for name, role in point.roles.items()}


def inherited_databases(account: AccountState, point: BranchState) -> dict[str, Database]:
    """Return the databases that a copy has, as objects of their own."""
    return {name: each.model_copy(update={"id": account.database_id()}) for name, each in point.databases.items()}


def present_branches(project: Project) -> list[Branch]:
    """Return the branches that are not being deleted."""
    return [branch for branch in project.branches.values() if not branch.deleting]


def check_name_is_free(project: Project, name: str, but: Branch | None = None) -> None:
    """Refuse a name that another branch has.

    Raises:
        Problem: 409.
    """
    if any(other.name == name and other is not but for other in present_branches(project)):
        raise conflict(f"branch {name!r} already exists")


def check_branch_limits(account: AccountState, project: Project, fresh: Branch) -> None:
    """Refuse a branch for which there is no room.

    Raises:
        Problem: 422 with the code of the limit.
    """
    there, limits = present_branches(project), account.options.limits
    if len(there) >= limits.branches:
        raise over_limit("branches limit exceeded", "BRANCHES_LIMIT_EXCEEDED")
    if fresh.parent_id is None and sum(each.parent_id is None for each in there) >= limits.root_branches:
        raise over_limit("root branches limit exceeded", "ROOT_BRANCHES_LIMIT_EXCEEDED")


def check_protection(account: AccountState, project: Project, branch: Branch) -> None:
    """Refuse to protect a branch that expires, or one more than may be protected.

    Raises:
        Problem: 422.
    """
    if not branch.protected:
        return
    if branch.expires_at is not None:
        raise unprocessable("a protected branch cannot expire")
    others = sum(each.protected for each in present_branches(project) if each is not branch)
    if others >= account.options.limits.protected_branches:
        raise over_limit("protected branches limit exceeded", "BRANCHES_PROTECTED_LIMIT_EXCEEDED")
