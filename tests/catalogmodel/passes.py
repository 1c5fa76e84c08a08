"""What daemons do: they take leases, write what a pass writes, and give the leases back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from reconciler.catalog.work_queue import Lease, WorkItem
from reconciler.core.context import Credentials, Event, Result, StatusUpdate, TimestampColumn
from reconciler.core.effects import OpenIntent, RecordProject
from reconciler.core.host_allow_list import CheckedURI
from specs.status import AppStatus, Condition, ConditionType, Reason
from tests.addresses import checked
from tests.catalogmodel.machine import WHICH, Base, sometimes
from tests.catalogmodel.pair import WORKERS, Handle
from tests.catalogmodel.state import plain, twin_row

WORKER = st.sampled_from(WORKERS)
PROJECTS = st.sampled_from([f"project-{number}" for number in range(6)])
How: TypeAlias = Literal["rejected", "open", "absent"]
HOW: tuple[How, ...] = ("rejected", "open", "absent")
LATER = st.none() | st.sampled_from((0.0, 30.0, 86_400.0))
COLUMNS: st.SearchStrategy[dict[TimestampColumn, float | None]] = st.dictionaries(
    st.sampled_from(("connected_at", "missing_since", "recoverable_until")), LATER, max_size=2
)


def _uri(host: str) -> CheckedURI:
    return checked(f"postgresql://role:word@{host}.neon.tech/app")


BOTH = Credentials(_uri("p"), _uri("s"))
CREDENTIALS = st.none() | st.builds(
    Credentials, st.sampled_from("pqr").map(_uri), st.none() | st.sampled_from("st").map(_uri)
)


class Passes(Base):
    """The rules of leases and of what is written under them."""

    @rule(worker=WORKER, limit=st.integers(1, 3))
    def claim(self, worker: str, limit: int) -> None:
        """Up to so many, of the owners in turn."""
        pair, twin = self.pair, self.pair.twin
        real = sorted(pair.wait(pair.work[worker].claim(limit)), key=lambda each: each.lease.app_id)
        taken = {each.lease.app_id: each for each in twin.take(worker, limit)}
        assert {each.lease.app_id for each in real} == set(taken), (real, taken)
        fresh = [each.lease.token for each in real]
        assert not fresh or min(fresh) > max(pair.tokens), "a token that is not larger than every earlier one"
        for each in real:
            model = taken[each.lease.app_id]
            pair.tokens[each.lease.token] = model.lease.token
            self.handles.append(Handle(each, model))
            assert self._seen(each) == (twin_row(twin, model.app), *self._rest(model))
        pair.met["claim", "answered"] += bool(real)

    @precondition(sometimes)
    @rule()
    def next_due(self) -> None:
        """How long there is nothing to do."""
        pair = self.pair

        def seconds() -> float | None:
            due = pair.twin.next_due()
            return None if due == float("inf") else due - pair.clock.now

        pair.both("next_due", pair.work[WORKERS[0]].next_due(), seconds)

    @precondition(lambda self: self.has_handles)
    @rule(first=WHICH, second=WHICH)
    def renew(self, first: int, second: int) -> None:
        """Two leases at once, held or not."""
        pair, chosen = self.pair, {self.handle(first).real.lease: self.handle(first)}
        chosen[self.handle(second).real.lease] = self.handle(second)

        def renewed() -> set[str]:
            held = [each.twin.lease for each in chosen.values()]
            return {lease.app_id for lease in held if lease.app_id in pair.twin.work and pair.twin.renew(lease)}

        pair.both("renew", pair.work[WORKERS[0]].renew([*chosen]), renewed)

    @precondition(lambda self: self.has_handles)
    @rule(
        which=WHICH,
        after=st.sampled_from((None, None, 0.0, 0.5, 30.0)),
        failed=st.booleans(),
        background=st.booleans(),
    )
    def release(self, which: int, after: float | None, failed: bool, background: bool) -> None:
        """The end of a pass."""
        pair, handle, outcome = self.pair, self.handle(which), Result(after, backoff=failed, low_priority=background)
        lease = handle.twin.lease
        pair.both(
            "release",
            pair.work[WORKERS[0]].release(handle.real.lease, outcome),
            lambda: lease.app_id in pair.twin.work and pair.twin.release(lease, outcome),
        )

    @precondition(sometimes)
    @rule(worker=WORKER)
    def give_back(self, worker: str) -> None:
        """A daemon that ends."""
        self.pair.both("give_back", self.pair.work[worker].release_all(), lambda: self.pair.twin.give_back(worker))

    @precondition(lambda self: self.has_handles)
    @rule(which=WHICH, swept=st.booleans(), times=st.sampled_from((1, 1, 1, 11)))
    def permit(self, which: int, swept: bool, times: int) -> None:
        """A change at Neon; eleven at once are more than sweeps may delete in an hour."""
        handle = self.handle(which)
        for _ in range(times if swept else 1):
            self._write(
                "permit",
                self.pair.records.authorize_mutation(handle.real.lease, automatic=swept),
                lambda: self.pair.twin.permit(handle.twin.lease, swept=swept),
            )

    @precondition(lambda self: self.has_handles)
    @rule(which=WHICH, again=st.sampled_from((None, None, 0, 1)))
    def open_intent(self, which: int, again: int | None) -> None:
        """A create to come, or one that was refused and is sent again."""
        handle = self.handle(which)
        effect = OpenIntent(
            f"nonce-{self.pair.twin.plane.last_create_seq}", None if again is None else self._seq(handle, again)
        )
        self._write(
            "open_intent",
            self.pair.records.open_intent(handle.real.lease, effect),
            lambda: self.pair.twin.open_intent(handle.twin.lease, effect),
        )

    @precondition(lambda self: self.has_handles)
    @rule(which=WHICH, seq=st.integers(0, 1), how=st.sampled_from(HOW))
    def settle_intent(self, which: int, seq: int, how: How) -> None:
        """A create that was refused, is not seen yet, or is proven not to have happened."""
        handle, records = self.handle(which), self.pair.records
        lease, create_seq = handle.real.lease, self._seq(handle, seq)
        self._write(
            "settle_intent",
            records.mark_intent_rejected(lease, create_seq)
            if how == "rejected"
            else records.record_absence(lease, create_seq, confirmed=how == "absent"),
            lambda: self.pair.twin.settle_intent(handle.twin.lease, create_seq, how, absent=how != "rejected"),
        )

    @precondition(lambda self: self.has_handles)
    @rule(which=WHICH, status=st.sampled_from(AppStatus), generation=st.integers(0, 2), columns=COLUMNS)
    def record(
        self, which: int, status: AppStatus, generation: int, columns: dict[TimestampColumn, float | None]
    ) -> None:
        """What was observed."""
        self._record(self.handle(which), self._progress(status, generation, columns))

    @precondition(lambda self: self.has_handles)
    @rule(which=WHICH, ends=st.sampled_from((0.0, 30.0, 86_400.0)))
    def record_deleted(self, which: int, ends: float) -> None:
        """The end of an app whose deletion was asked for, and of its tombstone."""
        handle = self.handle(which)
        row = self.pair.twin.rows.get(handle.twin.lease.app_id)
        if row is not None and row.delete_requested_at is not None:
            said = self._progress(AppStatus.DELETED, 2, {"deleted_at": 0.0, "tombstone_until": ends})
            self._record(handle, said)

    @precondition(lambda self: self.has_handles)
    @rule(which=WHICH, project=PROJECTS, held=CREDENTIALS, seq=st.integers(0, 1))
    def record_project(self, which: int, project: str, held: Credentials | None, seq: int) -> None:
        """A project's id, which may stand in another row already."""
        handle, said = self.handle(which), self._progress(AppStatus.PROVISIONING, 0, {})
        effect = RecordProject(
            create_seq=self._seq(handle, seq), project_id=project, org_id="org-1", credentials=held, update=said
        )
        self._write(
            "record_project",
            self.pair.records.record_project(handle.real.lease, handle.real.app, effect),
            lambda: self.pair.twin.record_project(handle.twin.lease, handle.twin.app, effect),
        )

    @precondition(lambda self: self.has_handles)
    @rule(which=WHICH, held=CREDENTIALS)
    def record_credentials(self, which: int, held: Credentials | None) -> None:
        """New URIs, sealed with the key that the pass read at its claim."""
        handle, said = self.handle(which), self._progress(AppStatus.READY, 1, {"connected_at": 0.0})
        row = self.pair.twin.rows.get(handle.twin.lease.app_id)
        # No pass goes on to this once it has recorded the app's end, which takes the key away.
        if held is None or handle.real.app.data_key_sealed is None or (row is not None and row.deleted_at is not None):
            return
        self._write(
            "record_credentials",
            self.pair.records.record_credentials(handle.real.lease, handle.real.app, held, said),
            lambda: self.pair.twin.record(handle.twin.lease, said, held),
        )

    @precondition(lambda self: self.has_handles)
    @rule(which=WHICH, project=PROJECTS, report=st.booleans())
    def drop_surplus(self, which: int, project: str, report: bool) -> None:
        """A candidate for a surplus that was dealt with."""
        handle = self.handle(which)
        self._write(
            "drop_surplus",
            self.pair.records.dismiss_duplicate(handle.real.lease, project, report=report),
            lambda: self.pair.twin.drop_surplus(handle.twin.lease, project, report=report),
        )

    def _record(self, handle: Handle, said: StatusUpdate) -> None:
        self._write(
            "record",
            self.pair.records.record(handle.real.lease, said),
            lambda: self.pair.twin.record(handle.twin.lease, said),
        )

    def _write(self, name: str, real: object, twin: object) -> None:
        self.pair.both(name, real, lambda: self.pair.twin.under_lease(twin))  # type: ignore[arg-type]

    def _progress(
        self, status: AppStatus, generation: int, columns: dict[TimestampColumn, float | None]
    ) -> StatusUpdate:
        now: datetime = self.pair.clock.date
        condition = Condition(
            type=ConditionType.READY,
            status="True" if status == AppStatus.READY else "False",
            reason=Reason.QUEUED,
            message="As the test says.",
            last_transition_time=now,
            observed_generation=generation,
        )
        times = {column: None if after is None else now + timedelta(seconds=after) for column, after in columns.items()}
        return StatusUpdate(
            status, (condition,), generation, times, (Event("First", "One", "1"), Event("Then", "Two", "2"))
        )

    def _seq(self, handle: Handle, back: int) -> int:
        """One of the app's intents, the newest first, or one that is not there."""
        intents = self.pair.twin.intents.get(handle.twin.lease.app_id, [])
        return intents[-1 - back].create_seq if back < len(intents) else 9999

    def _seen(self, claimed: WorkItem) -> tuple[object, ...]:
        lease = Lease(claimed.lease.app_id, self.pair.tokens[claimed.lease.token], claimed.lease.wake_count)
        return (plain(claimed.app), lease, *self._rest(claimed)[1:])

    def _rest(self, claimed: WorkItem) -> tuple[object, ...]:
        held = claimed.attempts, claimed.intents, claimed.confirmed_missing, claimed.duplicate_ids
        return (claimed.lease, claimed.at, *held)
