"""Stories: what clients and people do, and which faults belong to the story itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from reconciler.core import effects as e
from specs.status import AppStatus, ConditionType, Reason, find_condition
from tests.simulation import people
from tests.simulation.faults import Kind
from tests.simulation.people import App
from tests.simulation.world import World

Story = Callable[[World], list[App]]


def _one(world: World) -> App:
    return App(world, world.new_app("shop"))


def create(world: World) -> list[App]:
    """One app."""
    return [_one(world)]


def delete(world: World) -> list[App]:
    """One app, deleted when it is ready."""
    app = _one(world)
    app.when_ready(people.delete_app, "deletes", 1.0)
    return [app]


def delete_protected(world: World) -> list[App]:
    """A protected branch blocks the deletion."""
    app = _one(world)
    app.when_ready(people.protect_branch, "protects", 1.0)
    app.then(lambda: app.pending == 1, people.delete_app, "deletes", 1.0)
    return [app]


def delete_during_create(world: World) -> list[App]:
    """Deleted right after the create was sent."""
    app = _one(world)
    app.once_sent(people.delete_app, "deletes", 0.05)
    return [app]


def delete_unknown(world: World) -> list[App]:
    """Deleted while the outcome of the create is unknown."""
    world.plan.first.setdefault(e.CreateProject, Kind.LOST_AFTER)
    app = _one(world)
    app.once_sent(people.delete_app, "deletes", 5.0)
    return [app]


def renamed(world: World) -> list[App]:
    """The project is renamed by hand."""
    return _repaired(world, people.rename)


def resized(world: World) -> list[App]:
    """The project gets other settings by hand."""
    return _repaired(world, people.resize)


def vanished(world: World) -> list[App]:
    """The project is deleted by hand."""
    return _repaired(world, people.delete_project)


def endpoint_deleted(world: World) -> list[App]:
    """The compute of the default branch is deleted."""
    return _repaired(world, people.delete_endpoint)


def branch_renamed(world: World) -> list[App]:
    """The default branch is renamed and loses its compute."""
    return _repaired(world, people.rename_branch_and_delete_endpoint)


def database_deleted(world: World) -> list[App]:
    """The app's database is deleted, which nothing repairs."""
    return _repaired(world, people.delete_database)


def _repaired(world: World, act: people.Act) -> list[App]:
    app = _one(world)
    app.when_ready(act, act.__name__, 2.0)
    return [app]


def vanished_and_deleted(world: World) -> list[App]:
    """Deleted by hand, then by its owner."""
    app = _one(world)
    app.when_ready(people.delete_project, "delete_project", 2.0)
    app.then(lambda: app.pending == 1, people.delete_app, "deletes", 1.0)
    return [app]


def late_recover(world: World) -> list[App]:
    """Deleted by hand, and by its owner when the recovery has been sent, which arrives after that."""
    world.plan.first.setdefault(e.RecoverProject, Kind.LATE)
    app = _one(world)
    app.when_ready(people.delete_project, "delete_project", 2.0)

    def recovering() -> bool:
        said = find_condition(app.row.conditions, ConditionType.READY)
        return said is not None and said.reason == Reason.RECOVERING

    app.then(recovering, people.delete_app, "deletes", 1.0)
    return [app]


def held(world: World) -> list[App]:
    """A deleted app's project is brought back by a person, and left alone."""
    app = _one(world)
    app.when_ready(people.delete_app, "deletes", 1.0)
    app.then(lambda: app.is_(AppStatus.DELETED), people.recover_project, "recovers", 5.0)
    return [app]


def held_no_more(world: World) -> list[App]:
    """What a person brought back of a deleted app is deleted by a person again."""
    [app] = held(world)

    def says_so() -> bool:
        said = find_condition(app.row.conditions, ConditionType.SYNCED)
        return said is not None and said.reason == Reason.ON_HOLD

    def over() -> bool:
        return app.held and (says_so() or world.neon.living(app.row.project_id) is None)

    app.then(over, people.delete_project, "delete_project", 5.0)
    return [app]


def lost(world: World) -> list[App]:
    """The project is gone for ever."""
    return _repaired(world, people.destroy_project)


def surplus(world: World) -> list[App]:
    """A create arrives long after the settle time, beside the one that took its place."""
    world.plan.first.setdefault(e.CreateProject, Kind.BEYOND)
    return [_one(world)]


def late(world: World) -> list[App]:
    """A create arrives just within the settle time."""
    world.plan.first.setdefault(e.CreateProject, Kind.LATE)
    return [_one(world)]


def late_after_delete(world: World) -> list[App]:
    """A create arrives when its app has been deleted."""
    world.plan.first.setdefault(e.CreateProject, Kind.BEYOND)
    app = _one(world)
    app.once_sent(people.delete_app, "deletes", 3.0)
    return [app]


def claimed(world: World) -> list[App]:
    """A lost row is rebuilt by a claim, and held until an operator has said whose it is."""
    app = _one(world)
    app.when_ready(people.rebuild, "claims", 1.0)
    app.then(lambda: app.row.hold_reason == "owner", people.confirm, "confirms", 100.0)
    return [app]


def refused(world: World) -> list[App]:
    """Neon does not serve when the create is sent."""
    world.plan.first.setdefault(e.CreateProject, Kind.UNAVAILABLE)
    return [_one(world)]


def orphan(world: World) -> list[App]:
    """A project carries our mark and belongs to no app that anybody knows; later it is gone."""
    app = _one(world)
    app.when_ready(people.mark_for_nobody, "marks a project", 1.0)
    app.then(lambda: bool(world.catalog.orphans), people.delete_copies, "deletes it", 400.0)
    return [app]


def lookalikes(world: World) -> list[App]:
    """Projects of people that look like the app's, while its create is unknown and when it is deleted."""
    world.plan.first.setdefault(e.CreateProject, Kind.LOST_AFTER)
    app = _one(world)
    app.once_sent(people.copy_names, "copies", 0.0)
    app.when_ready(people.delete_app, "deletes", 400.0)
    return [app]


def lookalikes_and_no_project(world: World) -> list[App]:
    """Only projects of people are there: the create did not take effect."""
    world.plan.first.setdefault(e.CreateProject, Kind.LOST_BEFORE)
    app = _one(world)
    app.once_sent(people.copy_names, "copies", 0.0)
    return [app]


def copied(world: World) -> list[App]:
    """While the outcome of the create is unknown, a person copies name and mark; later the copies go."""
    world.plan.first.setdefault(e.CreateProject, Kind.LOST_AFTER)
    app = _one(world)
    app.once_sent(people.copy_mark, "copies the mark", 1.0)

    def settled() -> bool:
        return app.pending == 1 and (app.is_(AppStatus.FAILED) or app.is_(AppStatus.READY))

    app.then(settled, people.delete_copies, "deletes the copies", 700.0)
    return [app]


def copied_when_ready(world: World) -> list[App]:
    """Name and mark of a recorded project are copied, and the copy is left alone."""
    return _repaired(world, people.copy_mark)


def unmarked(world: World) -> list[App]:
    """Nothing proves the project ours any more when it is to be deleted."""
    return _repaired(world, people.strip_mark)


def fleet_vanished(world: World) -> list[App]:
    """Ten of ten projects vanish at once, and are brought back: everything stops, then goes on.

    Meanwhile an eleventh app is asked for, which has to wait.
    """
    apps = [App(world, world.new_app(f"shop {number}")) for number in range(10)]

    def all_are(status: AppStatus) -> bool:
        return all(app.is_(status) for app in apps)

    def stopped() -> bool:
        return world.catalog.plane.stop_reason is not None

    for app in apps:
        app.then(lambda: all_are(AppStatus.READY), people.delete_project, "delete_project", 60.0)
        app.then(stopped, people.recover_project, "recovers", 60.0)

    def asked_for() -> None:
        apps.append(App(world, world.new_app("late shop")))

    def some_time_later() -> None:
        world.busy(world.clock.now + 61.0)
        world.clock.after(60.0, asked_for)

    world.once(stopped, some_time_later)
    return apps


def mixed(world: World) -> list[App]:
    """Some apps, with a story of their own each."""
    chance = random.Random(f"{world.seed}/story")
    apps = []
    for number in range(chance.choice((1, 1, 1, 2, 3))):
        app = App(world, world.new_app(chance.choice(("shop", "Čaj", "商店", "x" * 90)) + f" {number}"))
        apps.append(app)
        if chance.random() < 0.2:
            app.once_sent(people.copy_names, "copies")
        for act in chance.sample(HAND, chance.randint(0, 2)):
            app.when_ready(act, act.__name__, chance.uniform(0, 120))
        fate = chance.random()
        if fate < 0.25:
            app.then(lambda: True, people.delete_app, "deletes", chance.expovariate(1 / 20))
        elif fate < 0.6:
            app.when_ready(people.delete_app, "deletes", chance.uniform(0, 200))
    return apps


HAND: tuple[people.Act, ...] = (
    people.rename,
    people.resize,
    people.delete_project,
    people.delete_endpoint,
    people.rename_branch,
    people.rename_branch_and_delete_endpoint,
    people.protect_branch,
)

SCENARIOS: Mapping[str, Story] = {
    story.__name__.replace("_", "-"): story
    for story in (
        create,
        delete,
        delete_protected,
        delete_during_create,
        delete_unknown,
        renamed,
        resized,
        vanished,
        endpoint_deleted,
        branch_renamed,
        database_deleted,
        vanished_and_deleted,
        late_recover,
        held,
        held_no_more,
        lost,
        surplus,
        late,
        late_after_delete,
        claimed,
        refused,
        orphan,
        lookalikes,
        lookalikes_and_no_project,
        copied,
        copied_when_ready,
        unmarked,
        fleet_vanished,
        mixed,
    )
}
