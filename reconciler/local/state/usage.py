"""The stored consumption of a project."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Amount(BaseModel):
    """The consumption of one branch in one hour or on one day."""

    compute_unit_seconds: float = 0.0
    byte_seconds: float = 0.0
    transfer_bytes: int = 0

    def add(self, other: Amount) -> None:
        """Add another amount."""
        self.compute_unit_seconds += other.compute_unit_seconds
        self.byte_seconds += other.byte_seconds
        self.transfer_bytes += other.transfer_bytes


Amounts = dict[str, Amount]


class Usage(BaseModel):
    """Counters of the current period, and amounts of past hours and days.

    Attributes:
        metered_at: time of the last metering; None before the first.
        active_time_seconds: seconds that computes were active.
        compute_time_seconds: the same times their size in compute units.
        written_data_bytes: bytes of WAL.
        data_transfer_bytes: bytes of outgoing traffic.
        byte_hours: stored bytes times hours.
        sizes: bytes of each branch.
        hours: amounts of each branch by the hour's number since the epoch, for the last days.
        days: the same by the day's number, for the last year.
    """

    metered_at: float | None = None
    active_time_seconds: float = 0.0
    compute_time_seconds: float = 0.0
    written_data_bytes: int = 0
    data_transfer_bytes: int = 0
    byte_hours: float = 0.0
    sizes: dict[str, int] = Field(default_factory=dict)
    hours: dict[int, Amounts] = Field(default_factory=dict)
    days: dict[int, Amounts] = Field(default_factory=dict)

    def begin_period(self) -> None:
        """Reset the counters of one period."""
        self.active_time_seconds = self.compute_time_seconds = self.byte_hours = 0.0
        self.written_data_bytes = self.data_transfer_bytes = 0
