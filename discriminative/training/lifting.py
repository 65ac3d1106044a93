"""Finds the environment's effects in a log: clicks seen against clicks expected, by category, theme and condition.

For each category, the condition whose clicks deviate most from their fair share is taken as an effect if it passes the
test, its effect is multiplied into the expectation, and the search goes on; so that cold days do not inherit what rain
does. Then the same within each theme of the category. The test: of n clicks in the cell and its complement, the cell
expects the share of its expected clicks; |z| of the binomial must pass the two-sided level FAMILY_LEVEL divided by the
number of cells looked at (Bonferroni). What does not pass is not a small effect, it is none: factor 1.0 exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from ..environment import ANY_THEME, CONDITIONS, LIFT_BOUNDS, Condition, Lift
from ..features import Floats, Ints
from ..rates import Column

FAMILY_LEVEL = 0.01  # chance that a log without any effect yields even one lift
PRIOR_CLICKS = 10.0  # expected clicks' worth of belief that there is no effect (gamma prior of mean 1)
MIN_EXPECTED = 10.0  # cells expecting fewer clicks are not looked at: the normal approximation would not hold


@dataclass(frozen=True, slots=True)
class Evidence:
    """R rows: what was shown where, and the clicks seen and expected without looking at the environment."""

    category: Column
    theme: Column
    holds: npt.NDArray[np.bool_]  # [conditions, R]
    clicked: Floats  # [R]
    expected: Floats  # [R]


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rows of one category, summed by theme and by which conditions hold."""

    theme: Ints  # [G]
    holds: npt.NDArray[np.bool_]  # [conditions, G]
    clicks: Floats  # [G]
    expected: Floats  # [G]


def find(evidence: Evidence, conditions: Sequence[Condition] = CONDITIONS) -> tuple[Lift, ...]:
    """The effects that are proven, strongest evidence first within each category."""
    grouped = _grouped(evidence, len(conditions))
    cells = sum(_cells(groups) for groups in grouped.values())
    if not cells:
        return ()
    bar = float(norm.isf(FAMILY_LEVEL / 2 / cells))
    lifts: list[Lift] = []
    for code, groups in sorted(grouped.items()):
        name = evidence.category.names[code]
        main, expected = _search(groups, bar, name, ANY_THEME, conditions)
        lifts += main
        themes = np.unique(groups.theme).tolist()
        if len(themes) < 2:
            continue  # with one theme its effect is the category's
        for theme in themes:
            own = groups.theme == theme
            part = _Groups(groups.theme[own], groups.holds[:, own], groups.clicks[own], expected[own])
            lifts += _search(part, bar, name, evidence.theme.names[theme], conditions)[0]
    return tuple(lifts)


def _search(
    groups: _Groups, bar: float, category: str, theme: str, conditions: Sequence[Condition]
) -> tuple[list[Lift], Floats]:
    """Forward selection; also the expectation with the found effects in it."""
    found: list[Lift] = []
    expected = groups.expected.copy()
    left = set(range(len(conditions)))
    while left:
        tried = [_tried(groups, expected, index, category, theme, conditions[index].name) for index in sorted(left)]
        best = max((lift for lift in tried if lift is not None), key=lambda lift: abs(lift.z), default=None)
        if best is None or abs(best.z) < bar:
            break
        index = next(position for position in left if conditions[position].name == best.condition)
        found.append(best)
        expected = np.where(groups.holds[index], expected * best.factor, expected)
        left.remove(index)
    return found, expected


def _tried(groups: _Groups, expected: Floats, condition: int, category: str, theme: str, name: str) -> Lift | None:
    inside = groups.holds[condition]
    expects, expects_else = float(expected[inside].sum()), float(expected[~inside].sum())
    if min(expects, expects_else) < MIN_EXPECTED:
        return None
    clicks, clicks_else = float(groups.clicks[inside].sum()), float(groups.clicks[~inside].sum())
    total, share = clicks + clicks_else, expects / (expects + expects_else)
    if total <= 0:
        return None
    z = (clicks - total * share) / np.sqrt(total * share * (1 - share))
    usual = max(clicks_else, 0.5) / expects_else  # how the cell's complement compares with expectation
    factor = (clicks + PRIOR_CLICKS) / (expects * usual + PRIOR_CLICKS)
    factor = min(max(factor, LIFT_BOUNDS[0]), LIFT_BOUNDS[1])
    return Lift(category, theme, name, float(factor), float(z), clicks, expects * usual)


def _grouped(evidence: Evidence, conditions: int) -> dict[int, _Groups]:
    pattern = (evidence.holds * (1 << np.arange(conditions))[:, None]).sum(axis=0)
    themes = len(evidence.theme.names)
    key = (evidence.category.codes * themes + evidence.theme.codes) * (1 << conditions) + pattern
    unique, inverse = np.unique(key, return_inverse=True)
    clicks = np.bincount(inverse, evidence.clicked, len(unique))
    expected = np.bincount(inverse, evidence.expected, len(unique))
    holds = (unique[None, :] >> np.arange(conditions)[:, None]) & 1 == 1
    category, theme = np.divmod(unique >> conditions, themes)
    grouped = {}
    for code in np.unique(category).tolist():
        own = category == code
        grouped[code] = _Groups(theme[own], holds[:, own], clicks[own], expected[own])
    return grouped


def _cells(groups: _Groups) -> int:
    """How many tests a category is put to: its conditions, as a whole and in each theme."""
    themes = len(np.unique(groups.theme))
    looked_at = sum(
        min(groups.expected[inside].sum(), groups.expected[~inside].sum()) >= MIN_EXPECTED for inside in groups.holds
    )
    return int(looked_at) * (1 + (themes if themes > 1 else 0))


def row_factors(lifts: Sequence[Lift], evidence: Evidence, conditions: Sequence[Condition] = CONDITIONS) -> Floats:
    """[R] the factor that the lifts put on each row."""
    factor = np.ones(len(evidence.clicked))
    index_of = {condition.name: index for index, condition in enumerate(conditions)}
    category_of = {name: code for code, name in enumerate(evidence.category.names)}
    theme_of = {name: code for code, name in enumerate(evidence.theme.names)}
    for lift in lifts:
        rows = evidence.holds[index_of[lift.condition]] & (evidence.category.codes == category_of[lift.category])
        if lift.theme != ANY_THEME:
            rows &= evidence.theme.codes == theme_of[lift.theme]
        factor[rows] *= lift.factor
    return np.clip(factor, *LIFT_BOUNDS)


def part(evidence: Evidence, rows: npt.NDArray[np.bool_]) -> Evidence:
    """The evidence of some of the rows."""
    return replace(
        evidence,
        category=Column(evidence.category.names, evidence.category.codes[rows]),
        theme=Column(evidence.theme.names, evidence.theme.codes[rows]),
        holds=evidence.holds[:, rows],
        clicked=evidence.clicked[rows],
        expected=evidence.expected[rows],
    )
