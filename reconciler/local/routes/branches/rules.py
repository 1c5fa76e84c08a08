"""Rules that every new or changed branch follows, and what a copy inherits."""

from __future__ import annotations

from reconciler.local.errors import conflict, over_limit, unprocessable
from reconciler.local.state.account_state import AccountState
from reconciler.local.state.history import BranchState
from reconciler.local.state.models import Branch, Database, Project, Role


def inherited_roles(account: AccountState, source: Branch, point: BranchState) -> dict[str, Role]:
    """Return the roles of a copy: those of its source, with new passwords if the source is protected."""
    if not source.protected:
        return dict(point.roles)
    return {name: role.model_copy(update={"password": account.password()}) for name, role in point.roles.items()}


def inherited_databases(account: AccountState, point: BranchState) -> dict[str, Database]:
    """Return the databases of a copy, with new ids."""
    return {
        name: database.model_copy(update={"id": account.database_id()}) for name, database in point.databases.items()
    }


def present_branches(project: Project) -> list[Branch]:
    """Return the branches that are not being deleted."""
    return [branch for branch in project.branches.values() if not branch.deleting]


def check_name_is_free(project: Project, name: str, but: Branch | None = None) -> None:
    """Reject the name of another branch.

    Raises:
        ApiError: 409.
    """
    if any(other.name == name and other is not but for other in present_branches(project)):
        raise conflict(f"branch {name!r} already exists")


def check_branch_limits(account: AccountState, project: Project, fresh: Branch) -> None:
    """Reject a branch over the limit of the project.

    Raises:
        ApiError: 422 with the code of the limit.
    """
    present, limits = present_branches(project), account.options.limits
    if len(present) >= limits.branches:
        raise over_limit("branches limit exceeded", "BRANCHES_LIMIT_EXCEEDED")
    if fresh.parent_id is None and sum(branch.parent_id is None for branch in present) >= limits.root_branches:
        raise over_limit("root branches limit exceeded", "ROOT_BRANCHES_LIMIT_EXCEEDED")


def check_protection(account: AccountState, project: Project, branch: Branch) -> None:
    """Reject the protection of a branch that expires, or of one branch too many.

    Raises:
        ApiError: 422.
    """
    if not branch.protected:
        return
    if branch.expires_at is not None:
        raise unprocessable("a protected branch cannot expire")
    others = sum(other.protected for other in present_branches(project) if other is not branch)
    if others >= account.options.limits.protected_branches:
        raise over_limit("protected branches limit exceeded", "BRANCHES_PROTECTED_LIMIT_EXCEEDED")
