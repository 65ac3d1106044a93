"""How the proposer searches; owned here, read from TOML by the programs."""

import math
from dataclasses import dataclass

from ..core.errors import ConfigError

COMPILED = ("auto", "on", "off", "int8")


@dataclass(frozen=True, slots=True)
class GenerativeConfig:
    """Settings of the served proposer. What the model itself fixes (levels, codes, widths) is in its artefact."""

    beam_width: int = 32  # beams kept a level; the candidates wanted are rarely more
    decoder: bool = True  # False leaves memory alone: companions, and the neighbours of a profile that knows no codes
    memory: bool = True  # False leaves the decoder alone
    neighbours: int = 32  # candidates taken from memory
    history_length: int = 20  # newest items read; the decoder was trained on no more
    threads: int = 1  # intra-op threads; one leaves the other cores to other requests
    value_weight: float = 0.0  # λ: weight of log value (bid × prior rates) beside log-probability; 0: relevance alone
    device: str = "auto"  # "auto": CUDA where there is one, else the CPU
    compiled: str = "auto"  # "auto": compiled code where the CPU and the build allow; "on", "off"; "int8": on, in bytes

    def __post_init__(self) -> None:
        if min(self.beam_width, self.neighbours, self.threads) < 1 or self.history_length < 0:
            raise ConfigError(
                "generative: beam_width, neighbours and threads must be at least 1, history_length at least 0"
            )
        if self.compiled not in COMPILED:
            raise ConfigError(f'generative: compiled must be one of {", ".join(COMPILED)}, not "{self.compiled}"')
        if not 0.0 <= self.value_weight < math.inf:
            raise ConfigError(f"generative: value_weight must be 0 or more, not {self.value_weight}")
        if not (self.decoder or self.memory):
            raise ConfigError(
                "generative: decoder and memory are both off, so nothing could be proposed; switch one on"
            )
