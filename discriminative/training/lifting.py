"""Finds the environment's effects in a log: clicks seen against clicks expected, by category, theme and condition.

For each category, the condition whose clicks deviate most from their fair share is taken as an effect if it passes the
test, its effect is multiplied into the expectation, and the search goes on; so that cold days do not inherit what rain
does. Then, over all categories a condition matters for, themes are held against each other under it; one category alone
would rarely have the clicks to tell. The test: of n clicks in the cell and its complement, the cell expects the share
of its expected clicks; |z| of the binomial must pass the two-sided level FAMILY_LEVEL divided by the
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
    """Rows summed by category, theme and which conditions hold."""

    category: Ints  # [G]
    theme: Ints  # [G]
    holds: npt.NDArray[np.bool_]  # [conditions, G]
    clicks: Floats  # [G]
    expected: Floats  # [G]

    def of(self, chosen: npt.NDArray[np.bool_]) -> "_Groups":
        """Some of the groups."""
        return _Groups(
            self.category[chosen],
            self.theme[chosen],
            self.holds[:, chosen],
            self.clicks[chosen],
            self.expected[chosen],
        )


@dataclass(frozen=True, slots=True)
class _Effect:
    """What one cell shows against its complement."""

    factor: float
    z: float
    clicks: float
    expected: float


def find(evidence: Evidence, conditions: Sequence[Condition] = CONDITIONS) -> tuple[Lift, ...]:
    """The effects that are proven: the categories' own first, then those of themes within these categories."""
    groups = _grouped(evidence, len(conditions))
    categories, themes = np.unique(groups.category).tolist(), np.unique(groups.theme).tolist()
    cells = len(themes) * len(conditions)
    cells += sum(_looked_at(groups.of(groups.category == code)) for code in categories)
    bar = float(norm.isf(FAMILY_LEVEL / 2 / cells))
    lifts: list[Lift] = []
    expected = groups.expected.copy()
    for code in categories:
        own = groups.category == code
        for condition, effect in _search(groups.of(own), bar):
            lifts.append(_lift(evidence.category.names[code], ANY_THEME, conditions[condition], effect))
            expected[own & groups.holds[condition]] *= effect.factor
    return (*lifts, *_theme_lifts(replace(groups, expected=expected), lifts, evidence, conditions, bar))


def _theme_lifts(
    groups: _Groups, proven: Sequence[Lift], evidence: Evidence, conditions: Sequence[Condition], bar: float
) -> list[Lift]:
    """For each condition, what themes do under it in the categories it matters for and that play on several themes."""
    played = np.unique(np.stack([groups.category, groups.theme]), axis=1)[0]  # a category once for each of its themes
    several = np.isin(groups.category, [code for code in set(played.tolist()) if (played == code).sum() > 1])
    names = np.array([evidence.category.names[code] for code in groups.category])
    lifts: list[Lift] = []
    for index, condition in enumerate(conditions):
        affected = sorted({lift.category for lift in proven if lift.condition == condition.name})
        inside = several & np.isin(names, affected)
        for theme in np.unique(groups.theme[inside]).tolist():
            effect = _contrasted(groups.of(inside), theme, index)
            if effect is not None and abs(effect.z) >= bar:
                playing = sorted(set(names[inside & (groups.theme == theme)].tolist()))
                lifts += [_lift(name, evidence.theme.names[theme], condition, effect) for name in playing]
    return lifts


def _contrasted(groups: _Groups, theme: int, condition: int) -> _Effect | None:
    """What a theme does against the other ones while the condition holds, each compared with itself while it does
    not.
    """
    expects, clicks = {}, {}
    for own in (True, False):
        part_of = groups.of((groups.theme == theme) == own)
        inside = part_of.holds[condition]
        if min(part_of.expected[inside].sum(), part_of.expected[~inside].sum()) < MIN_EXPECTED:
            return None
        usual = max(float(part_of.clicks[~inside].sum()), 0.5) / float(part_of.expected[~inside].sum())
        expects[own], clicks[own] = float(part_of.expected[inside].sum()) * usual, float(part_of.clicks[inside].sum())
    total, share = clicks[True] + clicks[False], expects[True] / (expects[True] + expects[False])
    if total <= 0:
        return None
    z = (clicks[True] - total * share) / np.sqrt(total * share * (1 - share))
    factor = (clicks[True] + PRIOR_CLICKS) / (total * share + PRIOR_CLICKS)
    return _Effect(float(np.clip(factor, *LIFT_BOUNDS)), float(z), clicks[True], total * share)


def _search(groups: _Groups, bar: float) -> list[tuple[int, _Effect]]:
    """Forward selection: conditions with their effects, strongest evidence first."""
    found: list[tuple[int, _Effect]] = []
    expected = groups.expected.copy()
    left = set(range(len(groups.holds)))
    while left:
        tried = {index: _tried(groups, expected, index) for index in sorted(left)}
        seen = {index: effect for index, effect in tried.items() if effect is not None}
        if not seen:
            break
        best = max(seen, key=lambda index: abs(seen[index].z))
        if abs(seen[best].z) < bar:
            break
        found.append((best, seen[best]))
        expected = np.where(groups.holds[best], expected * seen[best].factor, expected)
        left.remove(best)
    return found


def _tried(groups: _Groups, expected: Floats, condition: int) -> _Effect | None:
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
    return _Effect(float(np.clip(factor, *LIFT_BOUNDS)), float(z), clicks, expects * usual)


def _lift(category: str, theme: str, condition: Condition, effect: _Effect) -> Lift:
    return Lift(category, theme, condition.name, effect.factor, effect.z, effect.clicks, effect.expected)


def _grouped(evidence: Evidence, conditions: int) -> _Groups:
    pattern = (evidence.holds * (1 << np.arange(conditions))[:, None]).sum(axis=0)
    themes = len(evidence.theme.names)
    key = (evidence.category.codes * themes + evidence.theme.codes) * (1 << conditions) + pattern
    unique, inverse = np.unique(key, return_inverse=True)
    category, theme = np.divmod(unique >> conditions, themes)
    return _Groups(
        category,
        theme,
        (unique[None, :] >> np.arange(conditions)[:, None]) & 1 == 1,
        np.asarray(np.bincount(inverse, evidence.clicked, len(unique)), np.float64),
        np.asarray(np.bincount(inverse, evidence.expected, len(unique)), np.float64),
    )


def _looked_at(groups: _Groups) -> int:
    """How many tests a category is put to."""
    return sum(_tried(groups, groups.expected, condition) is not None for condition in range(len(groups.holds)))


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
