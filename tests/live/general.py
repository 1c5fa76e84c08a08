"""Transport, errors and retries."""

from __future__ import annotations

from tests.live.context import Live
from tests.live.registry import Finding, Phase, agrees_if, observes

_PROJECT = "/projects/{project_id}"


@observes("request-id-header", Phase.WHOLE)
async def request_id(live: Live) -> Finding:
    """Is the id of a request in the header of its answer?"""
    found = []
    for route in ("/auth", "/nothing/here"):
        answer = await live.raw("GET", route, headers={"X-Request-ID": "live-suite-1"})
        found.append(answer.headers.get("x-request-id"))
    return agrees_if(found == ["live-suite-1"] * 2, f"X-Request-ID of a success and a refusal: {found}")


@observes("unknown-path", Phase.WHOLE)
async def unknown_path(live: Live) -> Finding:
    """How is a path answered that the API does not have?"""
    answer = await live.raw("GET", "/nothing/here")
    return agrees_if(answer.status == 404 and "message" in answer.body, _said(answer.status, answer.body))


@observes("unknown-method", Phase.WHOLE)
async def unknown_method(live: Live) -> Finding:
    """How is a method answered that a path does not have?"""
    answer = await live.raw("PUT", "/auth")
    return agrees_if(answer.status == 405, _said(answer.status, answer.body))


@observes("body-that-is-no-json", Phase.WHOLE)
async def no_json(live: Live) -> Finding:
    """How is a body answered that is not JSON?"""
    answer = await live.raw("POST", "/projects", content=b"<html>", headers={"Content-Type": "application/json"})
    return agrees_if(answer.status == 400, _said(answer.status, answer.body))


@observes("unknown-fields-in-requests", Phase.WHOLE)
async def unknown_field(live: Live) -> Finding:
    """Is a field refused that no document has?"""
    answer = await live.raw("PATCH", _PROJECT, {"project": {"name": live.name, "surprise": 1}})
    await live.settled()
    return agrees_if(answer.status == 400, _said(answer.status, answer.body))


@observes("rejection-changes-nothing", Phase.WHOLE)
async def refusal(live: Live) -> Finding:
    """Does a request with one good and one bad field change anything?"""
    wrong = {"name": live.name + "-x", "default_endpoint_settings": {"suspend_timeout_seconds": 1}}
    answer = await live.raw("PATCH", _PROJECT, {"project": wrong})
    await live.settled()
    project_id = live.made.project.id
    name = (await live.neon(lambda client: client.get_project(project_id))).name
    if name != live.name:
        await live.change("PATCH", _PROJECT, {"project": {"name": live.name}})
    seen = f"{_said(answer.status, answer.body)}; the name {'stayed' if name == live.name else 'changed'}"
    return agrees_if(answer.status >= 400 and name == live.name, seen)


def _said(status: int, body: dict[str, object]) -> str:
    return f"{status} {str(body.get('message', ''))[:100]}".strip()
