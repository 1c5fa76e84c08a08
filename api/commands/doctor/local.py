"""Checks of the settings alone: nothing is asked of anybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from api.commands.doctor.line import Line, failed, ok, skipped, warning
from reconciler.catalog.address import load_catalog_settings
from reconciler.catalog.encryption import key_id
from reconciler.egress_proxy import egress_proxy, place_of, proxy_in_environment
from specs.settings import (
    ENV_FILE,
    NEON_BURST_PER_SECOND,
    NEON_REQUESTS_PER_MINUTE,
    ApiSettings,
    CatalogSettings,
    ControlPlaneSettings,
    EgressSettings,
    EncryptionSettings,
    LogSettings,
    MetricsSettings,
    ReconcilerSettings,
    Settings,
    SettingsError,
    TokenSettings,
    check_env_file,
)

CHECKS = (
    "log settings", "catalog settings", "plane settings", "encryption keys", "token settings", "HTTP settings",
    "Neon settings",
)  # fmt: skip
S = TypeVar("S", bound=Settings)
_PUT_RIGHT = "put it right in the environment or in .env"


@dataclass
class Given:
    """The settings that could be read; None for a group that is wrong or absent."""

    catalog: CatalogSettings | None = None
    plane: ControlPlaneSettings | None = None
    seal: EncryptionSettings | None = None
    tokens: TokenSettings | None = None
    loop: ReconcilerSettings | None = None
    lines: list[Line] = field(default_factory=list)


def settings() -> Given:
    """Every group, read by itself, and a line about each; no group where ``.env`` cannot be read."""
    given = Given()
    try:
        check_env_file()
    except SettingsError as error:
        says, _, do = str(error).partition("; ")
        given.lines = [failed(ENV_FILE, says, do), *(skipped(check, f"{ENV_FILE} cannot be read") for check in CHECKS)]
        return given
    _read(given, "log settings", LogSettings.load, _log)
    given.catalog = _read(given, "catalog settings", load_catalog_settings, _catalog)
    given.plane = _read(given, "plane settings", ControlPlaneSettings.load, _plane)
    given.seal = _read(given, "encryption keys", EncryptionSettings.load, _seal)
    if {"jwt_secret_key", "jwt_jwks_url"} & TokenSettings.explicitly_set():
        given.tokens = _read(given, "token settings", TokenSettings.load, _tokens)
    else:
        given.lines.append(skipped("token settings", "neither JWT_SECRET_KEY nor JWT_JWKS_URL is set; serve needs one"))
    _read(given, "HTTP settings", ApiSettings.load, _http)
    _read(given, "metrics settings", MetricsSettings.load, _metrics)
    if "neon_api_key" in ReconcilerSettings.explicitly_set():
        given.loop = _read(given, "Neon settings", ReconcilerSettings.load, _loop)
    else:
        # The figures are looked at all the same: a daemon beside this process may have the same file.
        absent = skipped("Neon settings", "NEON_API_KEY is not set; reconcile needs it, serve does not")
        _read(given, "Neon settings", lambda: ReconcilerSettings.load(neon_api_key="absent"), lambda _: absent)
    given.lines.append(_egress(given))
    return given


def _egress(given: Given) -> Line:
    """Which way the requests of all that is configured leave."""
    targets: list[tuple[str, str, EgressSettings]] = []
    if given.loop is not None:
        targets.append(("Neon", given.loop.neon_api_url, given.loop))
    if given.tokens is not None and given.tokens.jwt_jwks_url is not None:
        targets.append(("JWKS", given.tokens.jwt_jwks_url, given.tokens))
    ways = []
    try:
        for name, url, read in targets:
            proxy = egress_proxy(url, read)
            way = "directly" if proxy is None else f"through the proxy {place_of(proxy)}"
            ignored = not read.egress_proxy_from_environment and _names_a_proxy(url)
            ways.append(f"{name} {way}" + (" (the environment's proxy is not used)" if ignored else ""))
    except SettingsError as error:
        return failed("egress", str(error), "correct it, or set EGRESS_PROXY_FROM_ENVIRONMENT=false")
    if not ways:
        return skipped("egress", "neither Neon nor JWKS is configured")
    return ok("egress", ", ".join(ways))


def _names_a_proxy(url: str) -> bool:
    """Whether the environment names a proxy for a URL, be it one that could be used or not."""
    try:
        return proxy_in_environment(url) is not None
    except SettingsError:
        return True


def _read(given: Given, check: str, load: Callable[[], S], look: Callable[[S], Line]) -> S | None:
    try:
        read = load()
        given.lines.append(look(read))
    except SettingsError as error:
        says, _, do = str(error).partition("; ")
        given.lines.append(failed(check, says, do or _PUT_RIGHT))
        return None
    return read


def _log(read: LogSettings) -> Line:
    return ok("log settings", f"{read.log_format or 'text for a person, else json'}, level {read.log_level}")


def _catalog(read: CatalogSettings) -> Line:
    direct = "one of its own" if read.database_direct_url else "DATABASE_URL's"
    return ok("catalog settings", f"DATABASE_URL is set; the direct address is {direct}")


def _plane(read: ControlPlaneSettings) -> Line:
    says = f"plane {read.control_plane_id}, {len(read.neon_regions)} regions, {read.region} by default"
    return ok("plane settings", f"{says}, Postgres {read.default_pg_version}")


def _seal(read: EncryptionSettings) -> Line:
    keys = read.keys()
    ids = [key_id(key) for key in keys]
    if len(set(ids)) < len(ids):
        return warning("encryption keys", f"a key is named twice ({', '.join(ids)})", "name each key once")
    return ok("encryption keys", f"{ids[0]} encrypts, {', '.join(ids)} decrypt")


def _tokens(read: TokenSettings) -> Line:
    return ok("token settings", "keys from JWT_JWKS_URL" if read.jwt_secret_key is None else "JWT_SECRET_KEY is set")


def _http(read: ApiSettings) -> Line:
    creates = f"{read.creates_per_owner_per_day} creates a day"
    return ok("HTTP settings", f"port {read.port}, {read.max_apps_per_owner} apps an owner, {creates}")


def _metrics(read: MetricsSettings) -> Line:
    where = "on the API's port" if read.metrics_port is None else f"on port {read.metrics_port}"
    return ok("metrics settings", f"{where}, {'without a token' if read.metrics_token is None else 'for a token'}")


def _loop(read: ReconcilerSettings) -> Line:
    asked, burst = read.neon_requests_per_minute, read.neon_burst_per_second
    if asked > NEON_REQUESTS_PER_MINUTE or burst > NEON_BURST_PER_SECOND:
        says = f"NEON_REQUESTS_PER_MINUTE is {asked} and NEON_BURST_PER_SECOND is {burst}"
        documented = f"{NEON_REQUESTS_PER_MINUTE} and {NEON_BURST_PER_SECOND}"
        return warning("Neon settings", says, f"Neon documents {documented}; keep more only if Neon agreed to it")
    return ok("Neon settings", f"{read.neon_api_url}, {asked} requests a minute, {burst} at once")
