"""How the traffic of other processes is judged: what they are given, and what they run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

DOCUMENT: Final = "CONFORMANCE_DOCUMENT"
"""The file of Neon's OpenAPI document."""

FOLDER: Final = "CONFORMANCE_FOLDER"
"""Where the processes write down what was judged."""

_TEST: Final = "PYTEST_CURRENT_TEST"


def environment() -> Mapping[str, str]:
    """What a process must be given for its traffic to count, and for whom; nothing where none is judged."""
    return {name: os.environ[name] for name in (DOCUMENT, FOLDER, _TEST) if FOLDER in os.environ and name in os.environ}


def command() -> str:
    """The module that is ``morphik-apps``, with or without ears."""
    return "tests.conformance.entry" if FOLDER in os.environ else "api.cli.main"
