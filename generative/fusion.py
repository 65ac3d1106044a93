"""How what was generated, what lies near the profile and what goes with the history become one probability."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logs = npt.NDArray[np.float64]
Slots = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Weighed:
    """Some admitted items, each with its log-probability."""

    slots: Slots  # [M]
    log_probs: Logs  # [M]

    def spread(self, slots: Slots) -> Logs:
        """The log-probabilities at their places among `slots` (sorted), -inf at all others."""
        log_probs = np.full(len(slots), -np.inf)
        log_probs[np.searchsorted(slots, self.slots)] = self.log_probs
        return log_probs


NOTHING = Weighed(np.empty(0, dtype=np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class Fusion:
    """Weights and sharpness of the sources, fitted on validation events and kept in the decoder's artefact.

    A sharpness multiplies log-probabilities before they are normalised again (an inverse temperature). The defaults are
    for models that learned from every event, so that nothing is left to fit them on: about what Amazon Beauty's
    validation events asked for, in three trainings.
    """

    codes: float = 0.3  # share of the decoder, 0 … 1; memory has the rest
    companions: float = 0.9  # share of the companions in memory; the profile has the rest
    code_sharpness: float = 0.35
    profile_sharpness: float = 0.8
    companion_sharpness: float = 0.85
    code_rescoring: float = 0.5  # how much of the decoder's match is added to the log-probability of a generated item
    code_sharpness_alone: float = 0.5  # both where memory is off
    code_rescoring_alone: float = 1.7
    companion_rescoring: float = 0.5  # the same for companions, with the match that memory's profile sees

    def of_generated(self, log_probs: Logs, matches: Logs, memory: bool) -> Logs:
        """Generated items among each other: the decoder's log-probabilities, rescored by its match. [M], sums to 1"""
        return normalised(self.generated_scores(log_probs, matches, memory))

    def generated_scores(self, log_probs: Logs, matches: Logs, memory: bool) -> Logs:
        """The same before it is normalised, with or without memory beside the decoder. [M]"""
        if memory:
            return self.code_sharpness * log_probs + self.code_rescoring * matches
        return self.code_sharpness_alone * log_probs + self.code_rescoring_alone * matches

    def of_companions(self, weights: Logs, matches: Logs) -> Logs:
        """Companions among each other: from their weights (above 0), rescored by the profile. [M], sums to 1"""
        return normalised(self.companion_sharpness * np.log(weights) + self.companion_rescoring * matches)


def normalised(scores: Logs) -> Logs:
    """The scores as log-probabilities. [M]"""
    if not len(scores):
        return scores
    highest = scores.max()
    return np.asarray(scores - (highest + np.log(np.exp(scores - highest).sum())))


def mixed(one: Logs, other: Logs, share: float) -> Logs:
    """log(share · exp(one) + (1 - share) · exp(other)); a share of 0 or 1 leaves one of them alone. [M]"""
    if share <= 0.0:
        return other
    if share >= 1.0:
        return one
    return np.asarray(np.logaddexp(np.log(share) + one, np.log1p(-share) + other))
