"""A missing or wrong setting is one line that names its variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from specs import settings as s

KEY = "A" * 43
GROUPS = (
    s.CatalogSettings,
    s.EncryptionSettings,
    s.ControlPlaneSettings,
    s.NeonSettings,
    s.ReconcilerSettings,
    s.TokenSettings,
    s.ApiSettings,
    s.ConnectionSettings,
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for group in GROUPS:
        for field in group.model_fields:
            monkeypatch.delenv(field.upper(), raising=False)


@pytest.mark.parametrize(
    ("group", "given", "named"),
    [
        (s.CatalogSettings, {}, "DATABASE_URL"),
        (s.EncryptionSettings, {}, "ENCRYPTION_KEYS"),
        (s.EncryptionSettings, {"ENCRYPTION_KEYS": "short"}, "ENCRYPTION_KEYS"),
        (s.EncryptionSettings, {"ENCRYPTION_KEYS": f"{KEY},!!!"}, "ENCRYPTION_KEYS"),
        (s.ControlPlaneSettings, {"DEFAULT_REGION": "mars"}, "DEFAULT_REGION"),
        (s.ControlPlaneSettings, {"DEFAULT_PG_VERSION": "9"}, "DEFAULT_PG_VERSION"),
        (s.ControlPlaneSettings, {"CONTROL_PLANE_ID": "Not ok"}, "CONTROL_PLANE_ID"),
        (s.NeonSettings, {}, "NEON_API_KEY"),
        (s.NeonSettings, {"NEON_API_KEY": "k", "NEON_API_URL": "http://neon.example"}, "NEON_API_URL"),
        (s.NeonSettings, {"NEON_API_KEY": "k", "NEON_API_URL": "https://[neon"}, "NEON_API_URL"),
        (s.NeonSettings, {"NEON_API_KEY": "k", "NEON_API_URL": "https://"}, "NEON_API_URL"),
        (s.NeonSettings, {"NEON_API_KEY": "k", "NEON_API_URL": "https://neon.example/?a=b"}, "NEON_API_URL"),
        (s.NeonSettings, {"NEON_API_KEY": "k", "NEON_API_URL": "https://a:b@neon.example"}, "NEON_API_URL"),
        (s.NeonSettings, {"NEON_API_KEY": "k", "NEON_ORG_ID": "a b"}, "NEON_ORG_ID"),
        (s.ReconcilerSettings, {"NEON_API_KEY": "k", "NEON_TIMEOUT_SECONDS": "30"}, "NEON_TIMEOUT_SECONDS"),
        (s.ReconcilerSettings, {"NEON_API_KEY": "k", "SETTLE_SECONDS": "20.5"}, "SETTLE_SECONDS"),
        (s.ReconcilerSettings, {"NEON_API_KEY": "k", "RESYNC_SECONDS": "0"}, "RESYNC_SECONDS"),
        (s.TokenSettings, {}, "JWT_SECRET_KEY"),
        (s.TokenSettings, {"JWT_SECRET_KEY": "short"}, "JWT_SECRET_KEY"),
        (s.TokenSettings, {"JWT_SECRET_KEY": "ab" * 15 + "c"}, "JWT_SECRET_KEY"),
        (s.TokenSettings, {"JWT_SECRET_KEY": "x" * 64}, "JWT_SECRET_KEY"),
        (s.TokenSettings, {"JWT_SECRET_KEY": "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZI"}, "JWT_SECRET_KEY"),
        (s.TokenSettings, {"JWT_SECRET_KEY": "xy" * 16, "JWT_JWKS_URL": "https://x/y"}, "JWT_SECRET_KEY and JWT"),
        (s.TokenSettings, {"JWT_JWKS_URL": "http://far.example/keys"}, "JWT_JWKS_URL"),
        (s.TokenSettings, {"JWT_JWKS_URL": "https://[far/keys"}, "JWT_JWKS_URL"),
        (s.TokenSettings, {"JWT_JWKS_URL": "https://far.example:port/keys"}, "JWT_JWKS_URL"),
        (s.TokenSettings, {"JWT_JWKS_URL": "https:///keys"}, "JWT_JWKS_URL"),
        (s.ApiSettings, {"PORT": "many"}, "PORT"),
        (s.ApiSettings, {"MAX_APPS_PER_OWNER": "0"}, "MAX_APPS_PER_OWNER"),
        (s.ApiSettings, {"CLIENT_ADDRESS_HEADER": "X-Real-IP"}, "CLIENT_ADDRESS_HEADER"),
        (s.ConnectionSettings, {"KEEP_ALIVE_SECONDS": "0"}, "KEEP_ALIVE_SECONDS"),
        (s.ConnectionSettings, {"MAX_CONNECTIONS": "0"}, "MAX_CONNECTIONS"),
    ],
)
def test_what_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, group: type[s.Settings], given: dict[str, str], named: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(s.SettingsError) as caught:
        group.load()
    assert str(caught.value).startswith(named)
    assert "\n" not in str(caught.value)


def test_secrets_are_in_no_message_or_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEYS", "canary-key")
    with pytest.raises(s.SettingsError) as caught:
        s.EncryptionSettings.load()
    monkeypatch.setenv("NEON_API_KEY", "canary-key")
    assert "canary" not in str(caught.value) + repr(s.NeonSettings.load())


def test_the_environment_goes_before_the_file_and_both_before_what_dev_makes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=1234\nMAX_APPS_PER_OWNER=7\n")
    monkeypatch.setenv("PORT", "4321")
    read = s.ApiSettings.load(port=1, max_apps_per_owner=1, requests_per_minute=1)
    assert (read.port, read.max_apps_per_owner, read.requests_per_minute) == (4321, 7, 1)


def test_an_unset_variable_is_an_absent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    assert s.ApiSettings.load().port == 8000


@pytest.mark.parametrize("where", ["environment", "file"])
def test_white_space_around_any_setting_is_stripped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    """Secrets too; what is nothing else counts as absent."""
    given = {
        "DATABASE_URL": "postgresql://h/d", "ENCRYPTION_KEYS": KEY, "CONTROL_PLANE_ID": "plane", "NEON_API_KEY": "k",
        "JWT_SECRET_KEY": "xy" * 16, "PORT": "4321", "LOG_LEVEL": "debug", "LEASE_SECONDS": "90",
        "DATABASE_DIRECT_URL": "",
    }  # fmt: skip
    if where == "environment":
        for name, value in given.items():
            monkeypatch.setenv(name, f" \t{value}\r\n")
    else:
        text = "".join(f"{name}='\t {value} \n'\n" for name, value in given.items())
        (tmp_path / ".env").write_bytes(b"\xef\xbb\xbf" + text.encode())
    catalog = s.CatalogSettings.load()
    assert (catalog.direct_url, catalog.direct_setting) == ("postgresql://h/d", "DATABASE_URL")
    assert s.EncryptionSettings.load().keys() == (bytes(32),)
    assert s.ControlPlaneSettings.load().control_plane_id == "plane"
    loop = s.ReconcilerSettings.load()
    assert (loop.neon_api_key.get_secret_value(), loop.lease_seconds) == ("k", 90)
    secret = s.TokenSettings.load().jwt_secret_key
    assert secret is not None
    assert secret.get_secret_value() == "xy" * 16
    assert (s.ApiSettings.load(port=1).port, s.LogSettings.load().log_level) == (4321, "debug")


def test_this_machine_is_believed_only_when_neon_is_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEON_API_KEY", "k")
    assert s.NeonSettings.load().host_suffixes == (".neon.tech",)
    monkeypatch.setenv("NEON_API_URL", "http://127.0.0.1:1/api/v2")
    assert "127.0.0.1" in s.NeonSettings.load().host_suffixes
