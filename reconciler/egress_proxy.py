"""Selects the egress proxy of a request: none, or the one of the environment. One rule for all requests.

The environment counts only with ``EGRESS_PROXY_FROM_ENVIRONMENT``. Its variables are those of curl:
``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, read as Python's ``urllib`` reads them.
"""

from __future__ import annotations

from urllib.parse import urlsplit

# typeshed lacks the second name.
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import httpx

from specs.settings import EgressSettings, SettingsError, is_loopback


def egress_proxy(url: str, settings: EgressSettings) -> str | None:
    """Return the proxy for a URL, or None. Loopback is never proxied.

    The result can contain a password: pass it to ``httpx.AsyncClient(proxy=…, trust_env=False)`` only, never to a log.

    Raises:
        SettingsError: the environment names a proxy that is not an ``http://`` or ``https://`` address.
    """
    if not settings.egress_proxy_from_environment or is_loopback(url):
        return None
    return proxy_in_environment(url)


def proxy_in_environment(url: str) -> str | None:
    """Return the environment's proxy for a URL, whether it counts or not. Raises SettingsError as above."""
    target, proxies = urlsplit(url), getproxies_environment()
    scheme = target.scheme if proxies.get(target.scheme) else "all"
    named = proxies.get(scheme, "").strip()
    if not named or proxy_bypass_environment(target.netloc.rpartition("@")[2], proxies):
        return None
    proxy = named if "://" in named else f"http://{named}"
    if not proxy.lower().startswith(("http://", "https://")) or " " in proxy or not host_and_port(proxy):
        raise SettingsError(f"{scheme.upper()}_PROXY: must be an http:// or https:// address")
    return proxy


def host_and_port(proxy: str) -> str:
    """Return a proxy's host and port without its credentials, or an empty string without a host."""
    try:
        httpx.URL(proxy)  # raises what the client would raise
        parts = urlsplit(proxy)
        host, port = parts.hostname or "", parts.port
    except (ValueError, httpx.InvalidURL):
        return ""
    return f"{host}:{port}" if host and port else host
