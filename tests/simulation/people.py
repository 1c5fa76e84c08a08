"""What people do: clients of the API, and those who use Neon's console behind the loop's back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.core.ownership import APP_ID, CONTROL_PLANE_ID, INCARNATION, NONCE
from specs.metadata import AppMetadata
from specs.names import app_id_from_bytes
from specs.status import AppStatus, ConditionType, Reason, find_condition
from tests.simulation.neon import PLANE_ID
from tests.simulation.world import World

Act = Callable[["App"], bool]


@dataclass
class App:
    """One app of a story, and what must become of it.

    Attributes:
        expected: how it must end.
        lookalikes: projects of people that must outlive everything.
        parsed: those of them whose names have the form of this app's.
    """

    world: World
    app_id: str
    expected: AppStatus = AppStatus.READY
    held: bool = False
    unproven: bool = False
    lookalikes: set[str] = field(default_factory=set)
    parsed: set[str] = field(default_factory=set)
    pending: int = 0

    @property
    def row(self) -> AppMetadata:
        """Its row, as its owner sees it."""
        return self.world.catalog.rows[self.app_id].as_shown_to_owner()

    def is_(self, status: AppStatus) -> bool:
        """Whether it has a status now."""
        return self.row.status == status

    def then(self, condition: Callable[[], bool], act: Act, name: str, delay: float = 0.0) -> None:
        """Act once something is true, again every second until it is done."""
        self.pending += 1

        def attempt() -> None:
            self.world.busy()
            if act(self):
                self.world.note("person", f"{name} {self.app_id}")
                self.pending -= 1
                self.world.acts += 1
            else:
                self.world.clock.after(1.0, attempt)

        self.world.once(condition, lambda: self.world.clock.after(delay, attempt))

    @property
    def needs_operator(self) -> bool:
        """Whether the reconciler goes on retrying slowly, since only an operator can end it."""
        return self.unproven or self.expected == AppStatus.DEGRADED

    def once_sent(self, act: Act, name: str, delay: float = 0.0) -> None:
        """Act once a create is under way, or never will be."""

        def sent() -> bool:
            return bool(self.world.catalog.intents[self.app_id]) or self.row.delete_requested_at is not None

        self.then(sent, act, name, delay)

    def when_ready(self, act: Act, name: str, delay: float = 0.0) -> None:
        """Act once the app is ready, or never will be."""

        def ready() -> bool:
            return self.is_(AppStatus.READY) or self.row.delete_requested_at is not None

        self.then(ready, act, name, delay)


def _changed(app: App, method: str, path: str, body: object = None) -> bool:
    """Whether there is nothing left to do: done, or there is nothing to do it to."""
    if app.row.project_id is None:
        return True
    status = app.world.neon.send(method, path, body).status
    return status != 423


def delete_app(app: App) -> bool:
    """DELETE at our API."""
    app.world.catalog.request_delete(app.app_id)
    app.expected = AppStatus.DELETING if app.unproven else AppStatus.DELETED
    return True


def rename(app: App) -> bool:
    """Another name."""
    return _changed(app, "PATCH", f"/projects/{app.row.project_id}", {"project": {"name": "renamed by hand"}})


def resize(app: App) -> bool:
    """Other settings, and a quota."""
    settings = {"autoscaling_limit_min_cu": 1.0, "autoscaling_limit_max_cu": 4.0, "suspend_timeout_seconds": 3600}
    body = {
        "history_retention_seconds": 3600,
        "default_endpoint_settings": settings,
        "settings": {"quota": {"active_time_seconds": 60}},
    }
    return _changed(app, "PATCH", f"/projects/{app.row.project_id}", {"project": body})


def delete_project(app: App) -> bool:
    """The project is deleted in the console."""
    return _changed(app, "DELETE", f"/projects/{app.row.project_id}")


def recover_project(app: App) -> bool:
    """A deleted project is brought back in the console."""
    if app.expected == AppStatus.DELETED:
        app.held = True
    return _changed(app, "POST", f"/projects/{app.row.project_id}/recover")


def delete_endpoint(app: App) -> bool:
    """The compute of the default branch is deleted."""
    project = app.world.neon.living(app.row.project_id)
    if project is None:
        return True
    branch_id = project.default_branch.id
    endpoint = next((each for each in project.endpoints.values() if each.branch_id == branch_id), None)
    return endpoint is None or _changed(app, "DELETE", f"/projects/{project.id}/endpoints/{endpoint.id}")


def rename_branch(app: App) -> bool:
    """The default branch gets another name."""
    project = app.world.neon.living(app.row.project_id)
    if project is None:
        return True
    path = f"/projects/{project.id}/branches/{project.default_branch.id}"
    return _changed(app, "PATCH", path, {"branch": {"name": "trunk"}})


def rename_branch_and_delete_endpoint(app: App) -> bool:
    """Both, so that the repair meets a branch of another name."""
    return rename_branch(app) and delete_endpoint(app)


def delete_database(app: App) -> bool:
    """The app's database is deleted in the console, so that Neon has no URI for it."""
    project = app.world.neon.living(app.row.project_id)
    if project is None:
        return True
    path = f"/projects/{project.id}/branches/{project.default_branch.id}/databases/{app.row.database}"
    app.expected = AppStatus.DEGRADED
    return _changed(app, "DELETE", path)


def protect_branch(app: App) -> bool:
    """The default branch is protected, which blocks the project's deletion."""
    project = app.world.neon.living(app.row.project_id)
    if project is None:
        return True
    path = f"/projects/{project.id}/branches/{project.default_branch.id}"
    return _changed(app, "PATCH", path, {"branch": {"protected": True}})


def strip_mark(app: App) -> bool:
    """A restore from a snapshot loses the annotations, and somebody renames the project."""
    project = app.world.neon.living(app.row.project_id)
    if project is None or not rename(app):
        return project is None
    for branch in project.branches.values():
        branch.annotation.clear()
    app.world.neon.foreign.add(project.id)
    app.unproven = True
    return delete_app(app)


def destroy_project(app: App) -> bool:
    """The project goes for ever, beyond recovery."""
    world = app.world.neon.machine._account
    project = app.world.neon.living(app.row.project_id)
    if project is not None and project.id not in world.active:
        world.remove(project)
        app.world.neon.version += 1
        app.expected = AppStatus.LOST
        return True
    return project is None


def copy_mark(app: App) -> bool:
    """A second project with the app's name and all its annotations, the nonce too."""
    row, neon = app.row, app.world.neon
    for project, found in neon.ours():
        if found[APP_ID] == app.app_id:
            body = {"project": {"name": row.project_name, "branch": {"annotations": dict(found)}}}
            before = {each.id for each in neon.projects()}
            neon.send("POST", "/projects", body)
            made = {each.id for each in neon.projects()} - before
            neon.foreign |= made
            app.lookalikes |= made
            app.parsed |= made
            assert project.id not in made
            return True
    return True


def rebuild(app: App) -> bool:
    """An operator's claim has rebuilt the row of a project, which waits for a word on its owner."""
    app.world.catalog.rebuilt(app.app_id)
    return True


def confirm(app: App) -> bool:
    """An operator says whose the app is."""
    app.world.catalog.confirmed(app.app_id)
    return True


def mark_for_nobody(app: App) -> bool:
    """A project with our mark whose app no catalog knows."""
    neon, app_id = app.world.neon, app_id_from_bytes(b"nobody knows it"[:15])
    found = {CONTROL_PLANE_ID: PLANE_ID, APP_ID: app_id, INCARNATION: "1", NONCE: "of-nobody"}
    before = {each.id for each in neon.projects()}
    neon.send("POST", "/projects", {"project": {"name": f"lost-{app_id}", "branch": {"annotations": found}}})
    made = {each.id for each in neon.projects()} - before
    neon.foreign |= made
    app.lookalikes |= made
    app.parsed |= made
    return True


def delete_copies(app: App) -> bool:
    """Who made them takes them away."""
    for project_id in sorted(app.lookalikes):
        if app.world.neon.send("DELETE", f"/projects/{project_id}").status == 423:
            return False
        app.lookalikes.discard(project_id)
        app.parsed.discard(project_id)
    return True


def copy_names(app: App) -> bool:
    """Projects that only look like ours."""
    row, neon = app.row, app.world.neon
    mark = {CONTROL_PLANE_ID: PLANE_ID, APP_ID: app.app_id, INCARNATION: "1", NONCE: "of-somebody-else"}
    for name, found in (
        (f"x-{row.project_name}-copy", {}),
        (f"copy of {app.app_id}", {}),
        (row.project_name, {}),
        (row.project_name, mark),
    ):
        body = {"project": {"name": name, "branch": {"annotations": found}}}
        before = {project.id for project in neon.projects()}
        response = neon.send("POST", "/projects", body)
        made = {project.id for project in neon.projects()} - before
        neon.foreign |= made
        if response.status == 201:
            app.lookalikes |= made
            app.parsed |= made if name == row.project_name else set()
    return True


def settle_copies(world: World, app_id: str) -> None:
    """Once an app says that one create made several projects, somebody takes away all but the oldest."""

    def told() -> bool:
        row = world.catalog.rows[app_id]
        said = find_condition(row.conditions, ConditionType.SYNCED)
        unproven = said is not None and said.reason == Reason.OWNERSHIP_UNVERIFIED
        return unproven or row.project_id is not None or row.deleted_at is not None

    def act() -> None:
        row = world.catalog.rows[app_id]
        if row.project_id is not None or row.deleted_at is not None:
            return
        made = [project for project, mark in world.neon.ours() if mark[APP_ID] == app_id]
        made.sort(key=lambda project: (project.created_at, project.id))
        world.acts += 1
        refused = [each for each in made[1:] if world.neon.send("DELETE", f"/projects/{each.id}").status == 423]
        if refused:
            world.busy()
            world.clock.after(1.0, act)

    world.once(told, act)
