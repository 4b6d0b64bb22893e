#!/usr/bin/env python3
"""Prints expected.json: what statsmodels and scipy say of the counts that the tests of experiments use.

pip install statsmodels; python3 expected.py > expected.json
"""
import json

from scipy.stats import chisquare
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

# Variation and control: buyers of visitors. The first is ../ab_test_2017.csv, summed by its variation column.
PAIRS = {
    "ab_test_2017": ((3387, 28515), (3472, 28521)),
    "clear": ((620, 4000), (500, 4100)),
    "few": ((12, 200), (25, 180)),
    "large": ((1_203_400, 9_000_000), (1_200_100, 9_010_000)),
    "far": ((900, 1000), (100, 1000)),
}
SPLITS = {
    "ab_test_2017": ((28521, 28515), (0.5, 0.5)),
    "a_tenth_missing": ((28521, 25664), (0.5, 0.5)),
    "three": ((5000, 2450, 2600), (0.5, 0.25, 0.25)),
    "borderline": ((10_330, 9_870), (0.5, 0.5)),
}


def pair(variation, control):
    (x1, n1), (x0, n0) = variation, control
    _, p_value = proportions_ztest([x1, x0], [n1, n0])
    low, high = confint_proportions_2indep(x1, n1, x0, n0, method="wald", compare="diff")
    lift_low, lift_high = confint_proportions_2indep(x1, n1, x0, n0, method="log", compare="ratio")
    difference = x1 / n1 - x0 / n0
    return {
        "counts": [x1, n1, x0, n0],
        "compare": {
            "difference": difference,
            "lift": difference / (x0 / n0),
            "low": low,
            "high": high,
            "lift_low": lift_low - 1,
            "lift_high": lift_high - 1,
            "p_value": p_value,
        },
    }


def split(counts, weights):
    total = sum(counts)
    _, p_value = chisquare(counts, [weight * total for weight in weights])
    return {"counts": counts, "weights": weights, "p_value": p_value}


print(
    json.dumps(
        {
            "pairs": {name: pair(*counts) for name, counts in PAIRS.items()},
            "splits": {name: split(*counts) for name, counts in SPLITS.items()},
        },
        indent=2,
        default=float,
    )
)
