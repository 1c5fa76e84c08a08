"""Checks of the settings alone, without any request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from api.cli.doctor.result import CheckResult, failed, ok, skipped, warning
from reconciler.catalog.address import load_catalog_settings
from reconciler.catalog.encryption import key_id
from reconciler.egress_proxy import egress_proxy, host_and_port, proxy_in_environment
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
    "log settings", "catalog settings", "control plane settings", "encryption keys", "token settings", "HTTP settings",
    "Neon settings",
)  # fmt: skip
S = TypeVar("S", bound=Settings)
_CORRECT = "correct it in the environment or in .env"


@dataclass
class LoadedSettings:
    """The settings that are valid; None for a group that is not valid or absent."""

    catalog: CatalogSettings | None = None
    control_plane: ControlPlaneSettings | None = None
    encryption: EncryptionSettings | None = None
    tokens: TokenSettings | None = None
    loop: ReconcilerSettings | None = None
    results: list[CheckResult] = field(default_factory=list)


def load_settings() -> LoadedSettings:
    """Load each group separately, with a result for each; no group if ``.env`` is not readable."""
    loaded = LoadedSettings()
    try:
        check_env_file()
    except SettingsError as error:
        message, _, remedy = str(error).partition("; ")
        others = (skipped(check, f"{ENV_FILE} cannot be read") for check in CHECKS)
        loaded.results = [failed(ENV_FILE, message, remedy), *others]
        return loaded
    _read(loaded, "log settings", LogSettings.load, _log)
    loaded.catalog = _read(loaded, "catalog settings", load_catalog_settings, _catalog)
    loaded.control_plane = _read(loaded, "control plane settings", ControlPlaneSettings.load, _control_plane)
    loaded.encryption = _read(loaded, "encryption keys", EncryptionSettings.load, _encryption)
    if {"jwt_secret_key", "jwt_jwks_url"} & TokenSettings.explicitly_set():
        loaded.tokens = _read(loaded, "token settings", TokenSettings.load, _tokens)
    else:
        text = "neither JWT_SECRET_KEY nor JWT_JWKS_URL is set; serve needs one"
        loaded.results.append(skipped("token settings", text))
    _read(loaded, "HTTP settings", ApiSettings.load, _http)
    _read(loaded, "metrics settings", MetricsSettings.load, _metrics)
    if "neon_api_key" in ReconcilerSettings.explicitly_set():
        loaded.loop = _read(loaded, "Neon settings", ReconcilerSettings.load, _loop)
    else:
        # The timeouts are checked anyway: a daemon may use the same file.
        absent = skipped("Neon settings", "NEON_API_KEY is not set; reconcile needs it, serve does not")
        _read(loaded, "Neon settings", lambda: ReconcilerSettings.load(neon_api_key="absent"), lambda _: absent)
    loaded.results.append(_egress(loaded))
    return loaded


def _egress(loaded: LoadedSettings) -> CheckResult:
    """Report whether requests to the configured servers use a proxy."""
    targets: list[tuple[str, str, EgressSettings]] = []
    if loaded.loop is not None:
        targets.append(("Neon", loaded.loop.neon_api_url, loaded.loop))
    if loaded.tokens is not None and loaded.tokens.jwt_jwks_url is not None:
        targets.append(("JWKS", loaded.tokens.jwt_jwks_url, loaded.tokens))
    routes = []
    try:
        for name, url, read in targets:
            proxy = egress_proxy(url, read)
            route = "directly" if proxy is None else f"through the proxy {host_and_port(proxy)}"
            ignored = not read.egress_proxy_from_environment and _names_a_proxy(url)
            routes.append(f"{name} {route}" + (" (the environment's proxy is not used)" if ignored else ""))
    except SettingsError as error:
        return failed("egress", str(error), "correct it, or set EGRESS_PROXY_FROM_ENVIRONMENT=false")
    if not routes:
        return skipped("egress", "neither Neon nor JWKS is configured")
    return ok("egress", ", ".join(routes))


def _names_a_proxy(url: str) -> bool:
    """Whether the environment names a proxy for a URL, valid or not."""
    try:
        return proxy_in_environment(url) is not None
    except SettingsError:
        return True


def _read(loaded: LoadedSettings, check: str, load: Callable[[], S], describe: Callable[[S], CheckResult]) -> S | None:
    try:
        read = load()
        loaded.results.append(describe(read))
    except SettingsError as error:
        message, _, remedy = str(error).partition("; ")
        loaded.results.append(failed(check, message, remedy or _CORRECT))
        return None
    return read


def _log(read: LogSettings) -> CheckResult:
    return ok("log settings", f"{read.log_format or 'text for a terminal, else json'}, level {read.log_level}")


def _catalog(read: CatalogSettings) -> CheckResult:
    direct = "one of its own" if read.database_direct_url else "DATABASE_URL's"
    return ok("catalog settings", f"DATABASE_URL is set; the direct address is {direct}")


def _control_plane(read: ControlPlaneSettings) -> CheckResult:
    message = f"control plane {read.control_plane_id}, {len(read.neon_regions)} regions, {read.region} by default"
    return ok("control plane settings", f"{message}, Postgres {read.default_pg_version}")


def _encryption(read: EncryptionSettings) -> CheckResult:
    keys = read.keys()
    ids = [key_id(key) for key in keys]
    if len(set(ids)) < len(ids):
        return warning("encryption keys", f"a key occurs twice ({', '.join(ids)})", "list each key once")
    return ok("encryption keys", f"{ids[0]} encrypts, {', '.join(ids)} decrypt")


def _tokens(read: TokenSettings) -> CheckResult:
    return ok("token settings", "keys from JWT_JWKS_URL" if read.jwt_secret_key is None else "JWT_SECRET_KEY is set")


def _http(read: ApiSettings) -> CheckResult:
    creates = f"{read.creates_per_owner_per_day} creates a day"
    return ok("HTTP settings", f"port {read.port}, {read.max_apps_per_owner} apps an owner, {creates}")


def _metrics(read: MetricsSettings) -> CheckResult:
    where = "on the API's port" if read.metrics_port is None else f"on port {read.metrics_port}"
    return ok("metrics settings", f"{where}, {'without a token' if read.metrics_token is None else 'for a token'}")


def _loop(read: ReconcilerSettings) -> CheckResult:
    rate, burst = read.neon_requests_per_minute, read.neon_burst_per_second
    if rate > NEON_REQUESTS_PER_MINUTE or burst > NEON_BURST_PER_SECOND:
        message = f"NEON_REQUESTS_PER_MINUTE is {rate} and NEON_BURST_PER_SECOND is {burst}"
        documented = f"{NEON_REQUESTS_PER_MINUTE} and {NEON_BURST_PER_SECOND}"
        return warning("Neon settings", message, f"Neon documents {documented}; use more only if Neon agreed to it")
    return ok("Neon settings", f"{read.neon_api_url}, {rate} requests a minute, {burst} a second")
