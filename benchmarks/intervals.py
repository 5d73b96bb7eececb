"""Differences between recipes, paired over sets and seeds, with intervals over sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
SHARE = 95.0
# A recipe counts as equal where it is not worse by more than so much.
MARGIN = 0.02
# Of fewer sets the interval is hardly more than their range: with two, and nothing to be found,
# one comparison in four would come out as better.
FEWEST = 5

Pairs = Mapping[tuple[str, int], float]


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval over sets; None where there is one set only."""

    mean: float
    low: float | None
    high: float | None
    sets: int

    @property
    def verdict(self) -> str:
        """What may be said of a difference: better, equal, worse, or open."""
        if self.low is None or self.high is None or self.sets < FEWEST:
            return "open"
        if self.low > 0:
            return "better"
        if self.high < -MARGIN:
            return "worse"
        return "equal" if self.low > -MARGIN else "open"


def difference(one: Pairs, other: Pairs) -> Interval | None:
    """one − other over the (set, seed) both have: first over seeds, then over sets."""
    common = sorted(one.keys() & other.keys())
    if not common:
        return None
    by_set: dict[str, list[float]] = {}
    for key in common:
        by_set.setdefault(key[0], []).append(one[key] - other[key])
    return over_sets([float(np.mean(values)) for values in by_set.values()])


def over_sets(values: Sequence[float]) -> Interval:
    """The mean of one value a set, with its interval."""
    return bootstrap(len(values), lambda picked: float(np.mean([values[i] for i in picked])))


def way_gone(sets: Sequence[tuple[float, float, float]]) -> Interval:
    """Σ(word − class word) / Σ(real − class word) over sets of (word, class word, real).

    Never a mean of ratios: a set whose class word is already near would decide it all.
    """

    def way(picked: Sequence[int]) -> float:
        words, classes, real = (sum(sets[i][part] for i in picked) for part in range(3))
        return (words - classes) / (real - classes)

    return bootstrap(len(sets), way)


def bootstrap(count: int, statistic: Callable[[Sequence[int]], float]) -> Interval:
    """The statistic of all sets, and the middle 95 % of it over sets drawn with replacement."""
    mean = statistic(range(count))
    if count < 2:
        return Interval(mean, None, None, count)
    generator = np.random.default_rng(0)
    drawn = [statistic(generator.integers(0, count, count)) for _ in range(RESAMPLES)]
    tail = (100 - SHARE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(mean, float(low), float(high), count)
