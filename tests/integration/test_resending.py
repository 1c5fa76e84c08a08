"""What the client sends again by itself, over real sockets, and the pauses that it makes."""

from __future__ import annotations

import pytest

from reconciler import errors
from reconciler.neon.client import NeonClient
from reconciler.neon.retry import MAX_RETRIES, NoGate
from specs import neon
from tests.integration.loopback import Peer, Script, Use, project, run


class Pauses:
    """Instead of ``asyncio.sleep``: nobody waits, and it is known how long they would have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """The client's pauses."""
    made = Pauses()
    monkeypatch.setattr("reconciler.neon.client.asyncio", made)
    return made


def _saying(*statuses: int | None, headers: str = "") -> Script:
    """Answers with these one after another, then well; None ends the connection after the request."""
    left = iter(statuses)

    async def script(peer: Peer) -> None:
        while await peer.request() is not None:
            status = next(left, 200)
            if status is None:
                peer.reset()
                return
            body = {"project": project("p-1"), "branches": []} if status == 200 else {"message": "no", "code": ""}
            await peer.answer(status, body, headers if status != 200 else "")

    return script


async def _get(client: NeonClient) -> object:
    return await client.get_project("p-1")


async def _change(client: NeonClient) -> object:
    return await client.update_project("p-1", neon.ProjectUpdate(name="n"))


async def _recover(client: NeonClient) -> object:
    return await client.recover_project("p-1")


@pytest.mark.parametrize("use", [_get, _change, _recover])
def test_what_neon_did_not_do_is_sent_again(use: Use, pauses: Pauses) -> None:
    """503, 423 and 429, one after another, and then the answer."""
    result, server, seen = run(_saying(503, 423, 429), use, gate=NoGate())
    assert not isinstance(result, errors.NeonAPIError)
    assert [status for _, status in seen] == [503, 423, 429, 200]
    assert len(set(server.requests)) == 1
    assert len(pauses.seconds) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500, 502, 504, 524])
@pytest.mark.parametrize("use", [_get, _change, _recover])
def test_every_other_answer_goes_back_to_the_loop(use: Use, status: int, pauses: Pauses) -> None:
    result, _, seen = run(_saying(status), use, gate=NoGate())
    assert isinstance(result, errors.NeonAPIError)
    assert [each for _, each in seen] == [status]
    assert not pauses.seconds


def test_an_intermediary_is_asked_again_and_slows_all_down_where_it_says_so(pauses: Pauses) -> None:
    """But not with a change, which it may have passed on."""

    class Told(NoGate):
        asked: float | None = None

        async def on_rate_limited(self, retry_after: float | None) -> None:
            self.asked = retry_after

    def script() -> Script:
        statuses = iter([502, 429])

        async def html_first(peer: Peer) -> None:
            while await peer.request() is not None:
                status = next(statuses, 200)
                body: object = {"project": project("p-1")} if status == 200 else b"<html>"
                await peer.answer(status, body, "Retry-After: 2\r\n")

        return html_first

    gate = Told()
    result, _, seen = run(script(), _get, gate=gate)
    assert isinstance(result, neon.Project)
    assert ([status for _, status in seen], gate.asked) == ([502, 429, 200], 2)
    result, _, seen = run(script(), _change, gate=NoGate())
    assert isinstance(result, errors.NeonIntermediaryError)
    assert [status for _, status in seen] == [502]


def test_a_lost_answer_is_asked_for_again_and_a_lost_change_is_not(pauses: Pauses) -> None:
    result, _, seen = run(_saying(None), _get, gate=NoGate())
    assert isinstance(result, neon.Project)
    assert [status for _, status in seen] == [None, 200]
    result, _, seen = run(_saying(None), _change, gate=NoGate())
    assert isinstance(result, errors.NeonOutcomeUnknown)
    assert [status for _, status in seen] == [None]


def test_neon_is_not_asked_before_the_time_that_it_named(pauses: Pauses) -> None:
    """Nor is the time shortened to what the client would wait at most: then it is the loop's to wait."""
    result, _, _ = run(_saying(429, 503, headers="Retry-After: 3\r\n"), _get, gate=NoGate())
    assert isinstance(result, neon.Project)
    assert all(seconds >= 3 for seconds in pauses.seconds)
    result, _, seen = run(_saying(429, headers="Retry-After: 3600\r\n"), _get, gate=NoGate())
    assert isinstance(result, errors.NeonRateLimited)
    assert result.retry_after == 3600
    assert len(seen) == 1


def test_it_ends(pauses: Pauses) -> None:
    result, _, seen = run(_saying(*[503] * 50), _get, gate=NoGate())
    assert isinstance(result, errors.NeonUnavailable)
    assert len(seen) == MAX_RETRIES + 1


def test_each_try_passes_the_gate(pauses: Pauses) -> None:
    """One that is closed meanwhile ends the tries."""

    class Closing(NoGate):
        passed = 0

        async def acquire(self, _request: object) -> None:
            self.passed += 1
            if self.passed == 3:
                raise errors.RateLimitExhausted("resync")

    async def use(client: NeonClient) -> None:
        with pytest.raises(errors.RateLimitExhausted):
            await client.get_project("p-1")

    _, _, seen = run(_saying(503, 503, 503), use, gate=Closing())
    assert len(seen) == 2
