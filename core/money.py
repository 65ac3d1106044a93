"""Money as whole micro-units of a currency, so that sums are exact."""

from dataclasses import dataclass

MICROS = 1_000_000  # micro-units in one unit of a currency
CPM_STEP_MICROS = 1_000  # prices per mille step by this, so that one impression costs a whole number of micros


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An exact amount; arithmetic between two currencies raises ValueError."""

    micros: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        return Money(self.micros + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.micros - self._same(other), self.currency)

    @property
    def units(self) -> float:
        """The amount in whole units of its currency, for display and the wire."""
        return self.micros / MICROS

    @property
    def per_impression(self) -> "Money":
        """What one impression costs when this is a price per thousand (CPM)."""
        return Money(self.micros // 1000, self.currency)

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise ValueError(f"cannot mix {self.currency} and {other.currency}")
        return other.micros


def from_units(units: float, currency: str) -> Money:
    """The nearest exact amount to `units` of a currency."""
    return Money(round(units * MICROS), currency)


def cpm(micros: float, currency: str) -> Money:
    """A price per mille, rounded down to the step that keeps one impression's cost whole."""
    return Money(int(micros // CPM_STEP_MICROS) * CPM_STEP_MICROS, currency)
