"""Print the table of behaviors as Markdown, or write it to a document below its heading ``## Behaviors``.

python -m reconciler.local.behaviors [DOCUMENT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from reconciler.local.behaviors import topics
from reconciler.local.behaviors.text import HEADING, render_markdown


def main(arguments: list[str]) -> None:
    """Print the table, or replace it in the document that the first argument names."""
    table = render_markdown(topics())
    if not arguments:
        sys.stdout.write(table)
        return
    document = Path(arguments[0])
    head, _, _ = document.read_text(encoding="utf-8").partition(HEADING)
    document.write_text(head + HEADING + table, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
