"""Reading ``/metrics`` as Prometheus does."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


class Scrape:
    """One scrape's samples."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._samples: dict[tuple[str, Labels], float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        """A sample's value, ``morphik_apps_`` left out of its name; None when it is not there."""
        return self._samples.get((f"morphik_apps_{name}", frozenset(labels.items())))

    def of(self, name: str, label: str) -> dict[str, float]:
        """The values of a metric with one label, by that."""
        found = self._samples.items()
        return {dict(labels)[label]: value for (each, labels), value in found if each == f"morphik_apps_{name}"}

    @property
    def series(self) -> set[tuple[str, Labels]]:
        """What there is, whatever its value."""
        return {*self._samples}
