"""Settings of the verifier."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerifierConfig:
    """`policy` is the path of a policy file, "" for the one that comes with this package. `verdicts` bounds the cache:
    a verdict takes some 300 bytes. `threads` is LightGBM's, per prediction."""

    policy: str = ""
    verdicts: int = 500_000
    threads: int = 1
