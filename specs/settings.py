"""Settings, from the environment or ``.env``. Each command loads only the groups that it uses.

A missing or wrong setting raises ``SettingsError`` whose text is one line that begins with the variable's name.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

ENV_FILE = ".env"
NEON_API_URL = "https://console.neon.tech/api/v2"
# Neon docs, Regions, 2026-04; the deprecated ones are left out.
NEON_REGIONS = (
    "aws-us-east-1",
    "aws-us-east-2",
    "aws-us-west-2",
    "aws-eu-central-1",
    "aws-eu-west-2",
    "aws-ap-southeast-1",
    "aws-ap-southeast-2",
    "aws-sa-east-1",
)
NEON_HOST_SUFFIXES = (".neon.tech",)
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
SEND_MARGIN_SECONDS = 0.5
# Neon docs, API reference, Rate limits: 700 a minute for an account, 40 a second for a route.
NEON_REQUESTS_PER_MINUTE = 700
NEON_BURST_PER_SECOND = 40


class SettingsError(ValueError):
    """A setting is missing or wrong; the text is one line for the operator."""


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _encryption_key(text: SecretStr) -> SecretStr:
    raw = text.get_secret_value()
    try:
        key = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("each key must be base64url") from None
    if len(key) != 32:
        raise ValueError("each key must be 32 bytes, base64url")
    return text


def _api_key(text: SecretStr) -> SecretStr:
    raw = text.get_secret_value()
    if not raw.isascii() or not raw.isprintable() or " " in raw:
        raise ValueError("must be printable ASCII characters without spaces")
    return text


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _checked_url(text: str) -> str:
    if not _has_host(text) or not text.isprintable() or " " in text:
        raise ValueError("must be an address such as https://host/path")
    scheme = urlsplit(text).scheme
    if scheme != "https" and not (scheme == "http" and is_loopback(text)):
        raise ValueError("must start with https:// (http:// is for this machine only)")
    return text


def _api_url(text: str) -> str:
    parts = urlsplit(_checked_url(text))
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must have no user, no ? and no #")
    return text.rstrip("/")


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
EncryptionKey = Annotated[SecretStr, AfterValidator(_encryption_key)]


def check_env_file() -> None:
    """Check that ``.env`` is absent, or UTF-8 text of ``NAME=value`` lines with or without a byte order mark.

    Raises:
        SettingsError: one line that names the file.
    """
    path = Path(ENV_FILE)
    try:
        if path.is_fifo():
            return
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise SettingsError(f"{ENV_FILE} is a directory; replace it by a file, or remove it") from None
    except OSError as error:
        raise SettingsError(f"{ENV_FILE} cannot be read ({error.strerror}); let this user read it") from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SettingsError(f"{ENV_FILE} is not UTF-8 text; save it as UTF-8")
    wrong = next((binding.original.line for binding in parse_stream(StringIO(text)) if binding.error), None)
    if wrong is not None:
        raise SettingsError(f"{ENV_FILE} line {wrong} cannot be read; write NAME=value, and close each quote")


def _stripped(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without surrounding white space; an empty one counts as absent."""
    stripped = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    for name, value in stripped.items():
        # The environment is bytes: Python reads other encodings as lone surrogates, which no protocol can carry.
        if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise SettingsError(f"{name.upper()} is not UTF-8 text; encode it as UTF-8")
    return {name: value for name, value in stripped.items() if value != ""}


class _Environment(EnvSettingsSource):
    def __call__(self) -> dict[str, Any]:
        return _stripped(super().__call__())


class _EnvFile(DotEnvSettingsSource):
    def __call__(self) -> dict[str, Any]:
        return _stripped(super().__call__())


class Settings(BaseSettings):
    """Base of every group: reads the environment, then ``.env``, and strips white space; use ``load``."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, env_file_encoding="utf-8-sig", extra="ignore", frozen=True, env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(  # the name is pydantic-settings'
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced by one that strips
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not used
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of values, by precedence."""
        return init_settings, _Environment(settings_cls), _EnvFile(settings_cls)

    @classmethod
    def explicitly_set(cls) -> set[str]:
        """Return the fields of this group that the environment or ``.env`` names.

        Raises:
            SettingsError: ``.env`` cannot be read.
        """
        check_env_file()
        return {*_Environment(cls)(), *_EnvFile(cls)()}

    @classmethod
    def load(cls, **defaults: Any) -> Self:
        """Return this group; ``defaults`` apply to settings that are not set.

        Raises:
            SettingsError: one line that names the variable, or ``.env``.
        """
        check_env_file()
        explicit = cls.explicitly_set() if defaults else set()
        try:
            return cls(**{field: value for field, value in defaults.items() if field not in explicit})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = str(first["loc"][0]).upper() if first["loc"] else ""
            if first["type"] == "missing":
                raise SettingsError(f"{name} is required; set it in the environment or in .env") from None
            message = str(first["msg"]).removeprefix("Value error, ")
            raise SettingsError(f"{name}: {message}" if name else message) from None


class CatalogSettings(Settings):
    """The catalog's addresses. ``DATABASE_URL`` may be a pooled one; LISTEN and migrations need a direct one.

    libpq must accept the addresses; ``reconciler.catalog.address.load_catalog_settings`` checks that.
    """

    database_url: SecretStr
    database_direct_url: SecretStr | None = None

    @property
    def direct_url(self) -> str:
        """Return the address for LISTEN and migrations."""
        return (self.database_direct_url or self.database_url).get_secret_value()

    @property
    def direct_setting(self) -> str:
        """Return the name of the setting that ``direct_url`` comes from."""
        return "DATABASE_URL" if self.database_direct_url is None else "DATABASE_DIRECT_URL"


class EncryptionSettings(Settings):
    """The keys that wrap the apps' data keys: the first encrypts, all decrypt."""

    encryption_keys: Annotated[tuple[EncryptionKey, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]

    def keys(self) -> tuple[bytes, ...]:
        """Return the keys in order, 32 bytes each."""
        raw = [key.get_secret_value() for key in self.encryption_keys]
        return tuple(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in raw)


class ControlPlaneSettings(Settings):
    """The settings that all processes of one control plane share."""

    control_plane_id: str = Field(default="morphik", pattern=r"^[a-z0-9-]{1,40}$")
    neon_regions: CommaSeparated = NEON_REGIONS
    default_region: str | None = None
    default_pg_version: int = Field(default=17, ge=14, le=19)

    @model_validator(mode="after")
    def _default_is_listed(self) -> Self:
        if self.default_region is not None and self.default_region not in self.neon_regions:
            raise ValueError("DEFAULT_REGION must be one of NEON_REGIONS")
        return self

    @property
    def region(self) -> str:
        """Return the region of an app whose request names none."""
        return self.default_region or self.neon_regions[0]


class EgressSettings(Settings):
    """The route of outgoing requests; a base of every group whose command sends some."""

    egress_proxy_from_environment: bool = False


class NeonSettings(EgressSettings):
    """How to reach Neon, and which database hosts are allowed."""

    neon_api_key: Annotated[SecretStr, AfterValidator(_api_key)] = Field(min_length=1)
    neon_api_url: Annotated[str, AfterValidator(_api_url)] = NEON_API_URL
    neon_org_id: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,60}$")
    neon_host_suffixes: CommaSeparated | None = None
    neon_timeout_seconds: float = Field(default=20, gt=0, le=300)

    @property
    def host_suffixes(self) -> tuple[str, ...]:
        """Return the suffixes of allowed hosts; loopback names only if Neon's API is on a loopback host."""
        listed = self.neon_host_suffixes or NEON_HOST_SUFFIXES
        return (*listed, *LOOPBACK_HOSTS) if is_loopback(self.neon_api_url) else listed


class ReconcilerSettings(NeonSettings):
    """The daemon's timeouts and intervals in seconds, checked against each other, and Neon's rate limits."""

    lease_seconds: float = Field(default=60, gt=0, le=3600)
    settle_seconds: float = Field(default=30, gt=0, le=3600)
    resync_seconds: float = Field(default=300, gt=0, le=86_400)
    neon_requests_per_minute: int = Field(default=NEON_REQUESTS_PER_MINUTE, ge=1)
    neon_burst_per_second: int = Field(default=NEON_BURST_PER_SECOND, ge=1)

    @model_validator(mode="after")
    def _validate_timeouts(self) -> Self:
        if self.neon_timeout_seconds >= self.lease_seconds / 2:
            raise ValueError("NEON_TIMEOUT_SECONDS must be less than half of LEASE_SECONDS")
        if self.settle_seconds <= self.neon_timeout_seconds + SEND_MARGIN_SECONDS:
            raise ValueError("SETTLE_SECONDS must be more than NEON_TIMEOUT_SECONDS + 0.5")
        return self


class TokenSettings(EgressSettings):
    """How tokens are verified: one of the two key sources is required."""

    jwt_secret_key: SecretStr | None = None
    jwt_jwks_url: Annotated[str, AfterValidator(_checked_url)] | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    max_token_seconds: int = Field(default=31 * 86_400, gt=0)

    @model_validator(mode="after")
    def _require_one_key_source(self) -> Self:
        if self.jwt_secret_key is None and self.jwt_jwks_url is None:
            raise ValueError("JWT_SECRET_KEY or JWT_JWKS_URL is required; set one in the environment or in .env")
        if self.jwt_secret_key is not None and self.jwt_jwks_url is not None:
            raise ValueError("JWT_SECRET_KEY and JWT_JWKS_URL exclude each other; unset one")
        if self.jwt_secret_key is not None:
            _check_token_secret(self.jwt_secret_key.get_secret_value())
        return self


def _check_token_secret(secret: str) -> None:
    # RFC 7518, 3.2: a key for HS256 has at least the size of the hash.
    if len(secret.encode(errors="surrogatepass")) < 32:
        raise ValueError("JWT_SECRET_KEY must be at least 32 bytes long; use random ones")
    if len(set(secret)) == 1:
        raise ValueError("JWT_SECRET_KEY repeats one character; use random ones")
    if "-----BEGIN" in secret:
        raise ValueError("JWT_SECRET_KEY is a PEM key; HS256 needs a random secret, JWT_JWKS_URL serves public keys")


class ApiSettings(Settings):
    """The API's port, trusted proxies and limits."""

    port: int = Field(default=8000, ge=1, le=65535)
    max_apps_per_owner: int = Field(default=100, ge=1)
    max_creates_per_owner_per_day: int | None = Field(default=None, ge=1)
    requests_per_minute: int = Field(default=600, ge=1)
    failed_tokens_per_minute: int = Field(default=60, ge=1)
    allowed_hosts: CommaSeparated | None = None
    trusted_proxies: CommaSeparated | None = None
    client_address_header: Annotated[Literal["x-forwarded-for", "forwarded"], BeforeValidator(_lower)] = (
        "x-forwarded-for"
    )

    @property
    def creates_per_owner_per_day(self) -> int:
        """Return the maximum number of apps that an owner creates within 24 hours."""
        return self.max_creates_per_owner_per_day or 2 * self.max_apps_per_owner


class ConnectionSettings(Settings):
    """Limits of every listener: idle seconds, and the number of connections, below the file descriptor limit."""

    keep_alive_seconds: int = Field(default=75, ge=1, le=3600)
    max_connections: int | None = Field(default=None, ge=1)


class MetricsSettings(Settings):
    """The port and the token of ``/metrics``."""

    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_token: Annotated[SecretStr, AfterValidator(_api_key)] | None = Field(default=None, min_length=16)


class LogSettings(Settings):
    """The format and level of log records; without ``LOG_FORMAT``, ``text`` on a terminal and ``json`` elsewhere."""

    log_format: Annotated[Literal["json", "text"], BeforeValidator(_lower)] | None = None
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
