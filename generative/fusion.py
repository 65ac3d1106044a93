"""How what was generated, what lies near the profile and what goes with the history become one probability."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Logs = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fusion:
    """Weights and sharpness of the sources, fitted on validation events and kept in the decoder's artefact.

    A sharpness multiplies log-probabilities before they are normalised again (an inverse temperature). The defaults are
    for models that learned from every event, so that nothing is left to fit them on: about what Amazon Beauty's
    validation events asked for, in three trainings.
    """

    codes: float = 0.1  # share of the decoder, 0 … 1; memory has the rest
    companions: float = 0.7  # share of the companions in memory beside the decoder; the profile has the rest
    code_sharpness: float = 0.7
    profile_sharpness: float = 1.0
    companion_sharpness: float = 1.0
    code_rescoring: float = 0.3  # how much of the profile's match is added to the log-probability of a generated item
    code_sharpness_alone: float = 0.5  # both where memory is off, and with it the profile's own word
    code_rescoring_alone: float = 1.0
    companion_rescoring: float = 0.3  # the same for companions: a match of one item with another, and with the viewer
    # Memory where the decoder is off, and another network's profile searches it:
    companions_without_codes: float = 0.8
    profile_sharpness_without_codes: float = 1.0
    companion_sharpness_without_codes: float = 1.0
    companion_rescoring_without_codes: float = 0.7

    def beside(self, decoder: bool) -> "Fusion":
        """The same, with memory weighed as it is with or without the decoder beside it."""
        if decoder:
            return self
        return replace(
            self,
            companions=self.companions_without_codes,
            profile_sharpness=self.profile_sharpness_without_codes,
            companion_sharpness=self.companion_sharpness_without_codes,
            companion_rescoring=self.companion_rescoring_without_codes,
        )

    def of_generated(self, log_probs: Logs, matches: Logs, memory: bool) -> Logs:
        """Generated items among each other: the decoder's log-probabilities, rescored by the profile. [M], sums to 1"""
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
