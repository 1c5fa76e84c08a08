"""``/metrics``: how often its text is made, on which port it is, and for whom."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr

from api import metrics
from api.metrics import MetricsEndpoint
from specs.settings import MetricsSettings
from tests.catalogs import opened
from tests.integration.api_client import api_context, client_over

SHARED_TOKEN = "metrics-token-of-a-test"


def test_a_text_is_rendered_once_a_second_however_many_ask(catalog_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty scrapes at once share one rendering, away from the event loop; one that hangs up ends it for none."""
    threads: list[int] = []

    def counted(registry: Any) -> bytes:
        threads.append(threading.get_ident())
        return generate_latest(registry)

    monkeypatch.setattr(metrics, "generate_latest", counted)

    async def scenario() -> None:
        clock = [100.0]
        async with opened(catalog_url) as database:
            settings = MetricsSettings()
            exposition = MetricsEndpoint(CollectorRegistry(), database, settings, clock=lambda: clock[0])
            transport = httpx.ASGITransport(metrics.create_metrics_app(exposition, database))
            async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
                first = asyncio.create_task(client.get("/metrics"))
                await asyncio.sleep(0)
                scrapes = [asyncio.create_task(client.get("/metrics")) for _ in range(30)]
                first.cancel()
                answers = await asyncio.gather(*scrapes)
                assert len({answer.content for answer in answers}) == len(threads) == 1
                clock[0] += 0.9
                await client.get("/metrics")
                assert (await client.get("http://api.test/%6detrics")).status_code == 404
                assert len(threads) == 1
                clock[0] += 0.2
                await asyncio.gather(*(client.get("/metrics") for _ in range(30)))
                assert len(threads) == 2
            await exposition.close()
        assert threading.get_ident() not in threads

    asyncio.run(scenario())


def test_with_a_port_of_their_own_metrics_are_not_on_the_apis(catalog_url: str) -> None:
    context = replace(api_context(catalog_url), metrics=MetricsSettings(metrics_port=9100))
    with client_over(context) as client:
        assert client.anonymous("GET", "/metrics").status_code == 404


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer", 401),
        ("Bearer wrong-token-of-a-test", 401),
        (f"Basic {SHARED_TOKEN}", 401),
        (f"Bearer {SHARED_TOKEN}x", 401),
        ("Bearer \u00e9", 401),
        (f"bearer {SHARED_TOKEN}", 200),
    ],
)
def test_with_a_token_metrics_are_for_those_who_have_it(catalog_url: str, header: str | None, status: int) -> None:
    given = MetricsSettings(metrics_token=SecretStr(SHARED_TOKEN))
    with client_over(replace(api_context(catalog_url), metrics=given)) as client:
        headers = {} if header is None else {"Authorization": header.encode()}
        answer = client.anonymous("GET", "/metrics", headers=headers)
        assert answer.status_code == status
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        assert client.anonymous("GET", "/healthz").status_code == 200
