"""Log records on stderr: one JSON object a line for machines, a short line for a terminal.

Both formats redact everything that looks like a credential, as a last safeguard.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from reconciler.logging import record_fields
from specs.settings import LogSettings

# Our own records cover what these log at INFO. uvicorn warns of every request that is not HTTP.
LEVELS = {
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "apscheduler": logging.WARNING,
    "yoyo": logging.WARNING,
    "uvicorn.error": logging.ERROR,
}

# The login of a URI, what follows "Bearer", and a JWT, which starts with base64url of '{"'. The JWT need not be whole,
# since a pattern that can fail at its end is tried again from every start. In JSON, a word may follow an escape.
_START = r"(?:\b|(?<=\\[bfnrt]))"
_CREDENTIALS = re.compile(
    rf"(?P<scheme>{_START}[a-z][a-z0-9+.-]{{1,20}}://)[^\s/@\"']+@"
    rf"|(?P<bearer>{_START}Bearer\s+)[\w.~+/=-]+"
    rf"|{_START}(?-i:eyJ)[\w-]+(?:\.[\w-]+)*",
    re.IGNORECASE,
)


def redact_credentials(text: str) -> str:
    """Return the text without what looks like the login of a URI, a bearer token or a JWT."""

    def redacted(match: re.Match[str]) -> str:
        scheme = match["scheme"]
        return f"{scheme}***@" if scheme else f"{match['bearer'] or ''}***"

    return _CREDENTIALS.sub(redacted, text)


class JsonFormatter(logging.Formatter):
    """One JSON object: time (RFC 3339), level, severity (as Google Cloud Logging reads it), logger, message, fields.

    ``event`` is a field. ``exception`` holds a traceback. No field replaces another key.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of one record."""
        reserved: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            reserved["exception"] = self.formatException(record.exc_info)
        document = reserved | {name: value for name, value in record_fields(record).items() if name not in reserved}
        return redact_credentials(json.dumps(document, ensure_ascii=False, default=str))


class TextFormatter(logging.Formatter):
    """Time of day, level, event key, message, ``name=value`` for each field; a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of one record."""
        fields = record_fields(record)
        event = fields.pop("event", None)
        shown = "".join(f" {name}={_plain(value)}" for name, value in fields.items())
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        line = f"{at} {record.levelname:<7} {event or record.name} {record.getMessage()}{shown}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return redact_credentials(line)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or re.search(r'[\s"=]', text) else text


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Write all records to stderr by the settings. Without ``LOG_FORMAT``, a terminal gets text, the rest JSON."""
    stream = sys.stderr if stream is None else stream
    chosen = settings.log_format or ("text" if stream.isatty() else "json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if chosen == "text" else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)
