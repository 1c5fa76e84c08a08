"""A real process whose wall clock is set while it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.processes.clients import api_of, connects, for_psql, rows
from tests.processes.running import Stage, until

# Less than the life of a token, which counts by the API's clock.
SECONDS = 1800


def _faketime() -> str:
    """The library that sets a process's wall clock (Debian's package faketime)."""
    found = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
    required = os.environ.get("REQUIRE_FAKETIME") or os.environ.get("CI")
    assert found or not required, "faketime is not installed, and REQUIRE_FAKETIME or CI is set"
    if not found:
        pytest.skip("faketime is not installed")
    return str(found[0])


@pytest.mark.parametrize("wrong", [SECONDS, -SECONDS])
def test_a_process_whose_clock_is_set_resyncs_and_serves_as_before(stage: Stage, wrong: int) -> None:
    """``serve --reconcile`` starts with a wrong clock that is corrected while it runs, as after a boot."""
    clock = stage.folder / "clock"
    clock.write_text(f"{wrong:+d}")
    stage.local_neon()
    serving = stage.start(
        "serve", "--port", "0", "--reconcile",
        LD_PRELOAD=_faketime(), FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1",
    )  # fmt: skip
    api = api_of(stage, serving)
    app = api.create("before")
    api.until(app, "ready")

    def resyncs(more: int) -> None:
        finished = set[object]()
        statement = "SELECT cycle_finished_at FROM periodic_jobs WHERE name = 'resync'"

        def look() -> bool:
            finished.add(rows(stage.catalog_url, statement)[0][0])
            return len(finished) > more

        until(look, f"{more} more resyncs")

    resyncs(2)
    clock.write_text("+0")
    resyncs(3)
    assert connects(for_psql(api.until(api.create("after"), "ready")["morphik_uri"]))
