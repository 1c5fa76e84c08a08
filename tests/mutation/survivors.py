"""The mutants that nobody notices, and why that is right."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.mutation.mutants import Mutant

FILE = Path(__file__).with_name("survivors.toml")


class Explained:
    """What the file explains; an entry that holds for no mutant is out of date."""

    def __init__(self, path: Path = FILE) -> None:
        entries = tomllib.loads(path.read_text()).get("survivor", [])
        self._reasons = {
            (entry["module"], entry["function"], entry["text"], was, now): entry["reason"]
            for entry in entries
            for was, _, now in (change.partition(" -> ") for change in entry["changes"])
        }

    def reason(self, mutant: Mutant) -> str | None:
        """Why nobody notices it, or None where that is not explained."""
        return self._reasons.get(mutant.key)

    def outdated(self, mutants: list[Mutant]) -> list[str]:
        """The entries of these mutants' modules that name none of them."""
        keys = {mutant.key for mutant in mutants}
        of = {mutant.module for mutant in mutants}
        return [" | ".join(key) for key in self._reasons if key[0] in of and key not in keys]
