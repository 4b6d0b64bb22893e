#!/usr/bin/env python3
"""Draws docs/demo.svg from an answer of the program itself:

    tsdb-ws query demo conversion_rate --from now-1d --step 30m --format json | docs/picture.py > docs/demo.svg
"""
import json
import sys
from datetime import datetime, timezone

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 300, 62, 20, 54, 34
COLOURS = ["#0b7285", "#e8590c", "#5f3dc4", "#2b8a3e"]

answer = json.load(sys.stdin)
result = answer["results"][0]
values = [value for series in result["series"] for value in series["values"] if value is not None]
low, high = min(values), max(values)
low, high = low - (high - low) * 0.08, high + (high - low) * 0.08
count = len(answer["timestamps"])


def x(index):
    return LEFT + (WIDTH - LEFT - RIGHT) * index / max(count - 1, 1)


def y(value):
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)


def text(at_x, at_y, words, anchor="start", size=12, fill="#495057", weight="normal"):
    print(f'<text x="{at_x:.1f}" y="{at_y:.1f}" font-size="{size}" fill="{fill}" font-weight="{weight}" text-anchor="{anchor}">{words}</text>')


print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif">')
print(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>')
text(LEFT, 24, result["chart"]["title"], size=16, fill="#212529", weight="600")
text(LEFT, 41, f'{result["expr"]} · step {answer["step"]} · simulated', size=11)
for tick in range(5):
    value = low + (high - low) * tick / 4
    print(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#e9ecef"/>')
    text(LEFT - 8, y(value) + 4, f"{value * 100:.1f}%", "end")
for index in range(0, count, max(count // 6, 1)):
    moment = datetime.fromtimestamp(answer["timestamps"][index] / 1000, timezone.utc)
    text(x(index), HEIGHT - 12, moment.strftime("%H:%M"), "middle")
for number, series in enumerate(result["series"]):
    colour, path, pen = COLOURS[number % len(COLOURS)], "", "M"
    for index, value in enumerate(series["values"]):
        if value is None:
            pen = "M"
            continue
        path += f"{pen}{x(index):.1f} {y(value):.1f}"
        pen = "L"
    print(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>')
    legend = WIDTH - RIGHT - 120 * (len(result["series"]) - number) + 20
    print(f'<path d="M{legend} 20h16" stroke="{colour}" stroke-width="3"/>')
    text(legend + 22, 24, ", ".join(series["tags"].values()))
print("</svg>")
