"""Accepting connections while there are no descriptors for them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import Any

import pytest

from api.connections.acceptor import Acceptor
from api.connections.pool import Connections


class _Exhausted(socket.socket):
    """A listener for which there are no descriptors until ``failures`` are used up."""

    failures = 20

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_failing_accept_is_logged_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        listener = _Exhausted()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        accepted = asyncio.Event()

        class _Accepted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.set()
                transport.close()

        acceptor = Acceptor(listener, Connections(), _Accepted)
        acceptor.start()
        _, writer = await asyncio.open_connection(*listener.getsockname())
        await accepted.wait()
        writer.close()
        await acceptor.stop()
        listener.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert [record.getMessage() for record in caplog.records if record.name.startswith("api.")] == [
        "accept failed: Too many open files."
    ]
