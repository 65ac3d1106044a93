"""What shapes a training."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What shapes the models; part of what decides whether trained ones are up to date."""

    minutes: float = 15.0
    seed: int = 0
    all_events: bool = False  # True: learn from every event (to serve); False: hold two a user out (to evaluate)
    levels: int = 3
    codes: int = 0  # 0: chosen by the catalogue's size
    content_width: int = 128
    vector_width: int = 64
    width: int = 64
    layers: int = 2
    heads: int = 2
    history_length: int = 20
    dropout: float = 0.5
    interest_epochs: int = 20
    code_epochs: int = 12
    threads: int = 1
