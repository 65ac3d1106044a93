"""The mechanism in the decode: what showing an item is expected to earn, as a term beside its log-probability.

A beam is ranked by log-probability + λ · log of the greatest value among the admitted items below it. A log-probability
only falls on the way down and the greatest value never rises, so no item below a beam can be ranked above it: the bound
is admissible, and at the last code it is what the item's bucket really has.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..core.snapshot import Trie

FLOOR = 1e-6  # of the greatest value: an item that earns nothing is ranked last by value, and can still be found


def worths_of(
    values: npt.NDArray[np.float32], admitted: npt.NDArray[np.bool_], weight: float
) -> npt.NDArray[np.float32] | None:
    """λ · log(value / greatest admitted value) by item slot, -inf where not admitted; None where nothing has a value.

    Args:
        values: [N], at least 0, in any unit.
        admitted: [N].
        weight: λ > 0.
    """
    greatest = float(values.max(initial=0.0, where=admitted))
    if not greatest > 0.0:
        return None
    worths = weight * np.log(np.maximum(values / greatest, FLOOR), dtype=np.float32)
    worths[~admitted] = -np.inf
    return np.asarray(worths, np.float32)


def below(
    trie: Trie, worths: npt.NDArray[np.float32]
) -> Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.float32]]:
    """What beam.search ranks by: the greatest worth under each child, of this trie and these items."""
    return lambda prefixes, level: trie.best_children(prefixes, level, worths)
