"""Settings of the verifier."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerifierConfig:
    """What judges creatives, and how much of it is remembered."""

    policy: str = ""  # path of a policy file; empty: the one that comes with this package
    verdicts: int = 500_000  # kept in the cache, some 300 bytes each
    threads: int = 1  # of LightGBM, for one prediction
