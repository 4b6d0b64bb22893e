#!/usr/bin/env python3
"""Prints the windows that functions.test.yaml expects, by their definition."""
x = {"control": [10, 20, 0, 40, 50, 60], "treatment": [5, 0, 0, 8, 4, 12]}
level = {"a": [1, None, 3, None, None, 6], "b": [2, 4, None, 8, 10, None]}


def windows(values, width, fold):
    seen = ([v for v in values[max(0, i - width + 1):i + 1] if v is not None] for i in range(len(values)))
    return [fold(s) if s else None for s in seen]


for name, data, width, fold, rows in [
    ("avg3", level, 3, lambda s: sum(s) / len(s), slice(3, 6)),
    ("sum3", x, 3, sum, slice(3, 6)),
    ("min2", level, 2, min, slice(3, 6)),
    ("max2", level, 2, max, slice(3, 6)),
    ("smooth_earlier", x, 2, sum, slice(2, 5)),
]:
    print(name, {group: windows(values, width, fold)[rows] for group, values in data.items()})
