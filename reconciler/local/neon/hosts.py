"""Which requests reach local Neon: those that name this machine.

A page of another site whose name was made to resolve to 127.0.0.1 (DNS rebinding) sends its own name in ``Host``.
"""

from __future__ import annotations

import json
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.local.neon.problems import general_error
from specs.settings import LOOPBACK_HOSTS

_HTTP_PORT = 80


class LoopbackHosts:
    """Refuses every request whose ``Host`` is not a name of loopback with the server's port, or whose ``Origin`` is
    another one: 421 and 403.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        refusal = _refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)


def _refusal(scope: Scope) -> Response | None:
    headers, port = Headers(scope=scope), (scope.get("server") or ("", None))[1] or _HTTP_PORT
    allowed = {f"{name}:{port}" for name in LOOPBACK_HOSTS}
    if port == _HTTP_PORT:
        allowed.update(LOOPBACK_HOSTS)
    hosts = [host.lower() for host in headers.getlist("host")]
    if len(hosts) != 1 or hosts[0] not in allowed:
        return _refused(421, f"local Neon is addressed as 127.0.0.1:{port} or localhost:{port} only", headers)
    if any(origin.lower() != f"http://{hosts[0]}" for origin in headers.getlist("origin")):
        return _refused(403, "local Neon answers no page of another origin", headers)
    return None


def _refused(status: int, message: str, headers: Headers) -> Response:
    answer = general_error(status, message, headers.get("x-request-id", "")[:128] or uuid4().hex)
    return Response(json.dumps(answer.body), status, dict(answer.headers), media_type="application/json")
