"""The socket that is served on."""

from __future__ import annotations

import asyncio
import socket

import pytest

from api.cli.process import PortInUse, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_answer_does_not_wait_for_the_client_to_acknowledge_its_head(host: str) -> None:
    """Nagle's algorithm is off on every connection, or an answer in two writes takes 40 ms."""
    accepted: list[int] = []

    async def look(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken: socket.socket = writer.get_extra_info("socket")
        accepted.append(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def run(listener: socket.socket) -> None:
        async with await asyncio.start_server(look, sock=listener):
            reader, writer = await asyncio.open_connection(host, listener.getsockname()[1])
            await reader.read()
            writer.close()

    try:
        listener = listen(host, 0)
    except PortInUse as error:
        pytest.skip(f"this machine has no {host}: {error}")
    asyncio.run(run(listener))
    assert accepted == [1]


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} .* choose another port"):
            listen("127.0.0.1", port)
