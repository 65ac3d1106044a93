"""A snapshot's creatives as codes, and the living ones that fit a slot, ordered by item."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.catalogue import Creative
from ..core.request import AdFormat, Size
from ..core.snapshot import CreativeColumns
from .branches import Branches, category_branches, domain_branches

Shape = tuple[AdFormat, Size]
NO_SIZE = Size(0, 0)


@dataclass(frozen=True, slots=True)
class CreativeCodes:
    """Each creative's shape, domain and categories by code. Vocabularies only grow, so codes keep their meaning."""

    shape: npt.NDArray[np.int32]  # [C]
    domain: npt.NDArray[np.int32]  # [C]
    categories: npt.NDArray[np.int32]  # [C]
    shapes: dict[Shape, int]
    domains: dict[str, int]
    category_sets: dict[tuple[str, ...], int]
    domain_branches: Branches  # over codes of `domains`
    category_branches: Branches  # over codes of `category_sets`

    @classmethod
    def empty(cls) -> "CreativeCodes":
        """The codes of no creative."""
        none = np.zeros(0, np.int32)
        return cls(none, none, none, {}, {}, {}, {}, {})

    def following(self, columns: CreativeColumns, changed: npt.NDArray[np.int32] | None) -> "CreativeCodes":
        """The codes of another version's creatives; only those at the `changed` slots are looked at, at all if None."""
        count = columns.count
        shape, domain, categories = (_resized(codes, count) for codes in (self.shape, self.domain, self.categories))
        shapes, domains, category_sets = dict(self.shapes), dict(self.domains), dict(self.category_sets)
        for slot in range(count) if changed is None else changed[changed < count].tolist():
            creative = columns.creatives[slot]
            shape[slot] = shapes.setdefault(shape_of(creative), len(shapes))
            domain[slot] = domains.setdefault(creative.adomain, len(domains))
            categories[slot] = category_sets.setdefault(creative.categories, len(category_sets))
        more_domains, more_categories = len(domains) > len(self.domains), len(category_sets) > len(self.category_sets)
        return CreativeCodes(
            shape,
            domain,
            categories,
            shapes,
            domains,
            category_sets,
            domain_branches(domains) if more_domains else self.domain_branches,
            category_branches(category_sets) if more_categories else self.category_branches,
        )

    def fitting(self, ad_format: AdFormat, sizes: tuple[Size, ...]) -> npt.NDArray[np.bool_]:
        """[len(shapes)] which shapes fit a slot of this kind."""
        return np.array(
            [shape[0] == ad_format and (ad_format is AdFormat.NATIVE or shape[1] in sizes) for shape in self.shapes],
            np.bool_,
        )


@dataclass(frozen=True, slots=True)
class Fitting:
    """The living creatives that fit one kind of slot, ordered by item, so that each item's are one run."""

    slots: npt.NDArray[np.intp]  # [F] creative slots
    items: npt.NDArray[np.intp]  # [F] their item slots
    campaigns: npt.NDArray[np.intp]  # [F] their campaign slots, -1 for unknown
    domains: npt.NDArray[np.intp]  # [F]
    categories: npt.NDArray[np.intp]  # [F]
    starts: npt.NDArray[np.intp]  # [U] where each item's run begins
    run_items: npt.NDArray[np.intp]  # [U] the item of each run

    @classmethod
    def build(
        cls,
        columns: CreativeColumns,
        living: npt.NDArray[np.intp],
        codes: CreativeCodes,
        ad_format: AdFormat,
        sizes: tuple[Size, ...],
    ) -> "Fitting":
        """Native slots take any native creative; banner slots take banners of exactly one of their sizes.

        Args:
            living: what `living_by_item` says of `columns`.
        """
        fits = codes.fitting(ad_format, sizes)
        slots = living[fits[codes.shape[living]]] if len(living) else living
        items = columns.item_slot[slots].astype(np.intp)
        starts = np.flatnonzero(np.diff(items, prepend=-1))
        campaigns, domains, categories = columns.campaign_slot[slots], codes.domain[slots], codes.categories[slots]
        return cls(
            slots,
            items,
            campaigns.astype(np.intp),  # numpy gathers by its own index type twice as fast
            domains.astype(np.intp),
            categories.astype(np.intp),
            starts,
            items[starts],
        )


def living_by_item(columns: CreativeColumns) -> npt.NDArray[np.intp]:
    """The slots of the living creatives whose item is known, ordered by item, then by slot."""
    slots = np.flatnonzero(columns.alive & (columns.item_slot >= 0))
    return slots[np.argsort(columns.item_slot[slots], kind="stable")]


def shape_of(creative: Creative) -> Shape:
    """What a slot must offer for this creative to fit; native creatives have no size of their own."""
    return (creative.format, NO_SIZE if creative.format is AdFormat.NATIVE else creative.size)


def _resized(codes: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int32]:
    grown = np.zeros(count, np.int32)
    common = min(count, len(codes))
    grown[:common] = codes[:common]
    return grown
