"""The training catalogue as a tree of codes, in tensors: what lives below which prefix, and with what share."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...core.catalogue import SemanticId


@dataclass(frozen=True, slots=True)
class CatalogueTree:
    """The living codes along any path, with P_l distinct prefixes of l codes among N items of L codes below K."""

    codes: int  # K
    prefixes: tuple[Tensor, ...]  # per level: [P_l] sorted, packed as base-K digits
    children: tuple[Tensor, ...]  # per level: [P_l, K] bool, which codes go on
    bounds: tuple[Tensor, ...]  # per level: [P_l, K + 1] int64, where each child's items begin in `order`
    order: Tensor  # [N] item rows by semantic ID
    sids: Tensor  # [N, L] int64, by row

    @classmethod
    def of(cls, sids: npt.NDArray[np.int32], codes: int) -> "CatalogueTree":
        """Built from the catalogue's semantic IDs [N, L]."""
        items, levels = sids.shape
        packed = np.zeros((levels + 1, items), dtype=np.int64)
        for level in range(levels):
            packed[level + 1] = packed[level] * codes + sids[:, level]
        order = np.argsort(packed[levels], kind="stable")
        prefixes, children, bounds = [], [], []
        for level in range(levels):
            known = np.unique(packed[level])
            paths = packed[level + 1][order]  # ascending, as the order is that of whole IDs
            begins = np.searchsorted(paths, known[:, None] * codes + np.arange(codes + 1))  # [P_l, K + 1]
            prefixes.append(torch.from_numpy(known))
            bounds.append(torch.from_numpy(begins))
            children.append(torch.from_numpy(np.diff(begins, axis=1) > 0))
        return cls(
            codes,
            tuple(prefixes),
            tuple(children),
            tuple(bounds),
            torch.from_numpy(order),
            torch.from_numpy(sids.astype(np.int64)),
        )

    @property
    def levels(self) -> int:
        return len(self.prefixes)

    def places(self, codes: Tensor) -> list[Tensor]:
        """For each level the place, in `prefixes`, of every true path's prefix. [M, L] int64 → L of [M]"""
        packed = torch.zeros(len(codes), dtype=torch.int64)
        places = []
        for level, prefixes in enumerate(self.prefixes):
            places.append(torch.searchsorted(prefixes, packed))
            packed = packed * self.codes + codes[:, level]
        return places

    def masks(self, places: list[Tensor]) -> Tensor:
        """The live children along each true path. [M, L, K] bool"""
        return torch.stack([children[place] for children, place in zip(self.children, places, strict=True)], dim=1)

    def shares(self, probabilities: Tensor, places: list[Tensor]) -> Tensor:
        """How a distribution over items divides among the children along each true path; each row sums to one.

        Args:
            probabilities: [M, N], the items in `order`.

        Returns:
            [M, L, K].
        """
        before = torch.zeros(len(probabilities), probabilities.shape[1] + 1)
        torch.cumsum(probabilities, dim=1, out=before[:, 1:])
        shares = []
        for level, place in enumerate(places):
            # The floor keeps a path that the distribution all but excludes from dividing by zero.
            mass = (
                before.gather(1, self.bounds[level][place]).diff(dim=1).clamp(min=0)
                + 1e-9 * self.children[level][place]
            )
            shares.append(mass / mass.sum(dim=1, keepdim=True))
        return torch.stack(shares, dim=1)

    # From here on it is beam.Branches, so that validation searches as serving does.

    @property
    def leaf_slots(self) -> npt.NDArray[np.int32]:
        return self.order.numpy().astype(np.int32)

    def live_children(
        self, prefixes: npt.NDArray[np.int64], level: int, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """[W, K] whether child code k of each prefix covers at least one admitted item."""
        place = torch.searchsorted(self.prefixes[level], torch.from_numpy(prefixes))
        admitted_before = np.concatenate(([0], np.cumsum(admitted[self.leaf_slots])))  # [N + 1]
        counts = admitted_before[self.bounds[level][place].numpy()]  # [W, K + 1]
        return np.asarray(np.diff(counts, axis=1) > 0)

    def leaves(self, semantic_id: SemanticId) -> npt.NDArray[np.int32]:
        """The rows of the items of this semantic ID."""
        place = self.places(torch.tensor([semantic_id]))[-1][0]
        low, high = self.bounds[-1][place, semantic_id[-1] : semantic_id[-1] + 2].tolist()
        return self.leaf_slots[low:high]
