#!/usr/bin/env python3
"""Writes the formulas of cases.yaml and the tests of cases.test.yaml: what pandas makes of the points below.

    pip install pandas==3.1.1 && python3 cases.py
"""
import pathlib

import numpy as np
import pandas as pd

N = np.nan
LEAD, LEN = 6, 6  # minutes before the range, and in it
POINTS = pd.DataFrame({
    "control": [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8],
    "early": [7, 7, N, N, N, N, N, N, N, N, N, N],  # no point in the range
    "edge": [N, N, N, N, N, 4, N, N, N, N, N, N],  # one just before it
    "gaps": [N, 2, N, N, 8, N, N, 1, N, N, 6, N],
    "negative": [-1, -2.5, -3, 0, -1, -4, -2, -8, 0, 0, -1.5, -7],
    "one": [N, N, N, N, N, N, N, N, 10, N, N, N],  # a single point
    "zeros": [0] * 12,
})
# Of another metric, with groups that the first lacks and without some that it has.
OTHER = pd.DataFrame({
    "control": [1, 2, 0, 0, 1, 1, 4, N, 5, 0, 2, N],
    "gaps": [N, N, N, N, N, N, 3, N, N, 0, N, N],
    "new": [N, N, N, N, N, N, 1, N, 2, N, 0, 7],
})
FILLS = {"none": lambda x: x, "zero": lambda x: x.fillna(0), "held": lambda x: x.ffill()}


def read(fill, before=0, shift=0, points=POINTS):
    """What is read of the minutes from `before` minutes before the range on, all `shift` minutes earlier, and filled."""
    x = points.iloc[LEAD - before - shift:LEAD + LEN - shift].reset_index(drop=True)
    return FILLS[fill](x[[c for c in x if x[c].notna().any()]])


def undefined(found, *operands):
    """Infinite where a result is not finite though no operand is null."""
    found = found.copy()
    strange = ~np.isfinite(found)
    for operand in operands:
        strange &= operand.notna()
    return found.mask(strange, np.inf)


def point(function):
    """A function of each value by itself."""
    return lambda fill: undefined(function(read(fill)), read(fill))


def both(function):
    """Of two metrics joined by their groups: one that fills with zero is worth that where it lacks a group, else the group is
    left out."""
    def compute(fill):
        x, y = read(fill), read(fill, points=OTHER)
        groups = x.columns.union(y.columns) if fill == "zero" else x.columns.intersection(y.columns)
        x, y = (side.reindex(columns=groups, fill_value=0.0).astype(float) for side in (x, y))
        return undefined(function(x, y), x, y)
    return compute


def first_there(fill):
    x, y = read(fill), read(fill, points=OTHER)
    groups = x.columns.union(y.columns)
    return x.reindex(columns=groups).combine_first(y.reindex(columns=groups)).fillna(-1)


def by_sum(fill):
    x, total = read(fill), read(fill, points=OTHER).sum(axis=1, min_count=1)
    totals = pd.DataFrame({group: total for group in x})
    return undefined(x / totals, x, totals)


def moving(fold, width):
    return lambda fill: getattr(read(fill, width - 1).rolling(width, min_periods=1), fold)().iloc[width - 1:]


def share(fill):
    x = read(fill)
    return x.div(x.sum(axis=1, min_count=1), axis=0)


def best(fill):
    x = read(fill)
    order = x.sum().sort_values(ascending=False, kind="stable").index
    return x[sorted(order[:3])]


def lift(fill):
    x = read(fill)
    return x.sub(x["control"], axis=0).div(x["control"].abs(), axis=0)


def across(fold):
    return lambda fill: fold(read(fill)).to_frame("")


CASES = {
    'moving_avg(M, "3m")': moving("mean", 3),
    'moving_sum(M, "4m")': moving("sum", 4),
    'moving_min(M, "2m")': moving("min", 2),
    'moving_max(M, "6m")': moving("max", 6),
    'moving_sum(M, "1m")': moving("sum", 1),
    "cumulative(M)": lambda fill: read(fill).cumsum().ffill(),
    "delta(M)": lambda fill: read(fill, 1).diff().iloc[1:],
    "rate(M)": lambda fill: read(fill) / 60,
    'offset(M, "2m")': lambda fill: read(fill, shift=2),
    'moving_sum(offset(M, "3m"), "2m")': lambda fill: read(fill, 1, 3).rolling(2, min_periods=1).sum().iloc[1:],
    "sum_by(M)": across(lambda x: x.sum(axis=1, min_count=1)),
    "avg_by(M)": across(lambda x: x.mean(axis=1)),
    "min_by(M)": across(lambda x: x.min(axis=1)),
    "max_by(M)": across(lambda x: x.max(axis=1)),
    "count_by(M)": across(lambda x: x.count(axis=1)),
    "topk(M, 3)": best,
    "share(M)": share,
    'baseline(M, "v", "control")': lambda fill: read(fill)[["control"]].set_axis([""], axis=1),
    'lift(M, "v", "control")': lift,
    "coalesce(M, -1)": lambda fill: read(fill).fillna(-1),
    "if(M > 2, M, 0)": lambda fill: read(fill).where(read(fill).isna() | (read(fill) > 2), 0),
    "M / M": point(lambda x: x / x),
    "abs(M)": point(np.abs),
    "-M": point(lambda x: -x),
    "!M": point(lambda x: (x == 0).where(x.notna()).astype(float)),
    "floor(M / 2)": point(lambda x: np.floor(x / 2)),
    "ceil(M / 2)": point(lambda x: np.ceil(x / 2)),
    "round(M / 2)": point(lambda x: np.copysign(np.floor(np.abs(x / 2) + 0.5), x)),
    "sqrt(M)": point(np.sqrt),
    "exp(M * 100)": point(lambda x: np.exp(x * 100)),
    "ln(M)": point(np.log),
    "log10(M)": point(np.log10),
    "pow(M, 3)": point(lambda x: x**3),
    "M ^ 0.5": point(lambda x: x**0.5),
    "M % 3": point(lambda x: np.fmod(x, 3)),
    "M % 0": point(lambda x: np.fmod(x, 0)),
    "M * 1e308 * 10": point(lambda x: x * 1e308 * 10),
    "min(M, 2)": point(lambda x: x.clip(upper=2)),
    "max(M, 2)": point(lambda x: x.clip(lower=2)),
    "clamp(M, 1, 4)": point(lambda x: x.clip(1, 4)),
    "M >= 2 && M < 6 || M == 8": point(lambda x: ((x >= 2) & (x < 6) | (x == 8)).where(x.notna()).astype(float)),
    "M + O": both(lambda x, y: x + y),
    "M / O": both(lambda x, y: x / y),
    "M > O": both(lambda x, y: (x > y).where(x.notna() & y.notna()).astype(float)),
    "if(M > O, M, O)": both(lambda x, y: x.where(x > y, y).where(x.notna() & y.notna())),
    "max(M, O)": both(np.maximum),
    "coalesce(M, O, -1)": first_there,
    "M / sum_by(O)": by_sum,
}


def number(value):
    if np.isinf(value):
        return "undefined"
    return "null" if np.isnan(value) else repr(float(value)).removesuffix(".0")


def row(values):
    return "[" + ", ".join(number(value) for value in values) + "]"


folder = pathlib.Path(__file__).parent
keyspace = folder / "cases.yaml"
head = keyspace.read_text().split("below this line.\n")[0] + "below this line.\n"
formulas, tests = [], []
for index, (expr, compute) in enumerate(CASES.items()):
    expect = []
    for fill in FILLS:
        name = f"f{index}_{fill}"
        formulas.append(f"  {name}: '{expr.replace('M', fill).replace('O', f'other_{fill}')}'\n")
        found = compute(fill)
        rows = [f'"{"v=" if group else ""}{group}": {row(found[group])}' for group in sorted(found)]
        expect.append(f"      {name}: {{ {', '.join(rows)} }}\n")
    names = ", ".join(f"f{index}_{fill}" for fill in FILLS)
    tests.append(
        f"  - name: '{expr}'\n    request: {{ formulas: [{names}], from: 2026-01-05T00:06:00Z, to: 2026-01-05T00:12:00Z, step: 1m }}\n"
        "    expect:\n" + "".join(expect) + "    tolerance: 1e-12\n"
    )
keyspace.write_text(head + "".join(formulas))
with open(folder / "cases.test.yaml", "w") as out:
    out.write("# Written by cases.py.\nseries:\n")
    for series, group in [("points", group) for group in POINTS] + [("other", group) for group in OTHER]:
        points = (POINTS if series == "points" else OTHER)[group]
        values = " ".join("_" if np.isnan(value) else number(value) for value in points)
        out.write(f'  - {{ series: cases.{series}, tags: {{ v: {group} }}, start: 2026-01-05T00:00:00Z, step: 1m, values: "{values}" }}\n')
    out.write("tests:\n" + "".join(tests))
