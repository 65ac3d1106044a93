"""Names that contain one another: domains by their suffixes, categories by their prefixes."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Branches = dict[str, list[int]]  # a name → the codes of everything at or below it


def domain_branch(domain: str) -> list[str]:
    """A domain and those above it: "shop.example.com" lies in "example.com" and in "com"."""
    parts = domain.lower().split(".")
    return [".".join(parts[depth:]) for depth in range(len(parts))]


def category_branch(category: str) -> list[str]:
    """A category and those above it: "IAB25-3" lies in "IAB25"."""
    parts = category.split("-")
    return ["-".join(parts[: depth + 1]) for depth in range(len(parts))]


def domain_branches(domains: Iterable[str]) -> Branches:
    """Each domain that covers any of `domains`, with the positions of those it covers."""
    branches: Branches = {}
    for code, domain in enumerate(domains):
        for name in domain_branch(domain):
            branches.setdefault(name, []).append(code)
    return branches


def category_branches(category_sets: Iterable[tuple[str, ...]]) -> Branches:
    """Each category that covers one of any of `category_sets`; the name "" covers the sets without any."""
    branches: Branches = {}
    for code, categories in enumerate(category_sets):
        for name in {name for category in categories for name in category_branch(category)} or {""}:
            branches.setdefault(name, []).append(code)
    return branches


def covered(branches: Branches, names: Iterable[str], count: int) -> npt.NDArray[np.bool_]:
    """[count] which codes lie at or below any of `names`."""
    mask = np.zeros(count, np.bool_)
    for name in names:
        mask[branches.get(name, [])] = True
    return mask
