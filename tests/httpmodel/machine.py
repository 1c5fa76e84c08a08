"""Clients, time, Neon's troubles, people and crashes, in any order; the model judges every answer."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from specs.names import format_project_name
from tests.httpmodel.calls import Answer, Call, Caller
from tests.httpmodel.model import URIS, App, Mismatch, Model, must
from tests.httpmodel.neon import Trouble
from tests.httpmodel.stage import MOST_APPS, Stage

APPS = "/ee/apps"
ABSENT = "z" * 24
TOMBSTONE_SECONDS = 9 * 86_400.0
# So few that their names meet; one of them in two forms.
NAMES = st.sampled_from(["a", "a", "b", "c", "d", "caf\u00e9", "cafe\u0301"])
REGIONS = st.sampled_from([None, None, None, "aws-us-east-1", "aws-eu-central-1"])
KEYS = st.sampled_from([None, None, None, "k1", "k2"])
OWNERS = st.sampled_from([Caller.ALICE, Caller.ALICE, Caller.BOB])
OWNERS_IN_TURN = (Caller.ALICE, Caller.BOB)
CALLERS = st.sampled_from([*Caller, Caller.ALICE, Caller.BOB, Caller.READER])
WHICH = st.integers(0, 9)
WRONG: list[Any] = [
    {},
    {"app_name": ""},
    {"app_name": None},
    {"app_name": "x" * 101},
    {"app_name": "a\nb"},
    {"app_name": ["a"]},
    {"app_name": "a", "region": "mars-1"},
    {"app_name": "a", "region": ""},
    {"app_name": "a", "region": 1},
    *({"app_name": "a", name: value} for name, value in (
        ("project_id", "x"), ("owner_id", "bob"), ("status", "ready"), ("app_id", ABSENT), ("generation", 7),
        ("connection_uri_sealed", "x"), ("delete_requested_at", None), ("pg_version", 14), ("quota", {}),
    )),
    [],
    b"",
    b'{"app_name": "a"',
    b'{"app_name": "a", "app_name": "b"}',
]  # fmt: skip
TROUBLES = st.none() | st.sampled_from(Trouble)
STATUSES = st.sampled_from([None, None, "pending", "ready", "degraded", "deleting", "deleted", "lost"])


class HttpMachine(RuleBasedStateMachine):
    """One example.

    Args:
        stage: on which it takes place.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        stage.begin_again()
        truth = stage.truth
        self.model = Model(MOST_APPS, lambda app_id: truth.ever.get(app_id, set()), truth.destroyed.__contains__)
        self.held: set[str] = set()
        self.requests = self.steps = 0

    # What clients do

    @initialize(caller=OWNERS, name=NAMES, trouble=TROUBLES, ready=st.booleans())
    def first(self, caller: Caller, name: str, trouble: Trouble | None, ready: bool) -> None:
        """Somebody asks for an app, and may have it before Neon misbehaves."""
        self.ask(self.post(caller, name))
        if ready:
            self.stage.rest()
        self.stage.door.trouble = trouble

    @rule(caller=CALLERS, name=NAMES, region=REGIONS, key=KEYS)
    def create(self, caller: Caller, name: str, region: str | None, key: str | None) -> None:
        """POST, with a name that may be there already, and a key that may have been used."""
        self.ask(self.post(caller, name, region, key))

    @rule(caller=OWNERS, body=st.sampled_from(WRONG), key=st.sampled_from([None, "k1", "no key"]))
    def create_wrongly(self, caller: Caller, body: Any, key: str | None) -> None:
        """POST with what no client may set."""
        self.ask(Call(caller, "POST", APPS, body, key))

    @rule(caller=CALLERS | st.none(), which=WHICH)
    def read(self, caller: Caller | None, which: int) -> None:
        """GET an app and its history, whoever's it is, and the history again in pages."""
        path, caller = self.path(which), caller or self.owner(which)
        self.ask(Call(caller, "GET", path))
        whole = self.ask(Call(caller, "GET", f"{path}/events", query={"limit": "200"}))
        if whole.status == 200:
            self.in_pages(caller, f"{path}/events", {}, "events", whole.document["events"])

    @rule(caller=CALLERS | st.none(), which=WHICH)
    def delete(self, caller: Caller | None, which: int) -> None:
        """DELETE an app, whoever's it is, and however often; then its owner looks."""
        self.ask(self.deletion(caller or self.owner(which), which))
        self.ask(Call(self.owner(which), "GET", self.path(which)))

    @rule(caller=CALLERS, status=STATUSES, name=st.none() | NAMES)
    def find(self, caller: Caller, status: str | None, name: str | None) -> None:
        """GET the list by status and name, and again in pages."""
        self.look(Caller.BOB if caller is Caller.BOB else Caller.ALICE)
        query = {} if status is None else {"status": status}
        query |= {} if name is None else {"name": name}
        found = self.ask(Call(caller, "GET", APPS, query=query))
        if found.status == 200:
            self.in_pages(caller, APPS, query, "apps", found.document["apps"])

    @rule(which=WHICH, change=st.sampled_from(["", "", "x", "0", "-"]))
    def find_from(self, which: int, change: str) -> None:
        """GET the list from a cursor that may be another owner's, or nobody's."""
        cursor = f"1-{ABSENT}"
        if self.model.apps:
            app = self.app(which)
            cursor = f"{app.place[0]}-{app.app_id}"
        for caller in (Caller.ALICE, Caller.BOB):
            self.ask(Call(caller, "GET", APPS, query={"cursor": change + cursor}))

    @rule(
        calls=st.lists(
            st.tuples(st.sampled_from(["POST", "POST", "DELETE", "GET"]), OWNERS, NAMES, REGIONS, KEYS, WHICH),
            min_size=1,
            max_size=3,
        ),
        copies=st.integers(0, 2),
        passes=st.integers(0, 2),
        order=st.lists(st.integers(0, 5), max_size=12),
    )
    def at_once(self, calls: list[tuple[Any, ...]], copies: int, passes: int, order: list[int]) -> None:
        """Several requests and passes, whose statements meet in any order: as if one had come after the other."""
        sent = [self.some(*each) for each in calls]
        sent += [sent[0]] * copies if sent[0].method == "POST" and len(sent) == 1 else []
        answers = self.stage.at_once(sent, passes, order)
        for call, answer in zip(sent, answers, strict=True):
            self.check_secrets(call, answer)
        found = []
        for one_after_the_other in permutations(zip(sent, answers, strict=True)):
            model = self.model.copy()
            try:
                for call, answer in one_after_the_other:
                    model.judge(call, answer)
            except Mismatch as mismatch:
                found.append(str(mismatch))
                continue
            self.model = model
            return
        raise Mismatch("no order explains these answers:\n" + "\n".join(found))

    # What happens meanwhile

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 5.0, 31.0, 61.0, 400.0]), passes=st.integers(0, 6))
    def work(self, seconds: float, passes: int) -> None:
        """Time passes, a settle time or a lease, and the daemon works a little."""
        self.stage.clock.pass_by(seconds)
        self.stage.step(passes)

    @rule()
    def sweep(self) -> None:
        """The daemon looks at the whole fleet."""
        self.stage.sweep()

    @rule(trouble=TROUBLES)
    def weather(self, trouble: Trouble | None) -> None:
        """Neon misbehaves from now on, or behaves again."""
        self.stage.door.trouble = trouble

    @rule(requests=st.none() | st.integers(0, 3), after=st.booleans())
    def crash(self, requests: int | None, after: bool) -> None:
        """The daemon is gone, now or in the middle of its work, and another one starts."""
        if requests is None:
            self.stage.start_daemon()
        self.stage.door.crash_in, self.stage.door.crash_after = requests, after

    @precondition(lambda self: self.model.apps)
    @rule(act=st.sampled_from(["rename", "delete", "recover", "delete the compute", "reset the password"]), which=WHICH)
    def person(self, act: str, which: int) -> None:
        """Somebody works in Neon's console."""
        app = self.app(which)
        ended = self.view(app)["status"] == "deleted"
        # So many that vanish at once would stop everything until an operator comes.
        vanished = [each for each in self.model.apps if not self.stage.truth.lives(each)]
        if act == "delete" and len(vanished) >= MOST_APPS:
            return
        if self.stage.truth.person(act, app.app_id):
            if act == "recover" and ended:
                self.held.add(app.app_id)
            if act == "delete":
                self.held.discard(app.app_id)

    @precondition(lambda self: self.model.apps and not self.stage.truth.destroyed)
    @rule(which=WHICH)
    def destroy(self, which: int) -> None:
        """A project goes for ever."""
        app = self.app(which)
        if self.view(app)["status"] == "ready":
            self.stage.truth.destroy(app.app_id)

    @rule()
    def rest(self) -> None:
        """All troubles end: everything is as it was asked for, and then nothing happens any more."""
        stage = self.stage
        stage.door.trouble, stage.door.crash_in = None, None
        stage.clock.pass_by(61.0)
        stage.rest()
        for app in [*self.model.apps.values()]:
            self.check_rest(app, self.view(app))
        sent, written = stage.truth.neon.version, stage.clock.written()
        stage.touch()
        assert stage.truth.neon.version == sent, "something was sent at rest"
        assert stage.clock.written() == written, "something was written at rest"

    @precondition(lambda self: any(app.deleting for app in self.model.apps.values()))
    @rule(swept=st.booleans())
    def days_pass(self, swept: bool) -> None:
        """The tombstones end, before a sweep buries the rows or after."""
        self.rest()
        self.stage.clock.pass_by(TOMBSTONE_SECONDS)
        self.model.end_tombstones()
        if swept:
            self.sweep()

    # What always holds

    @invariant()
    def always(self) -> None:
        """Owners see their own apps and nothing else, no app has two projects, and no record holds a secret."""
        self.steps += 1
        self.look(OWNERS_IN_TURN[self.steps % 2])
        caller = (Caller.ALICE, Caller.READER, Caller.BOB)[self.steps % 3]
        self.ask(Call(caller, "GET", self.path(self.steps // 3)))
        for app_id in self.model.apps:
            made = self.stage.truth.made_for(app_id)
            assert len(made) <= 1, f"{app_id} has {[project.id for project in made]}"
        texts = self.stage.records.texts
        told = [text for text in texts if any(secret in text for secret in self.stage.secrets())]
        texts.clear()
        assert told == []

    def teardown(self) -> None:
        """Every example ends at rest."""
        self.rest()
        for caller in OWNERS_IN_TURN:
            self.look(caller)

    # How it is done

    def look(self, caller: Caller) -> None:
        """Both lists of an owner."""
        for query in ({"status": "deleted"}, {}):
            self.ask(Call(caller, "GET", APPS, query=query))

    def post(self, caller: Caller, name: str, region: str | None = None, key: str | None = None) -> Call:
        """A create."""
        body = {"app_name": name} | ({} if region is None else {"region": region})
        return Call(caller, "POST", APPS, body, key, request_id=self.request_id())

    def deletion(self, caller: Caller, which: int) -> Call:
        """A delete."""
        return Call(caller, "DELETE", self.path(which), request_id=self.request_id())

    def some(self, method: str, caller: Caller, name: str, region: str | None, key: str | None, which: int) -> Call:
        """A request of one of three kinds."""
        match method:
            case "POST":
                return self.post(caller, name, region, key)
            case "DELETE":
                return self.deletion(caller, which)
        return Call(caller, "GET", self.path(which))

    def request_id(self) -> str:
        """The next request's."""
        self.requests += 1
        return f"request-{self.requests}"

    def app(self, which: int) -> App:
        """One of the apps."""
        apps = [*self.model.apps.values()]
        return apps[which % len(apps)]

    def owner(self, which: int) -> Caller:
        """Who owns the app at ``path``; anybody where that is none."""
        app = self.model.apps.get(self.path(which).rpartition("/")[2])
        return Caller.BOB if app is not None and app.owner == "bob" else Caller.ALICE

    def path(self, which: int) -> str:
        """The path of one of the apps, or of none."""
        known = [*self.model.apps, ABSENT]
        return f"{APPS}/{known[which % len(known)]}"

    def ask(self, call: Call) -> Answer:
        """Send a request and judge its answer."""
        answer = self.stage.ask(call)
        self.check_secrets(call, answer)
        self.model.judge(call, answer)
        return answer

    def view(self, app: App) -> Any:
        """An app as its owner sees it."""
        owner = Caller.BOB if app.owner == "bob" else Caller.ALICE
        return self.ask(Call(owner, "GET", f"{APPS}/{app.app_id}")).document

    def in_pages(self, caller: Caller, path: str, query: dict[str, str], name: str, whole: list[Any]) -> None:
        """The same list, two at a time."""
        found: list[Any] = []
        cursor: str | None = None
        while cursor is not None or not found:
            given = query | {"limit": "2"} | ({} if cursor is None else {"cursor": cursor})
            page = self.stage.ask(Call(caller, "GET", path, query=given))
            must(page.status == 200, "no page", page)
            found += page.document[name]
            cursor = page.document["next_cursor"]
            if cursor is None:
                break
        assert found == whole, "the pages are not the whole"

    def check_secrets(self, call: Call, answer: Answer) -> None:
        """An answer holds no secret but the URIs that are meant for its reader."""
        text = answer.text
        if answer.status < 300 and call.caller.may_write and call.method in {"GET", "POST"}:
            for name in URIS:
                text = text.replace(answer.document.get(name) or "\0", "")
        must(not any(secret in text for secret in self.stage.secrets()), "a secret", answer)

    def check_rest(self, app: App, view: Any) -> None:
        """Neon holds what the app's owner was told, and no more."""
        truth = self.stage.truth
        if app.deleting:
            assert view["status"] == "deleted", view
            assert truth.lives(app.app_id) == (app.app_id in self.held), "its project lives or not"
        elif app.app_id in truth.destroyed:
            assert view["status"] == "lost", view
        else:
            assert view["status"] == "ready", view
            assert truth.lives(app.app_id), "it has no project"
            assert (view["morphik_uri"], view["pooled_uri"]) == truth.uris(app.app_id), "its URIs lead elsewhere"
            project = truth.of(app.app_id)
            assert project is not None
            assert project.name == format_project_name(app.name, app.app_id)


def machine_on(stage: Stage) -> type[HttpMachine]:
    """The machine on a stage, as Hypothesis makes it."""

    class OnStage(HttpMachine):
        def __init__(self) -> None:
            super().__init__(stage)

    return OnStage
