"""A trie's leaves on an accelerator, so that a decode there asks the host for nothing between two levels."""

from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.snapshot import Trie
from ..kernels.ops import Ops


def has_leaves(trie: object) -> TypeGuard[Trie]:
    """Whether a trie can hand out its leaves in order, as those that serve can."""
    return hasattr(type(trie), "arrays")


@dataclass(frozen=True, slots=True)
class DeviceLeaves:
    """What kernels read of one version's trie; kept from request to request as long as the version lives."""

    trie: Trie
    keys: Tensor  # [P] int64, ascending
    slots: Tensor  # [P] int64

    @classmethod
    def of(cls, trie: Trie, device: torch.device) -> "DeviceLeaves":
        """The leaves copied to `device`."""
        slots = torch.from_numpy(trie.leaf_slots.astype(np.int64))
        return cls(trie, torch.from_numpy(trie.keys).to(device), slots.to(device))

    def under(self, admitted: npt.NDArray[np.bool_]) -> "AdmittedLeaves":
        """The leaves with one request's admission [N], by item slot."""
        bits = torch.from_numpy(admitted).to(self.keys.device)[self.slots]
        before = torch.zeros(len(bits) + 1, dtype=torch.int32, device=bits.device)
        torch.cumsum(bits, dim=0, dtype=torch.int32, out=before[1:])
        return AdmittedLeaves(self.keys, before, self.trie.codes_per_level, self.trie.levels)


@dataclass(frozen=True, slots=True)
class AdmittedLeaves:
    """One request's view of the leaves."""

    keys: Tensor  # [P] int64
    admitted_before: Tensor  # [P + 1] int32
    codes_per_level: int  # K of the trie
    levels: int  # L

    def live_children(self, prefixes: Tensor, level: int, ops: Ops) -> Tensor:
        """[W, K] whether each child holds an admitted leaf. `prefixes` is [W] int64, of `level` codes."""
        span = self.codes_per_level ** (self.levels - level - 1)
        return ops.live_children(self.keys, self.admitted_before, prefixes, span, self.codes_per_level)
