"""What deployment files promise: an unprivileged read-only image, no default secrets, least permissions, pinned steps.

The steps of the Dockerfile are carried out in ``tests/processes/test_install.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cli.main import _parser
from specs import settings
from specs.settings import (
    NEON_API_URL,
    ApiSettings,
    CatalogSettings,
    ControlPlaneSettings,
    EncryptionSettings,
    ReconcilerSettings,
    TokenSettings,
)
from tests.processes.image import last, stages
from tests.processes.running import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRETS = {"CATALOG_PASSWORD": "pass-word_1", "JWT_SECRET_KEY": "jk" * 21, "ENCRYPTION_KEYS": "dHR0" * 10 + "dHQ"}
NEON = {"NEON_API_KEY": "napi-key"}
LOCAL_NEON = {"NEON_API_KEY": "local", "NEON_API_URL": "http://127.0.0.1:8080/api/v2"}
LOCAL_IMAGES = {"morphik-apps", "morphik-apps-local"}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_REFERENCE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::(?P<kind>[?-])(?P<word>[^}]*))?\}")
_PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40}")


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
    elif isinstance(node, str):
        yield node


def _resolved(text: str, given: dict[str, str]) -> str:
    """The text with its ``${…}`` replaced as Compose does."""

    def value(found: re.Match[str]) -> str:
        default = found["word"] if found["kind"] == "-" else None
        chosen = given.get(found["name"]) or default
        assert chosen is not None, f"{found['name']} has no value"
        return chosen

    return _REFERENCE.sub(value, text)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A process's environment without a setting, in a folder without ``.env``."""
    monkeypatch.chdir(tmp_path)
    for group in vars(settings).values():
        for name in getattr(group, "model_fields", ()):
            monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    """Kubernetes' ``runAsNonRoot`` can check numbers only."""
    _build, final = stages()
    assert last(final, "USER").rest == "10001:10001"
    assert [one.keyword for one in final].index("USER") < [one.keyword for one in final].index("ENTRYPOINT")
    assert last(final, "STOPSIGNAL").rest == "SIGTERM"
    assert "/healthz" in last(final, "HEALTHCHECK").rest


def test_the_image_serves_everybody_by_default() -> None:
    """The default command is one that the command line knows, on all addresses, with the port left to ``PORT``."""
    _build, final = stages()
    assert last(final, "ENTRYPOINT").words == ["morphik-apps"]
    parsed = _parser().parse_args(last(final, "CMD").words)
    assert (parsed.host, parsed.port, parsed.reconcile) == ("0.0.0.0", None, False)  # noqa: S104 - in a container


def test_only_what_is_built_from_goes_to_the_builder() -> None:
    """What ``COPY`` names is let in, and nothing else: no history, no data, no secrets, no tests."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {source for one in stages()[0] if one.keyword == "COPY" for source in one.words[:-1]}
    assert copied == let_in
    assert let_in & {".git", ".venv", ".data", ".env", "tests", "build"} == set()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened(name: str) -> None:
    """Nothing is written, no capability is kept, none is gained, and all share the one network."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name == "network" or service["network_mode"] == "service:network"
    assert not re.search(r"(:latest|^[^:]+/?[^:]*)$", service["image"]) or service["image"] in LOCAL_IMAGES


def test_no_secret_has_a_default() -> None:
    """A variable that is a secret must be given, and the message says where."""
    for text in _texts(COMPOSE):
        for found in _REFERENCE.finditer(text):
            if re.search(r"PASSWORD|KEY", found["name"]):
                assert (found["kind"], found["word"]) == ("?", "set it in .env"), text


@pytest.mark.parametrize("neon", [NEON, LOCAL_NEON], ids=["neon", "local neon"])
def test_the_commands_start_with_what_compose_gives_them(neon: dict[str, str], environment: pytest.MonkeyPatch) -> None:
    """Every variable is a setting, every command has those that it asks for, and the API has no key of Neon."""
    groups: dict[str, tuple[type[settings.Settings], ...]] = {
        "migrate": (CatalogSettings,),
        "api": (CatalogSettings, EncryptionSettings, ControlPlaneSettings, TokenSettings, ApiSettings),
        "daemon": (CatalogSettings, EncryptionSettings, ControlPlaneSettings, ReconcilerSettings),
    }
    for name, used in groups.items():
        given = SERVICES[name]["environment"]
        assert {variable.lower() for variable in given} <= {field for group in used for field in group.model_fields}
        with environment.context() as here:
            for variable, text in given.items():
                here.setenv(variable, _resolved(text, SECRETS | neon))
            loaded = [group.load() for group in used]
        for loop in (group for group in loaded if isinstance(group, ReconcilerSettings)):
            assert loop.neon_api_url == neon.get("NEON_API_URL", NEON_API_URL)
            assert ("127.0.0.1" in loop.host_suffixes) == (neon is LOCAL_NEON)
    assert SERVICES["daemon"]["deploy"]["replicas"] == 2


def test_local_neon_listens_where_the_daemons_are_told_to_look() -> None:
    """The port of the command is the port that the file's head names; only its profile starts it."""
    service = SERVICES["local-neon"]
    parsed = _parser().parse_args(service["command"])
    assert f"NEON_API_URL={LOCAL_NEON['NEON_API_URL']}" in (ROOT / "compose.yaml").read_text()
    assert f":{parsed.port}/" in LOCAL_NEON["NEON_API_URL"]
    assert service["profiles"] == ["local-neon"]
    assert (service["image"], service["build"]) == ("morphik-apps-local", {"context": ".", "args": {"EXTRAS": "local"}})
    assert any(volume.endswith(f":{parsed.data}") for volume in service["volumes"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_least_permissions_and_an_end(path: Path) -> None:
    """None at the top, reading at most below; a limit on time; every action by its commit; no credentials left."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 45
        for step in job["steps"]:
            if "uses" in step:
                assert _PINNED.fullmatch(step["uses"]), step["uses"]
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_the_oldest_supported_python_is_tested() -> None:
    """``requires-python`` and the workflow agree."""
    [oldest] = re.findall(r'requires-python = ">=(.*)"', (ROOT / "pyproject.toml").read_text())
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert oldest in workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
