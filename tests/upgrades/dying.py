"""``migrate``, killed before each of its statements in turn, and after its commit.

Run as ``python -m tests.upgrades.dying migrate`` over ``DATABASE_URL``; a line for each death says at what it died and
what the schema was then, and the last line what it is in the end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import psycopg

from reconciler.catalog.migrate import migrate
from tests.upgrades.schemas import shape_of

MOST = 500


def _arm(number: int, mark: int) -> None:
    """Have this process kill itself before its statement of that number, and write to ``mark`` which one that was.

    The moment after a commit counts as well.
    """
    done = 0

    def reached(what: str) -> None:
        nonlocal done
        done += 1
        if done == number:
            os.write(mark, what.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    execute = psycopg.Cursor.execute

    def counted(cursor: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        statement = " ".join(str(query).split())[:60]
        reached(statement)
        answer = execute(cursor, query, *arguments, **named)
        if statement == "COMMIT":
            reached("after COMMIT")
        return answer

    setattr(psycopg.Cursor, "execute", counted)  # noqa: B010 - it is no method of ours


def _die(url: str, number: int) -> str:
    """What a ``migrate`` died at; empty where it came to its end before."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _arm(number, write)
        migrate(url)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        what = told.read()
    os.waitpid(pid, 0)
    return what


def main() -> None:
    """Die at every point, until one is not reached."""
    url = os.environ["DATABASE_URL"]
    for number in range(1, MOST):
        died_at = _die(url, number)
        sys.stdout.write(json.dumps({"died_at": died_at, "shape": shape_of(url)}) + "\n")
        if not died_at:
            return
    raise RuntimeError(f"more than {MOST} statements")


if __name__ == "__main__":
    main()
