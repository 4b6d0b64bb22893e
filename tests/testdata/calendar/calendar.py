#!/usr/bin/env python3
"""Writes days.txt: calendar days and weeks by Python's zoneinfo, found by walking through the half hours, not by any calendar
arithmetic. A line is a zone, a step, the range asked for, and each bucket in it: its start in epoch ms, its length in half
hours, and the length of the one a day or a week before it by local date (`-`: there is no such date)."""
from datetime import datetime, timedelta, timezone
from itertools import groupby
from zoneinfo import ZoneInfo

HALF = 1800
CASES = [
    ("UTC", "2026-03-06", 5),
    ("America/New_York", "2026-03-06", 5),
    ("America/New_York", "2026-10-30", 5),
    ("Europe/Berlin", "2026-03-27", 5),
    ("Europe/Berlin", "2026-10-23", 5),
    ("Australia/Lord_Howe", "2026-04-03", 5),
    ("Australia/Lord_Howe", "2026-10-02", 5),
    ("Africa/Cairo", "2023-04-26", 5),
    ("Africa/Cairo", "2023-10-25", 5),
    ("Asia/Beirut", "2022-03-25", 5),
    ("Asia/Beirut", "2022-10-28", 5),
    ("America/Havana", "2026-03-06", 5),
    ("America/Havana", "2026-10-30", 5),
    ("Pacific/Apia", "2011-12-27", 7),
]


def buckets(zone, first, days, of):
    """The runs of half hours of one day or week, over a month around the range."""
    begin = int(datetime.fromisoformat(first).replace(tzinfo=timezone.utc).timestamp()) - 20 * 86400
    halves = range(begin, begin + (40 + days) * 86400, HALF)
    local = lambda second: datetime.fromtimestamp(second, ZoneInfo(zone)).date()
    return {key: list(run) for key, run in groupby(halves, lambda second: of(local(second)))}


def line(zone, first, days, step):
    of, back = {
        "1d": (lambda date: date, timedelta(days=1)),
        "1w": (lambda date: date - timedelta(days=date.weekday()), timedelta(weeks=1)),
    }[step]
    runs = buckets(zone, first, days, of)
    begin = datetime.fromisoformat(first).date()
    wanted = [key for key in runs if of(begin) <= key < begin + timedelta(days=days)]
    cells = []
    for key in wanted:
        before = runs.get(key - back)
        cells.append(f"{runs[key][0] * 1000}/{len(runs[key])}/{len(before) if before else '-'}")
    end = (runs[wanted[-1]][-1] + HALF) * 1000
    return " ".join([zone, step, str(runs[wanted[0]][0] * 1000), str(end), ",".join(cells)])


with open(__file__.replace("calendar.py", "days.txt"), "w") as out:
    for zone, first, days in CASES:
        for step in ("1d", "1w"):
            print(line(zone, first, days, step), file=out)
