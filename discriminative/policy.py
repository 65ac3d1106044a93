"""The rules of advertising law as terms: read from a file, named by what the file says."""

import hashlib
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ..core.config import from_mapping
from ..core.decision import Outcome
from ..core.errors import ConfigError

FORMAT = 1  # changes whenever the way terms are matched does, so that no cached verdict outlives it
PACKAGED = "policy.toml"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Terms that one provision of law forbids or doubts.

    `terms` are matched in any spelling that folds to the same letters; Latin ones as whole words, a trailing "*" takes
    any ending.
    `unless` are phrases in which a term is innocent. With `when`, a term counts only if one of these is in the ad too.
    `patterns` are regular expressions over the folded text (lower case, simplified, symbols as spaces).
    """

    id: str
    severity: Outcome
    legal_basis: str
    terms: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    when: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules with the version that cached verdicts are kept under."""

    rules: tuple[PolicyRule, ...]
    version: str


@dataclass(frozen=True, slots=True)
class _File:
    rule: tuple[dict[str, Any], ...]


def load(path: str = "") -> Policy:
    """The policy in a TOML file, by default the packaged one; ConfigError if it cannot be read as one."""
    source = Path(path) if path else resources.files(__package__) / PACKAGED
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read policy {path or PACKAGED}: {error.strerror}; name an existing file") from error
    try:
        values = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"policy {path or PACKAGED} is not TOML: {error}") from error
    name = path or PACKAGED
    entries = from_mapping(values, _File, name).rule
    rules = tuple(from_mapping(entry, PolicyRule, f"{name}, rule {number}") for number, entry in enumerate(entries, 1))
    doubled = {rule.id for rule in rules if sum(other.id == rule.id for other in rules) > 1}
    if doubled:
        raise ConfigError(f"policy {path or PACKAGED} has two rules with the id {min(doubled)}; give each its own")
    for rule in rules:
        for pattern in rule.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                problem = f"policy {name}: pattern {pattern!r} of rule {rule.id} is not a regular expression: {error}"
                raise ConfigError(problem) from error
    return Policy(rules, hashlib.blake2b(content + str(FORMAT).encode(), digest_size=8).hexdigest())
