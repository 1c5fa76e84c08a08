"""Common tools accept the OpenAPI document, each without an error and without a warning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.described import DESCRIBED

TIMEOUT_SECONDS = 180
CONSUMER = """
import type { components, operations } from "./api";
type Headers = NonNullable<operations["createApp"]["parameters"]["header"]>;
export const headers: Headers = { "Idempotency-Key": "k", Prefer: "wait=30", "X-Request-ID": "r" };
export const body: components["schemas"]["AppRequest"] = { app_name: "notes" };
export const status: components["schemas"]["Problem"]["status"] = 404;
type Conflict = operations["createApp"]["responses"][409]["content"]["application/problem+json"];
export const conflict = (problem: Conflict): string => problem.detail;
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """The file with the document, as the API sends it."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(DESCRIBED))
    return file


def _run(command: list[str], folder: Path, *, path: str | None = None) -> str:
    """The output of a command that must succeed."""
    environment = {
        "PATH": path or os.environ["PATH"],
        "HOME": str(folder),
        "REDOCLY_TELEMETRY": "off",
        "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
    }
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-4000:]
    return ran.stdout


def _node(modules: Path, name: str) -> list[str]:
    return ["node", str((modules / ".bin" / name).resolve())]


def test_redocly_recommended_reports_nothing(openapi_tools: Path, document: Path, tmp_path: Path) -> None:
    command = [*_node(openapi_tools, "redocly"), "lint", "--extends=recommended", "--format=json", document.name]
    report: dict[str, Any] = json.loads(_run(command, tmp_path))
    assert report["problems"] == []
    assert (report["totals"]["errors"], report["totals"]["warnings"]) == (0, 0)


def test_spectral_oas_reports_nothing(openapi_tools: Path, document: Path, tmp_path: Path) -> None:
    (tmp_path / ".spectral.yaml").write_text('extends: ["spectral:oas"]\n')
    command = _node(openapi_tools, "spectral")
    found = _run([*command, "lint", "--fail-severity=hint", "--format=json", "--quiet", document.name], tmp_path)
    assert json.loads(found or "[]") == []


def test_openapi_typescript_types_describe_every_header_and_problem(
    openapi_tools: Path, document: Path, tmp_path: Path
) -> None:
    _run([*_node(openapi_tools, "openapi-typescript"), document.name, "--output=api.ts"], tmp_path)
    (tmp_path / "consumer.ts").write_text(CONSUMER)
    _run([*_node(openapi_tools, "tsc"), "--strict", "--noEmit", "consumer.ts", "api.ts"], tmp_path)


def test_spec_validator_and_yaml_reader_accept_the_document(document: Path) -> None:
    assert yaml.safe_load(document.read_text()) == DESCRIBED
    assert [*OpenAPIV31SpecValidator(DESCRIBED).iter_errors()] == []


def test_openapi_python_client_generates_every_response(document: Path, tmp_path: Path) -> None:
    generate_python_client(document, tmp_path / "generated")
    sources = {file.stem: file.read_text() for file in (tmp_path / "generated" / "api").rglob("*.py")}
    assert "Idempotency-Key" in sources["create_app"]
    for operations in DESCRIBED["paths"].values():
        for operation in operations.values():
            source = sources["".join(f"_{c.lower()}" if c.isupper() else c for c in operation["operationId"])]
            for status in operation["responses"]:
                assert f"status_code == {status}" in source, (operation["operationId"], status)


def generate_python_client(document: Path, folder: Path) -> None:
    """Write the package that openapi-python-client makes of a document; a warning is a failure."""
    programs = Path(sys.executable).parent
    command = [
        str(programs / "openapi-python-client"),
        "generate",
        f"--path={document}",
        f"--output-path={folder}",
        "--meta=none",
        "--fail-on-warning",
    ]
    printed = _run(command, document.parent, path=f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert "warning" not in printed.lower()
