"""How the proposer searches; owned here, read from TOML by the programs."""

from dataclasses import dataclass

from ..core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class GenerativeConfig:
    """Settings of the served proposer. What the model itself fixes (levels, codes, widths) is in its artefact."""

    beam_width: int = 32  # beams kept a level; the candidates wanted are rarely more
    decoder: bool = True  # False leaves the nearest neighbours alone
    memory: bool = True  # False leaves the decoder alone
    neighbours: int = 32  # candidates taken from memory
    history_length: int = 20  # newest items read; the decoder was trained on no more
    threads: int = 1  # intra-op threads; one leaves the other cores to other requests
    device: str = "auto"  # "auto": CUDA where there is one, else the CPU

    def __post_init__(self) -> None:
        if min(self.beam_width, self.neighbours, self.threads) < 1 or self.history_length < 0:
            raise ConfigError(
                "generative: beam_width, neighbours and threads must be at least 1, history_length at least 0"
            )
        if not (self.decoder or self.memory):
            raise ConfigError(
                "generative: decoder and memory are both off, so nothing could be proposed; switch one on"
            )
