"""What a client may see: the reference for every answer of the API.

The model holds what was acknowledged and what was last seen of each app. It judges an answer and takes in what it
says; an answer that cannot be is a ``Mismatch``. What the reconciler has done by now it cannot know, so of the status
it knows which turns there are.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from specs.settings import NEON_REGIONS
from tests.httpmodel.calls import Answer, Call, Caller

Json = dict[str, Any]
REGION = NEON_REGIONS[0]
FIXED: Json = {
    "pg_version": 17,
    "compute": {"min_cu": 0.25, "max_cu": 2.0, "suspend_seconds": 300},
    "history_retention_seconds": 21_600,
    "quota": {},
}
# What a status can be followed by while the app is wanted; each also by itself.
TURNS: Mapping[str, set[str]] = {
    "pending": {"provisioning", "ready"},
    "provisioning": {"ready"},
    "ready": {"degraded", "lost"},
    "degraded": {"ready", "lost"},
    "lost": set(),
    "deleting": {"deleted"},
    "deleted": set(),
}
CONNECTED = {"ready", "degraded", "lost"}
URIS = ("morphik_uri", "pooled_uri")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CURSOR = re.compile(r"[0-9]{1,16}-[a-z2-7]{24}")


class Mismatch(AssertionError):
    """An answer that a client should never see."""


def must(holds: object, said: str, answer: Answer | None = None) -> None:
    """Raise Mismatch unless it holds."""
    if not holds:
        raise Mismatch(said if answer is None else f"{said}: {answer.status} {answer.text}")


@dataclass
class App:
    """One app, as its owner knows it.

    Attributes:
        last: the newest view of it, without URIs.
        deleting: whether its deletion was acknowledged.
        asked_in: the requests that the history must name: of the create, and of the delete.
        events: the ids of its history, as last seen, newest first.
    """

    app_id: str
    owner: str
    name: str
    region: str
    last: Json
    asked_in: list[str | None]
    deleting: bool = False
    events: list[str] = field(default_factory=list)

    @property
    def generation(self) -> int:
        """How often something was asked for."""
        return 2 if self.deleting else 1

    @property
    def place(self) -> tuple[int, str]:
        """Where it stands in lists."""
        return microseconds(self.last["created_at"]), self.app_id


@dataclass
class Model:
    """All that was acknowledged.

    Attributes:
        most: how many living apps an owner may have.
        uris: every pair of URIs that an app's database ever had.
        destroyed: whether an app's project is gone for ever.
        apps: by id, the oldest first; without those whose tombstone is over.
        keys: by owner and key, the request that it stands for and its app.
        nothing: the one answer for whatever is not the caller's.
    """

    most: int
    uris: Callable[[str], set[tuple[str, str]]]
    destroyed: Callable[[str], bool]
    apps: dict[str, App] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    nothing: Answer | None = None

    def copy(self) -> Model:
        """A model that can be tried out."""
        apps = {each: App(**vars(app)) for each, app in self.apps.items()}
        for app in apps.values():
            app.asked_in, app.events = [*app.asked_in], [*app.events]
        return replace(self, apps=apps, keys=dict(self.keys))

    def of(self, owner: str) -> list[App]:
        """An owner's apps, newest first."""
        return sorted((app for app in self.apps.values() if app.owner == owner), key=lambda a: a.place, reverse=True)

    def end_tombstones(self) -> None:
        """The tombstones of all deleted apps are over, and days before that every key has expired."""
        self.apps = {app_id: app for app_id, app in self.apps.items() if app.last["status"] != "deleted"}
        self.keys.clear()

    def judge(self, call: Call, answer: Answer) -> None:
        """Take in an answer. Raises Mismatch."""
        if self._refused(call, answer):
            return
        match call.method, call.path.split("/")[3:]:
            case "POST", []:
                self._judge_post(call, answer)
            case "GET", []:
                self._judge_list(call, answer)
            case "GET", [_]:
                self._judge_get(call, answer)
            case "DELETE", [_]:
                self._judge_delete(call, answer)
            case "GET", [_, "events"]:
                self._judge_events(call, answer)
            case _:
                raise ValueError(call)

    def _refused(self, call: Call, answer: Answer) -> bool:
        """Whether the door must not let the caller in."""
        if call.caller in {Caller.NOBODY, Caller.EXPIRED}:
            problem(answer, 401, "unauthorized")
            return True
        creates_by_app_token = call.method == "POST" and call.caller is Caller.SCOPED
        powerless = call.caller is Caller.POWERLESS or (call.method != "GET" and not call.caller.may_write)
        if powerless or creates_by_app_token:
            problem(answer, 403, "forbidden")
            return True
        return False

    def _judge_post(self, call: Call, answer: Answer) -> None:
        if call.key is not None and " " in call.key:
            problem(answer, 400, "invalid-idempotency-key")
            return
        if not isinstance(call.body, dict):
            problem(answer, 400, "malformed-body")
            return
        owner, wrong = call.caller.owner, wrong_fields(call.body)
        if wrong:
            found = problem(answer, 422, "invalid-request")
            must({error["field"] for error in found["errors"]} == wrong, f"not {wrong} are named", answer)
            return
        name = unicodedata.normalize("NFC", call.body["app_name"])
        asked = json.dumps([name, call.body.get("region")])
        given = call.body.get("region")
        known = None if call.key is None else self.keys.get((owner, call.key))
        living = [app for app in self.of(owner) if not app.deleting]
        same = next((app for app in living if app.name == name), None)
        if known is not None and known[0] != asked:
            found = problem(answer, 422, "invalid-request")
            must([error["field"] for error in found["errors"]] == ["Idempotency-Key"], "another field", answer)
        elif known is not None:
            self._found(self.apps[known[1]], answer)
        elif same is not None and given is not None and same.region != given:
            found = problem(answer, 409, "name-taken")
            must((found["app_id"], found["fields"]) == (same.app_id, ["region"]), "not what differs", answer)
        elif same is not None:
            self._found(same, answer)
            self._keep_key(call, asked, same.app_id)
        elif given is not None and given not in NEON_REGIONS:
            found = problem(answer, 422, "invalid-request")
            must([error["field"] for error in found["errors"]] == ["region"], "another field", answer)
        elif len(living) >= self.most:
            must(problem(answer, 429, "app-limit-reached")["limit"] == self.most, "another limit", answer)
        else:
            app = self._made(call, answer, name, given or REGION)
            self._keep_key(call, asked, app.app_id)

    def _made(self, call: Call, answer: Answer, name: str, region: str) -> App:
        must(answer.status == 201, "not made", answer)
        view = answer.document
        must(view["app_id"] not in self.apps, "an id twice", answer)
        app = App(view["app_id"], call.caller.owner, name, region, view, [call.request_id])
        must((view["status"], view["observed_generation"]) == ("pending", 0), "a new app is pending", answer)
        must(view["created_at"] == view["updated_at"], "a new app was changed", answer)
        must(answer.headers["location"] == f"/ee/apps/{app.app_id}", "another place", answer)
        self.apps[app.app_id] = app
        self._see(app, answer, view, write=True)
        return app

    def _found(self, app: App, answer: Answer) -> None:
        must(answer.status == 200, "not found again", answer)
        must(answer.headers["location"] == f"/ee/apps/{app.app_id}", "another place", answer)
        self._see(app, answer, answer.document, write=True)

    def _keep_key(self, call: Call, asked: str, app_id: str) -> None:
        if call.key is not None:
            self.keys[call.caller.owner, call.key] = asked, app_id

    def _judge_get(self, call: Call, answer: Answer) -> None:
        app = self._own(call, answer)
        if app is not None:
            must(answer.status == 200, "not shown", answer)
            self._see(app, answer, answer.document, write=call.caller.may_write)

    def _judge_delete(self, call: Call, answer: Answer) -> None:
        app = self._own(call, answer)
        if app is None:
            return
        before, first = app.last, not app.deleting
        if first:
            app.deleting = True
            app.asked_in.append(call.request_id)
            app.last = before | {"status": "deleting"}
        self._see(app, answer, answer.document, write=False)
        must(answer.status == (200 if app.last["status"] == "deleted" else 202), "another status", answer)
        must(not first or app.last["status"] == "deleting", "deleted at once", answer)

    def _judge_events(self, call: Call, answer: Answer) -> None:
        app = self._own(call, answer)
        if app is None:
            return
        must(answer.status == 200, "no history", answer)
        events = answer.document["events"]
        ids = [event["event_id"] for event in events]
        must(sorted(ids, key=int, reverse=True) == ids, "out of order", answer)
        must(ids[len(ids) - len(app.events) :] == app.events, "history was changed", answer)
        app.events = ids
        asked = [event for event in reversed(events) if event["actor"] != "reconciler"]
        wanted = ["Created", "DeleteRequested"] if app.deleting else ["Created"]
        must([event["type"] for event in asked] == wanted, "not what was asked for", answer)
        must({event["actor"] for event in asked} == {app.owner}, "by another", answer)
        named = [event["request_id"] if given else None for event, given in zip(asked, app.asked_in, strict=True)]
        must(named == app.asked_in, "from another request", answer)
        must(events[-1]["type"] == "Created", "something before the create", answer)
        generations = [event["generation"] for event in events]
        must(generations == sorted(generations, reverse=True), "the generation fell", answer)
        must(generations[0] <= app.generation, "a generation that nobody asked for", answer)

    def _own(self, call: Call, answer: Answer) -> App | None:
        """The app, if it is the caller's; else the answer must be the one that everything else gets."""
        app = self.apps.get(call.app_id)
        if app is not None and app.owner == call.caller.owner and call.caller.reaches(app.app_id):
            return app
        problem(answer, 404, "app-not-found")
        if self.nothing is None:
            self.nothing = answer
        must(answer.text == self.nothing.text, "it can be told why there is nothing", answer)
        must(_kinds(answer) == _kinds(self.nothing), "the headers tell why there is nothing", answer)
        return None

    def _judge_list(self, call: Call, answer: Answer) -> None:
        cursor, limit = call.query.get("cursor"), int(call.query.get("limit", "50"))
        if cursor is not None and not CURSOR.fullmatch(cursor):
            found = problem(answer, 422, "invalid-request")
            must([error["field"] for error in found["errors"]] == ["cursor"], "another field", answer)
            return
        must(answer.status == 200, "no list", answer)
        shown, status = answer.document["apps"], call.query.get("status")
        for view in shown:
            app = self.apps.get(view["app_id"])
            must(app is not None and app.owner == call.caller.owner, "another's app", answer)
            assert app is not None
            self._see(app, answer, view, write=None)
        apps = [app for app in self.of(call.caller.owner) if self._listed(app, status, call.query.get("name"))]
        apps = [app for app in apps if call.caller.reaches(app.app_id)]
        if cursor is not None:
            apps = [app for app in apps if app.place < cursor_place(cursor)]
        must([view["app_id"] for view in shown] == [app.app_id for app in apps[:limit]], "not the owner's apps", answer)
        last = shown[-1]["app_id"] if len(apps) > limit else None
        following = answer.document["next_cursor"]
        must((following and following.partition("-")[2]) == last, "another page follows", answer)

    @staticmethod
    def _listed(app: App, status: str | None, name: str | None) -> bool:
        seen = app.last["status"]
        asked = app.name if name is None else unicodedata.normalize("NFC", name)
        return (seen != "deleted" if status is None else seen == status) and asked == app.name

    def _see(self, app: App, answer: Answer, view: Json, *, write: bool | None) -> None:
        """Take in a view of an app; ``write`` is None where a view has no URIs at all."""
        seen = {name: value for name, value in view.items() if name not in URIS}
        owned = {"app_id": app.app_id, "app_name": app.name, "region": app.region, "generation": app.generation}
        for name, value in (FIXED | owned | {"created_at": app.last["created_at"]}).items():
            must(seen[name] == value, f"{name} is not {value}", answer)
        was, status = app.last["status"], seen["status"]
        must(app.deleting == (status in {"deleting", "deleted"}), "wanted or not", answer)
        must(status == was or status in _ways(was), f"no way leads there from {was}", answer)
        must(status != "lost" or self.destroyed(app.app_id), "lost without a reason", answer)
        must(microseconds(seen["updated_at"]) >= microseconds(app.last["updated_at"]), "it became younger", answer)
        must(app.last["observed_generation"] <= seen["observed_generation"] <= app.generation, "observed", answer)
        settled = status in CONNECTED | {"deleted"}
        must(settled == (seen["observed_generation"] == app.generation), "observed too early or too late", answer)
        must(status == "deleted" or seen["recoverable_until"] is None, "recoverable", answer)
        self._see_conditions(app, answer, seen)
        self._see_uris(app, answer, view, write=write)
        if seen["updated_at"] == app.last["updated_at"] and status == was:
            # Only another acknowledged word changes what is said, and it has its time.
            must(seen["observed_generation"] == app.last["observed_generation"], "changed in silence", answer)
        app.last = seen

    def _see_conditions(self, app: App, answer: Answer, seen: Json) -> None:
        said = {each["type"]: each for each in seen["conditions"]}
        kinds = [each["type"] for each in seen["conditions"]]
        must(kinds == sorted(said) and "Ready" in said, "conditions", answer)
        changed_at = microseconds(seen["updated_at"])
        for each in seen["conditions"]:
            must(each["observed_generation"] <= app.generation, "a condition ahead", answer)
            must(microseconds(each["last_transition_time"]) <= changed_at, "a condition from the future", answer)
        must((said["Ready"]["status"] == "True") == (seen["status"] == "ready"), "Ready or not", answer)

    def _see_uris(self, app: App, answer: Answer, view: Json, *, write: bool | None) -> None:
        if write is None:
            must(not set(URIS) & set(view), "URIs in a list", answer)
            return
        shown = view["morphik_uri"], view["pooled_uri"]
        if not write or view["status"] not in CONNECTED:
            must(shown == (None, None), "a URI that must not be seen", answer)
        else:
            must(shown in self.uris(app.app_id), "not the app's URIs", answer)


def problem(answer: Answer, status: int, slug: str) -> Json:
    """The problem that the answer must be."""
    must(answer.status == status, f"not {status} {slug}", answer)
    must(answer.headers["content-type"] == "application/problem+json", "no problem", answer)
    found: Json = answer.document
    must((found["type"], found["status"]) == (f"/problems/{slug}", status), f"not {slug}", answer)
    return found


def wrong_fields(body: Json) -> set[str]:
    """The fields for which a request must be refused."""
    unknown = set(body) - {"app_name", "region"}
    name, region = body.get("app_name"), body.get("region")
    if not isinstance(name, str) or not 0 < len(name) <= 100 or "\n" in name:
        unknown.add("app_name")
    if region is not None and not (isinstance(region, str) and 0 < len(region) <= 60):
        unknown.add("region")
    return unknown


def microseconds(text: str) -> int:
    """A time of a document, since 1970."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def cursor_place(cursor: str) -> tuple[int, str]:
    """The position that a cursor stands for."""
    at, _, app_id = cursor.partition("-")
    return int(at), app_id


def _ways(status: str) -> set[str]:
    """Every status that can be reached."""
    found: set[str] = set()
    ahead = {status}
    while ahead:
        ahead = set().union(*(TURNS[each] for each in ahead)) - found
        found |= ahead
    return found


def _kinds(answer: Answer) -> set[tuple[str, str]]:
    return {(name, value) for name, value in answer.headers.items() if name != "x-request-id"}
