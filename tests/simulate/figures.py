"""What the tiers of the simulation came to, and whether that is what is promised."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

RANDOM_SCHEDULES = 100_000
DRIVER_SCHEDULES = 20_000
MUTANTS = 25


@dataclass(frozen=True)
class Found:
    """A mutant, and what found it.

    Attributes:
        by: the tier.
        after: how many of that tier's runs, or states, it took; None where it was not found.
    """

    mutant: str
    by: str
    after: int | None


@dataclass
class Figures:
    """Counts only; see ``RELIABILITY.md`` for what each means.

    Attributes:
        slowest_seconds: the longest time from the last fault to convergence, in virtual seconds, by tier.
        struck: how often each kind of fault took effect, by tier.
        failures: what broke, each with the command that replays it.
    """

    single_faults: int = 0
    single_cells: int = 0
    single_cells_covered: int = 0
    pair_cells: int = 0
    pair_cells_covered: int = 0
    crash_points: int = 0
    crash_points_covered: int = 0
    random_schedules: int = 0
    driver_schedules: int = 0
    model_states: int = 0
    model_traps: int = 0
    violations: int = 0
    mutants: int = 0
    mutants_found: int = 0
    seconds: float = 0.0
    slowest_seconds: dict[str, float] = field(default_factory=dict)
    struck: dict[str, dict[str, int]] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def take_mutants(self, found: list[Found]) -> None:
        """Count mutants of a tier."""
        self.found += found
        self.mutants += len(found)
        self.mutants_found += sum(each.after is not None for each in found)

    def take_failures(self, failures: list[str]) -> None:
        """Count what broke."""
        self.violations += len(failures)
        self.failures += failures

    def wrong(self) -> list[str]:
        """What is not as promised."""
        checks = {
            "a cell of the ledger was not met": self.single_cells_covered == self.single_cells > 0,
            "a pair was not met": self.pair_cells_covered == self.pair_cells > 0,
            "a moment to crash at was not met": self.crash_points_covered == self.crash_points > 0,
            "too few random schedules": self.random_schedules >= RANDOM_SCHEDULES,
            "too few schedules of the driver": self.driver_schedules >= DRIVER_SCHEDULES,
            "the model was not explored": self.model_states > 0,
            "the model has traps": self.model_traps == 0,
            "a rule was broken": self.violations == 0,
            "a mutant was not found": self.mutants_found == self.mutants >= MUTANTS,
        }
        return [said for said, holds in checks.items() if not holds]

    def as_json(self) -> dict[str, object]:
        """For ``build/simulate.json``."""
        return asdict(self)
