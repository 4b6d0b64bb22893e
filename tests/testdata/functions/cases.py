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
FILLS = {"none": lambda x: x, "zero": lambda x: x.fillna(0), "held": lambda x: x.ffill()}


def read(fill, before=0, shift=0):
    """What is read of the minutes from `before` minutes before the range on, all `shift` minutes earlier, and filled."""
    x = POINTS.iloc[LEAD - before - shift:LEAD + LEN - shift].reset_index(drop=True)
    return FILLS[fill](x[[c for c in x if x[c].notna().any()]])


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
    "M / M": lambda fill: read(fill) / read(fill),
}


def number(value):
    return "null" if not np.isfinite(value) else repr(float(value)).removesuffix(".0")


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
        formulas.append(f"  {name}: '{expr.replace('M', fill)}'\n")
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
    for group in POINTS:
        values = " ".join("_" if np.isnan(value) else number(value) for value in POINTS[group])
        out.write(f'  - {{ series: cases.points, tags: {{ v: {group} }}, start: 2026-01-05T00:00:00Z, step: 1m, values: "{values}" }}\n')
    out.write("tests:\n" + "".join(tests))
