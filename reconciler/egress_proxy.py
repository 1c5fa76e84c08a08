"""Which way requests leave: directly, or through the proxy that the environment names. One rule for all of them.

The environment counts only where ``EGRESS_PROXY_FROM_ENVIRONMENT`` is on. Its variables are those of curl:
``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, read as Python's ``urllib`` reads them.
"""

from __future__ import annotations

from urllib.parse import urlsplit

# typeshed lacks the second name.
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import httpx

from specs.settings import EgressSettings, SettingsError, is_loopback


def egress_proxy(url: str, settings: EgressSettings) -> str | None:
    """Return the proxy through which a URL is requested, None for none. This machine is always reached directly.

    The result can hold a password: it is for ``httpx.AsyncClient(proxy=…, trust_env=False)`` and for no record.

    Raises:
        SettingsError: the environment names a proxy that is not an ``http://`` or ``https://`` address.
    """
    if not settings.egress_proxy_from_environment or is_loopback(url):
        return None
    return proxy_in_environment(url)


def proxy_in_environment(url: str) -> str | None:
    """Return what the environment names for a URL, whether it counts or not. Raises SettingsError as above."""
    target, proxies = urlsplit(url), getproxies_environment()
    scheme = target.scheme if proxies.get(target.scheme) else "all"
    named = proxies.get(scheme, "").strip()
    if not named or proxy_bypass_environment(target.netloc.rpartition("@")[2], proxies):
        return None
    proxy = named if "://" in named else f"http://{named}"
    if not proxy.lower().startswith(("http://", "https://")) or " " in proxy or not place_of(proxy):
        raise SettingsError(f"{scheme.upper()}_PROXY: must be an http:// or https:// address")
    return proxy


def place_of(proxy: str) -> str:
    """Return a proxy's host and port without its credentials, empty for an address that has none."""
    try:
        httpx.URL(proxy)  # refuses what the client of it would refuse
        parts = urlsplit(proxy)
        host, port = parts.hostname or "", parts.port
    except (ValueError, httpx.InvalidURL):
        return ""
    return f"{host}:{port}" if host and port else host
