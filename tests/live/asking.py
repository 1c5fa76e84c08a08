"""Small ways to put a question: a request that shall be refused, a branch of one's own, what came back in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.live.context import Answer, Json, Live
from tests.live.registry import Finding, agrees_if

BRANCHES = "/projects/{project_id}/branches"
BRANCH = BRANCHES + "/{branch_id}"
ENDPOINTS = "/projects/{project_id}/endpoints"
ENDPOINT = ENDPOINTS + "/{endpoint_id}"
PROJECT = "/projects/{project_id}"
URI = PROJECT + "/connection_uri"


def said(answer: Answer) -> str:
    """An answer in a few words."""
    return f"{answer.status} {answer.message[:100]}".strip()


async def refused(live: Live, method: str, route: str, body: Json | None, status: int, **ids: str) -> Finding:
    """Whether a request is refused with a status; what it started all the same is waited for."""
    answer = await live.raw(method, route, body, ids=ids)
    await live.settled()
    return agrees_if(answer.status == status, said(answer))


async def refused_each(live: Live, requests: Mapping[str, tuple[str, str, Json | None, int]], **ids: str) -> Finding:
    """Whether several requests are refused, each with its status."""
    answers = {}
    for name, (method, route, body, _) in requests.items():
        answers[name] = await live.raw(method, route, body, ids=ids)
        await live.settled()
    words = "; ".join(f"{name}: {said(answer)}" for name, answer in answers.items())
    return agrees_if(all(answers[name].status == status for name, (*_, status) in requests.items()), words)


async def new_branch(live: Live, name: str, *, compute: bool = False, **fields: Any) -> str:
    """The id of a new branch, whose operations are over."""
    endpoints = {"endpoints": [{"type": "read_write"}]} if compute else {}
    made = await live.change("POST", BRANCHES, {"branch": {"name": name, **fields}, **endpoints})
    branch_id: str = made["branch"]["id"]
    return branch_id


async def branch_of(live: Live, branch_id: str) -> Json:
    """A branch's document."""
    answer = await live.raw("GET", BRANCH, ids={"branch_id": branch_id})
    found: Json = answer.body.get("branch", {})
    return found


async def compute_of(live: Live, branch_id: str) -> Json:
    """The compute of a branch."""
    answer = await live.raw("GET", BRANCH + "/endpoints", ids={"branch_id": branch_id})
    found: Json = answer.body["endpoints"][0]
    return found
