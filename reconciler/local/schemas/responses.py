"""The objects of responses: the required fields of Neon's OpenAPI document, and the fields that it sends beyond it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from reconciler.local.schemas.addresses import (
    address_of,
    branch_address,
    proxy_host,
    resolve_names,
)
from reconciler.local.state.account_state import AccountState
from reconciler.local.state.computes import endpoint_state
from reconciler.local.state.history import lsn_at
from reconciler.local.state.models import (
    Branch,
    Database,
    Endpoint,
    Json,
    Operation,
    Project,
    Role,
    Snapshot,
)
from reconciler.local.usage.metering import period_end, period_start


@lru_cache(maxsize=4096)
def format_timestamp(moment: float) -> str:
    """Render a time, in seconds since the epoch, as Neon does: RFC 3339 in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _common(account: AccountState, project: Project) -> Json:
    document: Json = {
        "id": project.id,
        "platform_id": project.region_id.split("-", 1)[0],
        "region_id": project.region_id,
        "name": project.name,
        "slug": project.id,
        "provisioner": project.provisioner,
        "default_endpoint_settings": project.default_endpoint_settings,
        "settings": project.settings,
        "pg_version": project.pg_version,
        "proxy_host": proxy_host(account, project),
        "branch_logical_size_limit": 16_777_216,
        "branch_logical_size_limit_bytes": 17_592_186_044_416,
        "store_passwords": project.store_passwords,
        "cpu_used_sec": int(project.usage.compute_time_seconds),
        "creation_source": "console",
        "history_retention_seconds": project.history_retention_seconds,
        "created_at": format_timestamp(project.created_at),
        "updated_at": format_timestamp(project.updated_at),
        "owner_id": project.org_id,
        "org_id": project.org_id,
    }
    active = [endpoint.last_active for endpoint in project.endpoints.values() if endpoint.last_active is not None]
    if active:
        document["compute_last_active_at"] = format_timestamp(max(active))
    if project.usage.sizes:
        document["synthetic_storage_size"] = sum(project.usage.sizes.values())
    return document


def project_document(account: AccountState, project: Project) -> Json:
    """Render a ``Project``, with its consumption until the last metering."""
    usage = project.usage
    counted = project.created_at if usage.metered_at is None else usage.metered_at
    return _common(account, project) | {
        "data_storage_bytes_hour": int(usage.byte_hours),
        "data_transfer_bytes": usage.data_transfer_bytes,
        "written_data_bytes": usage.written_data_bytes,
        "compute_time_seconds": int(usage.compute_time_seconds),
        "active_time_seconds": int(usage.active_time_seconds),
        "consumption_period_start": format_timestamp(period_start(counted)),
        "consumption_period_end": format_timestamp(period_end(counted)),
    }


def project_item(account: AccountState, project: Project, *, deleted: bool | None = None) -> Json:
    """Render a ``ProjectListItem``, as deleted or not; None renders the current state."""
    item = _common(account, project) | {
        "active_time": int(project.usage.active_time_seconds),
        "org_name": account.keys.organization(project.org_id).name,
    }
    if project.deleted_at is not None and deleted is not False:
        item["deleted_at"] = format_timestamp(project.deleted_at)
        item["recoverable_until"] = format_timestamp(project.deleted_at + account.options.recovery_seconds)
    return item


def branch_document(project: Project, branch: Branch) -> Json:
    """Render a ``Branch``."""
    is_ready = branch.ready and not branch.resetting
    state = "ready" if is_ready else "resetting" if branch.ready else "init"
    document: Json = {
        "id": branch.id,
        "project_id": project.id,
        "name": branch.name,
        "slug": branch.id,
        "current_state": state,
        "state_changed_at": format_timestamp(branch.state_changed_at),
        "creation_source": "console",
        "primary": branch.default,
        "default": branch.default,
        "protected": branch.protected,
        "cpu_used_sec": 0,
        "compute_time_seconds": 0,
        "active_time_seconds": 0,
        "written_data_bytes": 0,
        "data_transfer_bytes": 0,
        "created_at": format_timestamp(branch.created_at),
        "updated_at": format_timestamp(branch.updated_at),
        "init_source": branch.init_source,
        "restricted_actions": [{"name": name, "reason": reason} for name, reason in restrictions(branch)],
    }
    if not is_ready:
        document["pending_state"] = "ready"
    if branch.parent_id is not None:
        moment = branch.created_at if branch.parent_timestamp is None else branch.parent_timestamp
        document |= {"parent_id": branch.parent_id, "parent_lsn": lsn_at(project, moment)}
        document["parent_timestamp"] = format_timestamp(moment)
    for name in ("expires_at", "last_reset_at"):
        stamp = getattr(branch, name)
        if stamp is not None:
            document[name] = format_timestamp(stamp)
    for name in ("ttl_interval_seconds", "restore_status", "restored_from", "restored_as"):
        value = getattr(branch, name)
        if value is not None:
            document[name] = value
    return document


def restrictions(branch: Branch) -> list[tuple[str, str]]:
    """Return the name and the reason of each current ``BranchRestrictedAction``."""
    restricted = []
    if branch.protected:
        restricted = [(name, "branch is protected") for name in ("restore", "delete-rw-endpoint")]
    if branch.restored_from is not None:
        restricted.append(("restore", "restore from snapshot on target branch is still ongoing"))
    return restricted


def snapshot_document(project: Project, snapshot: Snapshot) -> Json:
    """Render a ``Snapshot``. It has no size yet, so it is not charged."""
    document: Json = {
        "id": snapshot.id,
        "name": snapshot.name,
        "lsn": lsn_at(project, snapshot.taken_at),
        "timestamp": format_timestamp(snapshot.taken_at),
        "source_branch_id": snapshot.source_branch_id,
        "created_at": format_timestamp(snapshot.created_at),
        "manual": True,
    }
    return document if snapshot.expires_at is None else document | {"expires_at": format_timestamp(snapshot.expires_at)}


def annotation_document(branch: Branch) -> Json:
    """Render a branch's ``AnnotationData``; its times are those of the branch, since no route changes it later."""
    return {
        "object": {"type": "console/branch", "id": branch.id},
        "value": dict(branch.annotation),
        "created_at": format_timestamp(branch.created_at),
        "updated_at": format_timestamp(branch.created_at),
    }


def _pending_state(account: AccountState, project: Project, endpoint: Endpoint, state: str) -> str | None:
    """Return the next state of a compute, from the first unfinished operation on it."""
    if state == "init":
        return "active"
    if project.id not in account.active:
        return None
    actions = (operation.action for operation in project.unfinished() if operation.endpoint_id == endpoint.id)
    leads_to = {"start_compute": "active", "apply_config": "active", "suspend_compute": "idle"}
    pending = leads_to.get(next(actions, ""))
    return None if pending == state else pending


def endpoint_document(account: AccountState, project: Project, endpoint: Endpoint, now: float) -> Json:
    """Render an ``Endpoint``."""
    state = endpoint_state(endpoint, now)
    next_state = _pending_state(account, project, endpoint, state)
    pending = {} if next_state is None else {"pending_state": next_state}
    address = address_of(account, project, endpoint)
    direct, pooled = address.direct, address.pooled
    stamps = {"created_at": format_timestamp(endpoint.created_at), "updated_at": format_timestamp(endpoint.updated_at)}
    compute: Json = {"binding_id": "dsq", "current_state": state, "role": endpoint.type, **pending, **stamps}
    document: Json = {
        "host": direct,
        "hosts": {"read_write_host": direct, "read_write_pooled_host": pooled},
        "id": endpoint.id,
        "slug": endpoint.id,
        "branch_slug": endpoint.branch_id,
        "project_slug": project.id,
        "project_id": project.id,
        "branch_id": endpoint.branch_id,
        "autoscaling_limit_min_cu": endpoint.min_cu,
        "autoscaling_limit_max_cu": endpoint.max_cu,
        "region_id": project.region_id,
        "type": endpoint.type,
        "current_state": state,
        **pending,
        "group": {
            "size": {"min": 1, "max": 1},
            "allow_readable_secondaries": False,
            "computes": [compute | {"compute_host": address.compute, "compute_pooled_host": address.compute_pooled}],
        },
        "settings": endpoint.settings,
        "pooler_enabled": False,
        "pooler_mode": "transaction",
        "disabled": endpoint.disabled,
        "passwordless_access": endpoint.passwordless_access,
        "creation_source": "console",
        **stamps,
        "proxy_host": proxy_host(account, project),
        "suspend_timeout_seconds": endpoint.suspend_timeout_seconds,
        "provisioner": project.provisioner,
    }
    if endpoint.name is not None:
        document["name"] = endpoint.name
    if endpoint.last_active is not None:
        document["last_active"] = format_timestamp(endpoint.last_active)
    return document


def role_document(branch: Branch, role: Role, *, password: str | None = None) -> Json:
    """Render a ``Role``, with a password only where Neon returns one."""
    document: Json = {
        "branch_id": branch.id,
        "name": role.name,
        "protected": False,
        "authentication_method": "no_login" if role.no_login else "password",
        "created_at": format_timestamp(role.created_at),
        "updated_at": format_timestamp(role.updated_at),
    }
    return document if password is None else document | {"password": password}


def database_document(branch: Branch, database: Database) -> Json:
    """Render a ``Database``."""
    return {
        "id": database.id,
        "branch_id": branch.id,
        "name": database.name,
        "owner_name": database.owner_name,
        "created_at": format_timestamp(database.created_at),
        "updated_at": format_timestamp(database.updated_at),
    }


def operation_document(project: Project, operation: Operation) -> Json:
    """Render an ``Operation``."""
    document: Json = {
        "id": operation.id,
        "project_id": project.id,
        "action": operation.action,
        "status": operation.status,
        "failures_count": operation.failures_count,
        "created_at": format_timestamp(operation.created_at),
        "updated_at": format_timestamp(operation.updated_at),
        "total_duration_ms": int((operation.updated_at - operation.created_at) * 1000),
    }
    for name in ("branch_id", "endpoint_id", "error"):
        value = getattr(operation, name)
        if value is not None:
            document[name] = value
    if operation.retry_at is not None:
        document["retry_at"] = format_timestamp(operation.retry_at)
    return document


def connection_uri(account: AccountState, branch: Branch, database: str, role: Role, *, pooled: bool) -> str:
    """Return a URI, with the names of role and database at its server."""
    name, user = resolve_names(account, branch, database, role.name)
    address = branch_address(account, branch)
    host = address.pooled if pooled else address.direct
    login = f"{quote(user, safe='')}:{quote(role.password, safe='')}"
    return f"postgresql://{login}@{host}{address.port}/{quote(name, safe='')}?{address.query}"


def connection_details(account: AccountState, branch: Branch, database: Database) -> Json:
    """Render the ``ConnectionDetails`` of a database and its owner."""
    role = branch.roles[database.owner_name]
    name, user = resolve_names(account, branch, database.name, role.name)
    address = branch_address(account, branch)
    return {
        "connection_uri": connection_uri(account, branch, database.name, role, pooled=False),
        "connection_parameters": {
            "database": name,
            "password": role.password,
            "role": user,
            "host": address.direct,
            "pooler_host": address.pooled,
        },
    }
