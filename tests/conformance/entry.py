"""``morphik-apps`` as the tests start it where traffic is judged: the same command, overheard."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from api.cli.main import main
from tests.conformance.document import Document
from tests.conformance.hooks import overheard
from tests.conformance.processes import DOCUMENT, FOLDER
from tests.conformance.recording import Writing

if __name__ == "__main__":
    with overheard(Document.load(Path(os.environ[DOCUMENT])), Writing(Path(os.environ[FOLDER])).add):
        sys.exit(main())
