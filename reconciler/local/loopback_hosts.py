"""A guard against DNS rebinding: only requests that name this machine are served.

A page of another site whose name resolves to 127.0.0.1 sends its own name in ``Host``.
"""

from __future__ import annotations

import json
import re
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.local.errors import general_error

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_PORT = re.compile(r":[0-9]{1,5}\Z")


class LoopbackHosts:
    """Rejects a request whose ``Host`` is not a loopback name with 421, one with another ``Origin`` with 403.

    Any port is accepted: a forwarded port differs from the server's, and a page of another site cannot choose
    the host name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        rejection = _rejection(scope) if scope["type"] == "http" else None
        if rejection is None:
            await self._app(scope, receive, send)
        else:
            await rejection(scope, receive, send)


def _rejection(scope: Scope) -> Response | None:
    headers = Headers(scope=scope)
    hosts = [host.lower() for host in headers.getlist("host")]
    if len(hosts) != 1 or _PORT.sub("", hosts[0]) not in LOOPBACK_HOSTS:
        return _rejected(421, f"Send a Host that is one of {', '.join(LOOPBACK_HOSTS)}, with any port", headers)
    if any(origin.lower() != f"http://{hosts[0]}" for origin in headers.getlist("origin")):
        return _rejected(403, "local Neon serves no page of another origin", headers)
    return None


def _rejected(status: int, message: str, headers: Headers) -> Response:
    rendered = general_error(status, message, headers.get("x-request-id", "")[:128] or uuid4().hex)
    return Response(json.dumps(rendered.body), status, dict(rendered.headers), media_type="application/json")
