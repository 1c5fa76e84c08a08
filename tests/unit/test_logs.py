"""Records: what a line holds, what never does, and how often a trouble is said."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import api
from api.cli.logs import LEVELS, JsonFormatter, TextFormatter, configure, redact_credentials
from reconciler.logging import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, RepeatSuppressor, log_context, log_extra
from specs.settings import LogSettings, SettingsError

log = logging.getLogger("tests.said")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where all records go, as JSON; logging is as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LEVELS}
    said = io.StringIO()
    configure(LogSettings.model_construct(log_format="json", log_level="info"), said)
    yield said
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def _record(message: str, *arguments: object, **named: object) -> logging.LogRecord:
    return log.makeRecord(
        log.name, logging.WARNING, __file__, 1, message, arguments, None, extra=log_extra("test.event", **named)
    )


def test_a_line_is_one_json_object(stream: io.StringIO) -> None:
    """Time, level, severity, logger, message and fields; a line break in a message is none in the output."""
    with log_context(reconcile_id="r1", app_id="a1"):
        log.warning(
            "two\nlines of %s", "prose", extra=log_extra("prose.split", project_id="p-1", absent=None, number=2)
        )
    [said] = _lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    assert said == {
        "level": "warning",
        "severity": "WARNING",
        "logger": "tests.said",
        "message": "two\nlines of prose",
        "event": "prose.split",
        "reconcile_id": "r1",
        "app_id": "a1",
        "project_id": "p-1",
        "number": 2,
    }


def test_a_field_takes_nobodys_place(stream: io.StringIO) -> None:
    """Neither the message's nor the severity's; a record's own field goes before the task's."""
    with log_context(app_id="of the task"):
        log.info("said", extra=log_extra("test.event", message="other", severity="none", app_id="own"))
    [said] = _lines(stream)
    assert (said["message"], said["severity"], said["app_id"]) == ("said", "INFO", "own")


def test_log_calls_of_the_product_carry_a_stable_event_key() -> None:
    """Every record has a key of the form ``subject.verb``."""
    root, keys, lacking = Path(api.__file__).parents[1], Counter[object](), []
    for path in (path for package in ("api", "reconciler") for path in sorted((root / package).rglob("*.py"))):
        if "local" in path.relative_to(root).parts:
            continue
        tree = ast.parse(path.read_text())
        names = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function = ast.unparse(call.func)
            if re.fullmatch(r"_?log(ger)?\.(debug|info|warning|error|exception|critical|log)", function):
                if not any(keyword.arg == "extra" for keyword in call.keywords):
                    lacking.append(f"{path.name}:{call.lineno}")
            elif function == "log_extra" or function.endswith(("troubles.report", "issues.report")):
                first = call.args[0]
                values = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
                for value in values if path.name != "logging.py" else []:
                    keys[names[value.id] if isinstance(value, ast.Name) else ast.literal_eval(value)] += 1
    assert lacking == []
    assert [key for key in keys if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", str(key))] == []
    assert len(keys) > 30


def test_a_traceback_is_a_field(stream: io.StringIO) -> None:
    """And what looks like a credential in it is struck out."""
    try:
        int("postgresql://app:secret-word@host/db")
    except ValueError:
        log.exception("failed")
    [said] = _lines(stream)
    assert "Traceback" in said["exception"]
    assert "postgresql://***@host/db" in said["exception"]
    assert "secret-word" not in stream.getvalue()


def test_fields_stay_with_their_task(stream: io.StringIO) -> None:
    """Two at once do not mix, and what a task starts inherits; nothing is left behind."""

    async def one(name: str) -> None:
        with log_context(reconcile_id=name):
            await asyncio.sleep(0)
            await asyncio.create_task(_say(name))
        log.info("after %s", name)

    async def _say(name: str) -> None:
        log.info("in %s", name)

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(both())
    seen = {(said["message"], said.get("reconcile_id")) for said in _lines(stream)}
    assert seen == {("in a", "a"), ("in b", "b"), ("after a", None), ("after b", None)}


def test_text_is_for_people() -> None:
    """One line; values with spaces are quoted."""
    line = TextFormatter().format(_record("app is %s", "ready", app_id="a1", reason="In Sync", empty=""))
    assert re.fullmatch(r'\d\d:\d\d:\d\d WARNING test\.event app is ready app_id=a1 reason="In Sync" empty=""', line)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("morphik://app_x:p%40ss@db.host/app", "morphik://***@db.host/app"),
        ("to POSTGRES://u:p@h", "to POSTGRES://***@h"),
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer ***"),
        ("token eyJhbGciOi.eyJzdWIi.c2ln here", "token *** here"),
        ("token -eyJhbGciOi.eyJzdWIi here", "token -*** here"),
        ("token eyJhbGciOi here", "token *** here"),
        ("the app eyjafjallajoekull", "the app eyjafjallajoekull"),
        ("see https://neon.tech/docs?mail=a@b", "see https://neon.tech/docs?mail=a@b"),
        ("GET /projects/{project_id}: 404", "GET /projects/{project_id}: 404"),
    ],
)
def test_credentials_are_struck_out(text: str, left: str) -> None:
    """In messages and in fields, in both forms; what is none stays."""
    assert redact_credentials(text) == left
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(_record("%s", text, said=text))
        assert line.count(left) == 2


@pytest.mark.parametrize("text", ["morphik://app_x:secret@h", "Bearer secret", "eyJsecret.eyJsecret.c2ln"])
@pytest.mark.parametrize("before", ["\n", "\t", "\r", '"'])
def test_credentials_behind_an_escape_of_json_are_struck_out(text: str, before: str) -> None:
    for formatter in (JsonFormatter(), TextFormatter()):
        assert "secret" not in formatter.format(_record("%s", before + text, said=before + text))


def test_the_format_follows_the_reader(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    """Text on a terminal, else JSON, and whatever is asked for."""

    def chosen(settings: LogSettings, *, terminal: bool) -> str:
        to = io.StringIO()
        monkeypatch.setattr(to, "isatty", lambda: terminal, raising=False)
        configure(settings, to)
        log.info("said")
        return "json" if to.getvalue().startswith("{") else "text"

    unset = LogSettings.model_construct(log_format=None, log_level="info")
    assert [chosen(unset, terminal=terminal) for terminal in (True, False)] == ["text", "json"]
    asked = LogSettings.model_construct(log_format="text", log_level="info")
    assert chosen(asked, terminal=False) == "text"


def test_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In any case of letters; a wrong one is named."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("LOG_FORMAT", "JSON"), ("LOG_LEVEL", "Warning")):
        monkeypatch.setenv(name, value)
    assert (LogSettings.load().log_format, LogSettings.load().log_level) == ("json", "warning")
    for name in ("LOG_FORMAT", "LOG_LEVEL"):
        monkeypatch.setenv(name, "loud")
        with pytest.raises(SettingsError, match=f"^{name}:"):
            LogSettings.load()
        monkeypatch.delenv(name)


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    """A clock that is set by hand."""
    return _Clock()


def test_a_lasting_trouble_is_said_at_growing_intervals(stream: io.StringIO, clock: _Clock) -> None:
    """Once a second for a day: said at the beginning, then at 30 s, 90 s and so on, at last once an hour; nothing is
    forgotten, and its end is said once.
    """
    troubles = RepeatSuppressor(log, clock=clock)
    for second in range(86_400):
        clock.now = float(second)
        troubles.report("catalog", logging.WARNING, f"the catalog is away, try {second}", second=second)
    for _ in range(3):
        troubles.resolve("catalog", "the catalog answers")
    *warnings, end = _lines(stream)
    said_at = [warning["second"] for warning in warnings]
    assert said_at[:4] == [0, 30, 90, 210]
    assert said_at[-1] - said_at[-2] == MAX_PAUSE_SECONDS
    assert len(warnings) < 40
    told = len(warnings) + sum(warning.get("repeated", 0) for warning in warnings)
    assert 86_400 - MAX_PAUSE_SECONDS <= told <= 86_400
    assert (end["level"], end["message"]) == ("info", "the catalog answers")


def test_a_trouble_that_comes_and_goes_does_not_flood(stream: io.StringIO, clock: _Clock) -> None:
    """Each of its two sides is said once until the pause is over; after a pause without it, it is news."""
    troubles = RepeatSuppressor(log, clock=clock)
    for _ in range(100):
        troubles.report("Neon", logging.WARNING, "away")
        troubles.resolve("Neon", "there")
        clock.now += 0.1
    assert [said["message"] for said in _lines(stream)] == ["away", "there"]
    clock.now += 2 * FIRST_PAUSE_SECONDS
    troubles.report("Neon", logging.WARNING, "away")
    assert [said["message"] for said in _lines(stream)] == ["away", "there", "away"]


def test_troubles_are_told_apart(stream: io.StringIO, clock: _Clock) -> None:
    """By name; the end of one that was not there is not said."""
    troubles = RepeatSuppressor(log, clock=clock)
    troubles.resolve("key", "the key is good")
    troubles.report("Neon", logging.WARNING, "away")
    troubles.report("defect", logging.ERROR, "a defect", error=ZeroDivisionError("by nothing"))
    assert [said["message"] for said in _lines(stream)] == ["away", "a defect"]
    assert "ZeroDivisionError: by nothing" in _lines(stream)[1]["exception"]
