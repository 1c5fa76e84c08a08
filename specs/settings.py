"""Settings, from the environment or ``.env``. Each command loads only the groups that it uses.

A missing or wrong setting raises ``SettingsError`` whose text is one line that begins with the variable's name.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, NoDecode, SettingsConfigDict

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


def _postgres_url(text: SecretStr) -> SecretStr:
    if not text.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    try:
        _ = urlsplit(text.get_secret_value()).port
    except ValueError:
        raise ValueError("cannot be read as a postgresql:// address") from None
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


def _api_url(text: str) -> str:
    if not (text.startswith("https://") or (text.startswith("http://") and is_loopback(text))):
        raise ValueError("must start with https:// (http:// is for this machine only)")
    return text.rstrip("/")


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
Key = Annotated[SecretStr, AfterValidator(_encryption_key)]
PostgresURL = Annotated[SecretStr, AfterValidator(_postgres_url)]


class Settings(BaseSettings):
    """Base of every group: reads the environment, then ``.env``; ``load`` is the door."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, env_ignore_empty=True
    )

    @classmethod
    def named(cls) -> set[str]:
        """The fields of this group that the environment or ``.env`` names."""
        return {*EnvSettingsSource(cls)(), *DotEnvSettingsSource(cls)()}

    @classmethod
    def load(cls, **absent: Any) -> Self:
        """Read this group; ``absent`` fills in what nobody named.

        Raises:
            SettingsError: one line that names the variable.
        """
        named = cls.named() if absent else set()
        try:
            return cls(**{field: value for field, value in absent.items() if field not in named})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = str(first["loc"][0]).upper() if first["loc"] else ""
            if first["type"] == "missing":
                raise SettingsError(f"{name} is required; set it in the environment or in .env") from None
            message = str(first["msg"]).removeprefix("Value error, ")
            raise SettingsError(f"{name}: {message}" if name else message) from None


class CatalogSettings(Settings):
    """Where the catalog is. A pooled address will do for ``DATABASE_URL``; LISTEN and migrations want a direct one."""

    database_url: PostgresURL
    database_direct_url: PostgresURL | None = None

    @property
    def direct_url(self) -> str:
        """The address for LISTEN and migrations."""
        return (self.database_direct_url or self.database_url).get_secret_value()


class SealSettings(Settings):
    """The keys that wrap the apps' data keys: the first encrypts, all decrypt."""

    encryption_keys: Annotated[tuple[Key, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]

    def keys(self) -> tuple[bytes, ...]:
        """The keys, 32 bytes each, in their order."""
        raw = [key.get_secret_value() for key in self.encryption_keys]
        return tuple(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in raw)


class PlaneSettings(Settings):
    """What every process of one control plane agrees on."""

    control_plane_id: str = Field(default="morphik", pattern=r"^[a-z0-9-]{1,40}$")
    neon_regions: Names = NEON_REGIONS
    default_region: str | None = None
    default_pg_version: int = Field(default=17, ge=14, le=19)

    @model_validator(mode="after")
    def _default_is_listed(self) -> Self:
        if self.default_region is not None and self.default_region not in self.neon_regions:
            raise ValueError("DEFAULT_REGION must be one of NEON_REGIONS")
        return self

    @property
    def region(self) -> str:
        """The region that a request without one gets."""
        return self.default_region or self.neon_regions[0]


class NeonSettings(Settings):
    """How to reach Neon, and which hosts of databases are believed."""

    neon_api_key: Annotated[SecretStr, AfterValidator(_api_key)] = Field(min_length=1)
    neon_api_url: Annotated[str, AfterValidator(_api_url)] = NEON_API_URL
    neon_org_id: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,60}$")
    neon_host_suffixes: Names | None = None
    neon_timeout_seconds: float = Field(default=20, gt=0, le=300)

    @property
    def host_suffixes(self) -> tuple[str, ...]:
        """The endings of believed hosts; this machine's names only when the API is on this machine."""
        listed = self.neon_host_suffixes or NEON_HOST_SUFFIXES
        return (*listed, *LOOPBACK_HOSTS) if is_loopback(self.neon_api_url) else listed


class LoopSettings(NeonSettings):
    """The daemon's own times, in seconds and checked against each other, and how much Neon allows an account."""

    lease_seconds: float = Field(default=60, gt=0, le=3600)
    settle_seconds: float = Field(default=30, gt=0, le=3600)
    resync_seconds: float = Field(default=300, gt=0, le=86_400)
    neon_requests_per_minute: int = Field(default=NEON_REQUESTS_PER_MINUTE, ge=1)
    neon_burst_per_second: int = Field(default=NEON_BURST_PER_SECOND, ge=1)

    @model_validator(mode="after")
    def _figures_agree(self) -> Self:
        if self.neon_timeout_seconds >= self.lease_seconds / 2:
            raise ValueError("NEON_TIMEOUT_SECONDS must be less than half of LEASE_SECONDS")
        if self.settle_seconds <= self.neon_timeout_seconds + SEND_MARGIN_SECONDS:
            raise ValueError("SETTLE_SECONDS must be more than NEON_TIMEOUT_SECONDS + 0.5")
        return self


class TokenSettings(Settings):
    """How tokens are checked: one of the two key sources is required."""

    jwt_secret_key: SecretStr | None = None
    jwt_jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    max_token_seconds: int = Field(default=31 * 86_400, gt=0)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.jwt_secret_key is None and self.jwt_jwks_url is None:
            raise ValueError("JWT_SECRET_KEY or JWT_JWKS_URL is required; set one in the environment or in .env")
        if self.jwt_secret_key is not None and self.jwt_jwks_url is not None:
            raise ValueError("JWT_SECRET_KEY and JWT_JWKS_URL exclude each other; unset one")
        if self.jwt_secret_key is not None and len(self.jwt_secret_key.get_secret_value().encode()) < 16:
            raise ValueError("JWT_SECRET_KEY must be at least 16 bytes long; 32 or more are recommended")
        url = self.jwt_jwks_url
        if url is not None and not (url.startswith("https://") or (url.startswith("http://") and is_loopback(url))):
            raise ValueError("JWT_JWKS_URL must start with https://")
        return self


class HttpSettings(Settings):
    """The API's door and its limits."""

    port: int = Field(default=8000, ge=1, le=65535)
    max_apps_per_owner: int = Field(default=100, ge=1)
    max_creates_per_owner_per_day: int | None = Field(default=None, ge=1)
    requests_per_minute: int = Field(default=600, ge=1)
    failed_tokens_per_minute: int = Field(default=60, ge=1)
    allowed_hosts: Names | None = None
    trusted_proxies: Names | None = None

    @property
    def creates_per_owner_per_day(self) -> int:
        """Most apps that an owner creates within 24 hours."""
        return self.max_creates_per_owner_per_day or 2 * self.max_apps_per_owner


class LogSettings(Settings):
    """How records are written: ``json`` for machines, ``text`` for people; without a word, whichever reads stderr."""

    log_format: Annotated[Literal["json", "text"], BeforeValidator(_lower)] | None = None
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
