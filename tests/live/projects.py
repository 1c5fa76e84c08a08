"""The key, projects, quotas."""

from __future__ import annotations

from specs.neon import ProjectSettings, ProjectUpdate, Quota
from tests.live.asking import ENDPOINT, PROJECT, refused, said
from tests.live.context import Live, Untold
from tests.live.registry import Finding, Phase, agrees_if, observes

_RECOVER = PROJECT + "/recover"


async def _for_people(live: Live, route: str) -> Finding:
    kind = (await live.neon(lambda client: client.get_auth())).auth_method
    if kind != "api_key_org":
        raise Untold(f"the key is no organization's: {kind}")
    answer = await live.raw("GET", route)
    return agrees_if(answer.status == 404 and "not allowed" in answer.message, said(answer))


@observes("personal-key-routes-404", Phase.WHOLE)
async def people_only(live: Live) -> Finding:
    """How is an organization's key answered that asks who it is?"""
    return await _for_people(live, "/users/me")


@observes("regions-for-personal-keys", Phase.WHOLE)
async def regions(live: Live) -> Finding:
    """May an organization's key list the regions?"""
    return await _for_people(live, "/regions")


@observes("list-out-of-range", Phase.WHOLE)
async def out_of_range(live: Live) -> Finding:
    """How is a limit answered that is too high?"""
    answer = await live.raw("GET", f"/projects?limit=401&org_id={live.org_id}")
    return agrees_if(answer.status == 400, said(answer))


@observes("list-search-case", Phase.WHOLE)
async def search_case(live: Live) -> Finding:
    """Is a project found by its name in capitals?"""
    search = live.app_id.upper()
    listing = await live.neon(lambda client: client.list_all_projects(org_id=live.org_id, search=search))
    return agrees_if(not listing.projects, f"{len(listing.projects)} found in capitals")


@observes("recover-of-living-422", Phase.WHOLE)
async def recover_living(live: Live) -> Finding:
    """How is the recovery of a project answered that is not deleted?"""
    return await refused(live, "POST", _RECOVER, None, 422)


@observes("patch-settings-replaced", Phase.CHANGED)
async def settings(live: Live) -> Finding:
    """Is a part of a quota merged into what is there, or does it replace it?"""
    project_id, allowed = live.made.project.id, {"ips": ["0.0.0.0/0"], "protected_branches_only": False}
    first = {"quota": {"active_time_seconds": 36_000}, "allowed_ips": allowed}
    for part in (first, {"quota": {"logical_size_bytes": 1_000_000_000}}):
        await live.change("PATCH", PROJECT, {"project": {"settings": part}})
    kept = (await live.raw("GET", PROJECT)).body["project"]["settings"]
    lifted = ProjectUpdate(settings=ProjectSettings(quota=Quota()))
    await live.neon(lambda client: client.update_project(project_id, lifted))
    await live.change("PATCH", PROJECT, {"project": {"settings": {"allowed_ips": {"ips": []}}}})
    replaced = not kept.get("quota", {}).get("active_time_seconds")
    stays = kept.get("allowed_ips", {}).get("ips") == allowed["ips"]
    seen = f"the quota is {'replaced' if replaced else 'merged'}, the other settings {'stay' if stays else 'are gone'}"
    return agrees_if(replaced and stays, seen)


@observes("quota-rejects-with-423", Phase.CHANGED)
async def quota(live: Live) -> Finding:
    """How is a start answered when a quota is used up?"""
    project_id, endpoint = live.made.project.id, live.made.endpoints[0].id
    await live.change("PATCH", PROJECT, {"project": {"settings": {"quota": {"active_time_seconds": 1}}}})
    answer = await live.http.post(ENDPOINT.format(**live.ids, endpoint_id=endpoint) + "/start")
    lifted = ProjectUpdate(settings=ProjectSettings(quota=Quota()))
    await live.neon(lambda client: client.update_project(project_id, lifted))
    await live.settled()
    if answer.is_success:
        raise Untold("what was used is not counted yet")
    return agrees_if(answer.status_code == 423 and "quota" in answer.text, f"{answer.status_code}")


@observes("quota-of-size", Phase.CHANGED)
async def quota_of_size(live: Live) -> Finding:
    """Does a compute start whose branch is too large?"""
    project_id, endpoint = live.made.project.id, live.made.endpoints[0].id
    await live.change("PATCH", PROJECT, {"project": {"settings": {"quota": {"logical_size_bytes": 1}}}})
    answer = await live.raw("POST", ENDPOINT + "/start", ids={"endpoint_id": endpoint})
    await live.settled()
    lifted = ProjectUpdate(settings=ProjectSettings(quota=Quota()))
    await live.neon(lambda client: client.update_project(project_id, lifted))
    await live.settled()
    return agrees_if(answer.status == 200, said(answer))


@observes("deleted-returns-404", Phase.DELETED)
async def deleted(live: Live) -> Finding:
    """What does a deleted project answer, and its second deletion?"""
    read, again = await live.raw("GET", PROJECT), await live.raw("DELETE", PROJECT)
    return agrees_if((read.status, again.status) == (404, 404), f"GET {said(read)}; DELETE {said(again)}")


@observes("deleted-leaves-the-list", Phase.DELETED)
async def deleted_is_listed(live: Live) -> Finding:
    """Is a deleted project out of the whole list?"""
    listing = await live.neon(lambda client: client.list_all_projects(org_id=live.org_id))
    there = live.made.project.id in {project.id for project in listing.projects}
    return agrees_if(not there, "still listed" if there else "not listed")


@observes("protected-blocks-delete", Phase.RECOVERED)
async def protected(live: Live) -> Finding:
    """Is a project deleted that has a protected branch?"""
    project_id, branch_id = live.made.project.id, live.made.branch.id
    await live.neon(lambda client: client.update_branch(project_id, branch_id, protected=True))
    await live.settled()
    answer = await live.raw("DELETE", PROJECT)
    await _bring_back(live)
    await live.neon(lambda client: client.update_branch(project_id, branch_id, protected=False))
    await live.settled()
    return agrees_if(answer.status == 422, said(answer))


@observes("recover-waits", Phase.RECOVERED)
async def recover_at_once(live: Live) -> Finding:
    """How is a recovery answered right after the deletion?"""
    project_id = live.made.project.id
    await live.neon(lambda client: client.delete_project(project_id))
    answer = await live.http.post(_RECOVER.format(**live.ids))
    await _bring_back(live)
    return agrees_if(answer.status_code == 423, f"{answer.status_code} right after the deletion")


async def _bring_back(live: Live) -> None:
    """Recover the project if it is deleted, and wait for its operations."""
    if (await live.raw("GET", PROJECT)).status == 404:
        await live.raw("POST", _RECOVER)
    await live.settled()
