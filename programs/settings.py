"""One TOML file for a deployment; each section belongs to the folder it configures."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..core.config import from_toml
from ..discriminative.config import VerifierConfig
from ..engine.config import EngineConfig
from ..generative.config import GenerativeConfig
from ..memory.config import MemoryConfig
from ..streaming.config import StreamingConfig

DEVELOPMENT_SECRET = "adgram-development-only"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a deployment. `user_secret` keys the hashes of user ids; ADGRAM_USER_SECRET overrides it."""

    engine: EngineConfig = field(default_factory=EngineConfig)
    generative: GenerativeConfig = field(default_factory=GenerativeConfig)
    verifier: VerifierConfig = field(default_factory=VerifierConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    streaming: StreamingConfig = field(default_factory=StreamingConfig)
    user_secret: str = DEVELOPMENT_SECRET

    @property
    def secret(self) -> bytes:
        return os.environ.get("ADGRAM_USER_SECRET", self.user_secret).encode()


def load(config: Path | None) -> Settings:
    """The settings in a TOML file, or the defaults without one."""
    return Settings() if config is None else from_toml(config, Settings)
