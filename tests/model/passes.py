"""The program of passes: the real core, run from its claim again for each new answer, and remembered.

A node is a claim and the answers since; the same claim with the same answers is the same node. What the core asks
for at a node is read once, in the small words of a state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from reconciler.core import effects as e
from reconciler.core.context import ReconcileContext, Result, StatusUpdate
from reconciler.core.ownership import NONCE
from reconciler.core.reconcile import reconcile
from reconciler.errors import CatalogUnavailable, LeaseLost
from specs.neon import Endpoint, RecoverProjectResponse, UpdateProjectResponse
from specs.status import ConditionType as Kind
from specs.status import Reason, find_condition
from tests.model import concrete as c
from tests.model import state as m

Answer: TypeAlias = tuple[Any, ...]
DONE: Answer = ("done",)
CREATE, UPDATE, RECOVER, DELETE = "CreateProject", "UpdateProject", "RecoverProject", "DeleteProject"
VERBS = (CREATE, UPDATE, RECOVER, DELETE)
END = "End"
# What these answer depends on nothing that can change during a pass.
_QUIET = (e.VerifyAccess, e.DecryptCredentials, e.GetConnectionURI, e.ListEndpoints)


class Step(NamedTuple):
    """What a pass does next: the name of its effect, and that of it which matters.

    Attributes:
        shown: what the pass has seen of the project that it deletes: its name, its mark.
    """

    kind: str
    arg: Any = None
    shown: tuple[bool, bool] = (False, False)


class Written(NamedTuple):
    """What a record writes: the saying, and the columns: None where one is left as it is."""

    said: int
    missing: int | None
    connected: bool
    deleted: bool
    sealed: bool


class Claim(NamedTuple):
    """What a claim depends on."""

    row: m.Row
    intents: tuple[m.Intent, ...]
    confirmed: bool
    surplus: tuple[int, ...]


class Program:
    """All passes that were met.

    Attributes:
        steps: what is done at each node.
        sayings: what rows say.
    """

    def __init__(self) -> None:
        self.sayings = c.Sayings()
        self.steps: list[Step] = []
        self._roots: dict[Claim, int] = {}
        self._after: list[dict[Answer, int]] = []
        self._history: list[tuple[Claim, tuple[Answer, ...]]] = []
        self._asks: dict[int, bool] = {}

    def begin(self, claim: Claim) -> int:
        """The first node of a pass."""
        node = self._roots.get(claim)
        if node is None:
            node = self._roots[claim] = self._add(claim, ())
        return node

    def after(self, node: int, answer: Answer) -> int:
        """The node that an answer leads to."""
        found = self._after[node].get(answer)
        if found is None:
            claim, answers = self._history[node]
            found = self._after[node][answer] = self._add(claim, (*answers, answer))
        return found

    def asks_a_person(self, said: int) -> bool:
        """Whether a row that says this asks an operator to look at projects that are not proven."""
        if said not in self._asks:
            synced = find_condition(self.sayings.said(said)[1], Kind.SYNCED)
            self._asks[said] = synced is not None and synced.reason == Reason.OWNERSHIP_UNVERIFIED
        return self._asks[said]

    def _add(self, claim: Claim, answers: tuple[Answer, ...]) -> int:
        self.steps.append(self._run(claim, answers))
        self._after.append({})
        self._history.append((claim, answers))
        return len(self.steps) - 1

    def _run(self, claim: Claim, answers: tuple[Answer, ...]) -> Step:
        work = m.Work(m.FREE, False, False, False, claim.confirmed, claim.surplus)
        snapshot = c.snapshot_of(claim.row, claim.intents, work, self.sayings)
        steps = reconcile(snapshot)
        left = list(reversed(answers))
        named: set[int] = set()
        marked: set[int] = set()
        try:
            effect = next(steps)
            while True:
                if isinstance(effect, _QUIET) and not getattr(effect, "fresh", False):
                    effect = steps.send(_quiet(effect, claim.row))
                elif not left:
                    step = self._step(effect, snapshot, claim)
                    return step._replace(shown=(step.arg in named, step.arg in marked)) if step.kind == DELETE else step
                else:
                    answer = left.pop()
                    if answer[0] == "error":
                        effect = steps.throw(c.error_of(answer[1]))
                    else:
                        if isinstance(effect, e.GetProject) and answer[1].named:
                            named.add(answer[1].number)
                        elif isinstance(effect, e.ListBranches) and answer[1] != m.NONE:
                            marked.add(c.number_of(effect.project_id))
                        effect = steps.send(_value(effect, answer))
        except StopIteration as end:
            outcome: Result = end.value
            return Step(END, outcome.requeue_after is not None)
        except (LeaseLost, CatalogUnavailable):
            return Step(END, True)
        finally:
            steps.close()

    def _step(self, effect: e.Effect[Any], snapshot: ReconcileContext, claim: Claim) -> Step:
        name = type(effect).__name__
        read = _ARGUMENTS.get(type(effect))
        if read is not None:
            return Step(name, read(effect))
        match effect:
            case e.RecordStatus(progress):
                return Step(name, self._written(progress, sealed=False))
            case e.RecordCredentials(credentials, progress):
                same = credentials.has_same_uri(c.credentials_of(claim.row.project))
                return Step(name, (self._written(progress, sealed=True), same))
            case e.RecordProject(create_seq, project_id, _, credentials, progress):
                number = c.number_of(project_id)
                same = credentials is None or credentials.has_same_uri(c.credentials_of(number))
                written = self._written(progress, sealed=credentials is not None)
                return Step(name, (create_seq - 1, number, written, same))
        raise TypeError(f"the model has no word for {effect} of {snapshot}")

    def _written(self, said: StatusUpdate, *, sealed: bool) -> Written:
        number = self.sayings.number(said.status, said.conditions, said.observed_generation)
        missing = None
        if "missing_since" in said.timestamps:
            missing = m.PRESENT if said.timestamps["missing_since"] is None else m.MISSING
        return Written(number, missing, "connected_at" in said.timestamps, "deleted_at" in said.timestamps, sealed)


_ARGUMENTS: dict[type, Callable[[Any], Any]] = {
    e.VerifyAccess: lambda _: None,
    e.ListProjects: lambda s: (m.NONE if s.search == c.APP_ID else c.number_of(s.search), s.recoverable),
    e.GetProject: lambda s: c.number_of(s.project_id),
    e.ListBranches: lambda s: c.number_of(s.project_id),
    e.ListOperations: lambda s: c.number_of(s.project_id),
    e.ProbeDatabase: lambda s: c.number_of(s.uri.get_secret_value().partition(".")[0]),
    e.CreateProject: lambda s: c.number_of(s.spec.branch.annotations[NONCE]),
    e.UpdateProject: lambda s: c.number_of(s.project_id),
    e.RecoverProject: lambda s: c.number_of(s.project_id),
    e.DeleteProject: lambda s: c.number_of(s.project_id),
    e.OpenIntent: lambda s: m.NONE if s.reuse_create_seq is None else s.reuse_create_seq - 1,
    e.AuthorizeMutation: lambda s: s.automatic,
    e.MarkIntentRejected: lambda s: s.create_seq - 1,
    e.RecordAbsence: lambda s: (s.create_seq - 1, s.confirmed),
    e.DismissDuplicate: lambda s: (c.number_of(s.project_id), s.report),
}


def _quiet(effect: e.Effect[Any], row: m.Row) -> Any:
    match effect:
        case e.VerifyAccess():
            return c.ORG
        case e.DecryptCredentials():
            return c.credentials_of(row.project) if row.sealed else None
        case e.ListEndpoints():
            return (Endpoint(id="ep-main", branch_id=c.BRANCH.id, type="read_write"),)
    return c.credentials_of(row.project).connection_uri.text


def _value(effect: e.Effect[Any], answer: Answer) -> Any:
    """The value that an answer stands for."""
    match effect:
        case e.VerifyAccess():
            return c.ORG
        case e.ListProjects():
            return c.listing_of(answer[2], complete=answer[1])
        case e.GetProject():
            return c.project_of(answer[1])
        case e.DeleteProject():
            return c.project_of(answer[1])
        case e.ListBranches():
            return c.branches_of(answer[1])
        case e.ListOperations():
            return ()
        case e.OpenIntent():
            return c.intent_of(answer[1], m.Intent(m.OPEN, False, m.NOT_SEEN))
        case e.CreateProject():
            return c.created(answer[1])
        case e.UpdateProject():
            return UpdateProjectResponse(project=c.project_of(answer[1]))
        case e.RecoverProject():
            return RecoverProjectResponse(project=c.project_of(answer[1]))
    return None
