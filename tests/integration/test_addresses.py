"""One address, one parser: every command reads what libpq reads, and says in one line what is wrong and where."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from api.cli.main import main
from reconciler.catalog.address import reason_of
from tests.catalogs import execute
from tests.environment import HOSTILE
from tests.postgres import TestServer, own_server

COMPLETE = {
    "DATABASE_URL": "postgresql://u:hidden@127.0.0.1:9/d",
    "ENCRYPTION_KEYS": "dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHQ",
    "JWT_SECRET_KEY": "jk" * 21,
    "NEON_API_KEY": "k",
    "NEON_API_URL": "http://127.0.0.1:9/api/v2",
}
COMMANDS = (
    "migrate",
    "serve",
    "serve --reconcile",
    "reconcile",
    "resume",
    "catalog promote",
    "app confirm-owner a b",
    "dev",
    "doctor",
)
WRONG = {
    "another scheme": "mysql://u:hidden@h/d",
    "a broken escape": "postgresql://u:hid%zzden@h/d",
    "an open bracket": "postgresql://u:hidden@[::",
    "a port that is no number": "postgresql://u:hidden@h:many/d",
    "a port that is too large": "postgresql://u:hidden@h:99999/d",
    "more ports than hosts": "postgresql://u:hidden@h:1,h:2/d?port=1,2,3",
    "an unknown parameter": "host=h hidden=1",
    "a value that libpq refuses": "postgresql://u:p@h/d?sslmode=hidden",
    "a line break": "postgresql://u:hid\nden@h/d",
}
FILES: dict[str, bytes | None] = {
    "UTF-16": "DATABASE_URL=postgresql://u:hidden@h/d\n".encode("utf-16"),
    "UTF-16 without a mark": "DATABASE_URL=postgresql://u:hidden@h/d\n".encode("utf-16-le"),
    "Latin 1": "DATABASE_URL=postgresql://u:hiddenë@h/d\n".encode("latin-1"),
    "a NUL": b"DATABASE_URL=postgresql://u:hid\x00den@h/d\n",
    "an unclosed quote": b'LOG_LEVEL=info\nDATABASE_URL="postgresql://u:hidden@h/d\n',
    "no name": b"hidden value\n",
    "a directory": None,
}
Ran = Callable[..., str]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the commands run, with a complete environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_DIRECT_URL", "JWT_JWKS_URL", "NEON_ORG_ID", "LOG_LEVEL", "LOG_FORMAT", "PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    """What a command that fails says: its one line, or the doctor's one failed check."""

    def run(command: str) -> str:
        assert main(shlex.split(command) + (["--json"] if command == "doctor" else [])) == 1
        printed = capsys.readouterr()
        assert "hidden" not in printed.out + printed.err
        assert "Traceback" not in printed.err
        if command == "doctor":
            failed = [check for check in json.loads(printed.out)["checks"] if check["status"] == "FAILED"]
            return "; ".join(failed[0][part] for part in ("check", "message", "remedy"))
        assert printed.err.count("\n") == 1
        return printed.err

    return run


@pytest.mark.parametrize("setting", ["DATABASE_URL", "DATABASE_DIRECT_URL"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_address_stops_every_command(
    refusal: Ran, monkeypatch: pytest.MonkeyPatch, setting: str, wrong: str
) -> None:
    monkeypatch.setenv(setting, WRONG[wrong])
    for command in COMMANDS:
        assert f"{setting}: " in refusal(command), command


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_cannot_be_read_stops_every_command(
    refusal: Ran, folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content = FILES[kind]
    if content is None:
        (folder / ".env").mkdir()
    else:
        (folder / ".env").write_bytes(content)
    for command in COMMANDS:
        said = refusal(command)
        assert ".env" in said, command
        assert any(remedy in said for remedy in ("save it as UTF-8", "remove it", "close each quote")), said


def test_a_setting_that_is_not_utf8_is_named(refusal: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hidden\udceb@h/d")
    for command in COMMANDS:
        assert "DATABASE_URL is not UTF-8" in refusal(command), command


def test_the_doctor_reports_a_wrong_log_setting(refusal: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "hidden")
    assert "LOG_LEVEL" in refusal("migrate")
    assert "LOG_LEVEL" in refusal("doctor")


@pytest.fixture(scope="module")
def own() -> Iterator[TestServer]:
    """A server with a socket."""
    with own_server() as server:
        yield server


def _forms(server: TestServer, database: str) -> dict[str, str]:
    at = urlsplit(server.url)
    user, socket = f"{at.username}:{at.password}", quote(str(server.data), safe="")
    # To libpq a session is read-write only where default_transaction_read_only is off.
    wanted = "primary" if HOSTILE else "read-write"
    return {
        "two hosts": f"postgresql://{user}@127.0.0.1:9,127.0.0.1:{at.port}/{database}?target_session_attrs={wanted}",
        "a socket": f"postgresql://{user}@{socket}:{at.port}/{database}",
        "the other scheme": f"postgres://{user}@127.0.0.1:{at.port}/{database}",
        "pairs": f"host=127.0.0.1 port={at.port} user={at.username} password={at.password} dbname={database}",
        "white space": f" postgresql://{user}@127.0.0.1:{at.port}/{database}\r\n",
    }


@pytest.mark.parametrize("form", _forms(TestServer("postgresql://u:p@h:1/d", Path("/")), ""))
def test_every_form_of_libpq_is_an_address_for_every_command(
    own: TestServer, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    database = own.create_database()
    monkeypatch.setenv("DATABASE_URL", _forms(own, database)[form])
    assert main(["migrate"]) == 0
    assert main(["resume"]) == 0
    capsys.readouterr()
    main(["doctor", "--json"])
    states = {check["check"]: check["status"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert (states["catalog"], states["migrations"]) == ("ok", "ok")


@pytest.mark.parametrize("setting", ["DATABASE_URL", "DATABASE_DIRECT_URL"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.replace(":for-one-test-session@", ":hidden@"), "the password is wrong"),
        (lambda url: url.replace("//postgres:", "//hidden:"), "the password is wrong"),
        (lambda url: url.rpartition("/")[0] + "/hidden", "the database does not exist"),
        (lambda _: "postgresql://u:hidden@127.0.0.1:9/d", "nothing listens"),
        (lambda _: "postgresql://u:hidden@%2Fnowhere/d", "no socket"),
    ],
)
def test_a_connection_that_cannot_be_made_names_its_setting_and_the_reason(
    own: TestServer,
    refusal: Ran,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    change: Callable[[str], str],
    reason: str,
) -> None:
    monkeypatch.setenv(setting, change(own.url))
    for command in ("migrate", "resume") if setting == "DATABASE_URL" else ("migrate",):
        said = refusal(command)
        assert setting in said
        assert reason in said


def test_a_login_that_may_not_create_tables_is_told_what_to_grant(
    own: TestServer, refusal: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Postgres 15 and newer, where the schema public is its owner's alone."""
    database = own.create_database()
    url = own.dsn(database)
    execute(url, "CREATE ROLE morphik_plain LOGIN PASSWORD 'hidden'")
    execute(url, "SELECT set_config('search_path', quote_ident(current_schema()), false)")
    execute(url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    monkeypatch.setenv(
        "DATABASE_URL",
        own.url.rpartition("/")[0].replace("postgres:for-one-test-session", "morphik_plain:hidden")
        + f"/{database}?options=-c%20search_path%3Dpublic",
    )
    assert "GRANT CREATE ON SCHEMA public TO morphik_plain" in refusal("migrate")
    monkeypatch.setenv("DATABASE_URL", own.url.rpartition("/")[0] + f"/{database}?options=-c%20search_path%3Dnowhere")
    assert "DATABASE_URL: no schema of the login's search_path exists" in refusal("migrate")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('could not translate host name "h" to address: Name or service not known', "the host's name is not known"),
        ("[Errno -2] Name or service not known", "the host's name is not known"),
        ("connection timeout expired", "the host did not answer in time"),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4"', "the server does not let this user in from here"),
        ("FATAL:  sorry, too many clients already", "all its connections are in use"),
        ("SSL error: certificate verify failed", "TLS failed"),
        ("FATAL:  no such database: hidden", "the pooler does not know this user or database"),
        ("FATAL:  das ist hidden", "ValueError"),
    ],
)
def test_a_reason_repeats_nothing_of_the_address(text: str, reason: str) -> None:
    assert reason_of(ValueError(text)) == reason
