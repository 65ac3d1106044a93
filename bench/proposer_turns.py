"""One network in every way of running it, and how contenders take turns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from decoding import ALL, Catalogue, Means, Outcome, ours
from report import Report
from transformer import PlainTransformer, Shape, packed

from adgram.kernels.native.decoder import CompiledDecoder

ROUNDS = 21
IN_A_ROW = 3  # calls of one contender before the next has its turn

Clock = Callable[[], float]


@dataclass(slots=True)
class Bench:
    """One network and its catalogue, in every way of running it."""

    shape: Shape
    model: PlainTransformer
    catalogue: Catalogue
    weights: str  # where the weights come from
    prompts: list[npt.NDArray[np.int64]]  # of the shape's full length, to be timed
    histories: list[npt.NDArray[np.int64]]  # of any length, to be judged
    answers: list[npt.NDArray[np.int32]] | None  # [L] the ID that followed each history, where known
    report: Report
    fp32: CompiledDecoder = field(init=False)
    int8: CompiledDecoder = field(init=False)

    def __post_init__(self) -> None:
        self.fp32 = CompiledDecoder(packed(self.model))
        self.int8 = CompiledDecoder(packed(self.model), int8=True)

    def prompt(self, number: int) -> npt.NDArray[np.int64]:
        return self.prompts[number % len(self.prompts)]

    def request(
        self,
        decoder: CompiledDecoder,
        width: int,
        means: Means = ALL,
        admitted: npt.NDArray[np.bool_] | None = None,
    ) -> Callable[[int], Outcome]:
        return lambda number: ours(
            decoder, self.catalogue, decoder.read_tokens(self.prompt(number)), width, means, admitted
        )


def turns(
    contenders: Mapping[str, Callable[[int], object]], clock: Clock, rounds: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Milliseconds of each contender's calls. [rounds, IN_A_ROW]

    Rounds, so that a busy moment falls on all alike; calls in a row, since a server also decodes one request after
    another, and the weights that the last one used are at hand. The first of a turn finds them displaced by others'.
    """
    times = {name: np.empty((rounds, IN_A_ROW)) for name in contenders}
    for number in range(-2, rounds):  # two to warm up
        for name, call in contenders.items():
            for again in range(IN_A_ROW):
                started = clock()
                call(number)
                if number >= 0:
                    times[name][number, again] = (clock() - started) * 1e3
    return times


def medians(contenders: Mapping[str, Callable[[int], object]], clock: Clock, rounds: int) -> dict[str, float]:
    """Median milliseconds of each contender over all its calls; see `turns`."""
    return {name: float(np.median(times)) for name, times in turns(contenders, clock, rounds).items()}


def of_pairs(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    """The median over rounds of one's median turn over the other's in the same round. [rounds, M] each"""
    return float(np.median(np.median(ours, axis=1) / np.median(theirs, axis=1)))
