"""The formulas of formulas.yaml in numpy and in polars, as somebody would write them who knows these libraries well.

Reads a line of JSON and the metrics as doubles (series by series, each from `lead` points before the range on), then lines:
`numpy` and `polars` compute everything once and answer `done`, `numpy values` and `polars values` answer with the
doubles of every formula, series by series, each formula after a line with their count. Null is NaN.
"""
import json
import sys

import numpy as np
import polars as pl

np.seterr(all="ignore")
head = json.loads(sys.stdin.buffer.readline())
COUNTRIES, LEAD, POINTS = head["countries"], head["lead"], head["points"]
METRICS = ("visits", "orders", "revenue", "load")
SHAPE = (COUNTRIES, 2, LEAD + POINTS)


def read():
    size = COUNTRIES * 2 * (LEAD + POINTS) * 8
    return np.frombuffer(sys.stdin.buffer.read(size)).reshape(SHAPE).copy()


DATA = {name: read() for name in METRICS}


def by_numpy():
    """Matrices of countries, variations and points. What does not vary with the window is kept between formulas."""
    visits, orders, revenue, load = (DATA[name] for name in METRICS)
    own = np.s_[..., LEAD:]
    v, o, r, g = visits[own], orders[own], revenue[own], load[own]

    def null(x):
        """What is not finite is null; in place."""
        x[~np.isfinite(x)] = np.nan
        return x

    def running(x):
        sums = np.empty((*x.shape[:2], x.shape[2] + 1))
        sums[..., 0] = 0
        np.cumsum(x, axis=-1, out=sums[..., 1:])
        return sums

    def window(sums, width, back=0):
        """The sums of windows of so many points, of those that end in the range or `back` points before."""
        end = LEAD + POINTS + 1 - back
        return sums[..., end - POINTS:end] - sums[..., end - POINTS - width:end - width]

    def extreme(fold, x, width):
        """By windows of a power of two, of which two cover each: a pass for each doubling."""
        x = x[..., LEAD - width + 1:]
        covered = 1
        while covered * 2 <= width:
            x = fold(x[..., :-covered], x[..., covered:])
            covered *= 2
        rest = width - covered
        return fold(x[..., :x.shape[-1] - rest], x[..., rest:]) if rest else x

    def mean(x, present, width):
        count = window(present, width)
        return null(window(x, width) / count)

    def gaps(x):
        there = ~np.isnan(x)
        return running(np.where(there, x, 0)), running(there)

    visits_sums, orders_sums, revenue_sums = running(visits), running(orders), running(revenue)
    load_sums, load_counts = gaps(load)
    rate_sums, rate_counts = gaps(null(orders / visits))
    conversion = null(o / v)
    by_country, by_variation = v.sum(axis=1, keepdims=True), v.sum(axis=0, keepdims=True)
    all_visits = by_variation.sum(axis=1, keepdims=True)
    present = (~np.isnan(g)).sum(axis=0, keepdims=True).astype(float)
    hour_orders = window(orders_sums, 60)
    smooth = window(load_sums, 10) / window(load_counts, 10)
    smooth_there = ~np.isnan(smooth)
    smooth_sum = np.where(smooth_there, smooth, 0).sum(axis=0, keepdims=True)
    revenues = revenue_sums[..., LEAD + 1:] - revenue_sums[..., LEAD:LEAD + 1]
    orders_so_far = orders_sums[..., LEAD + 1:] - orders_sums[..., LEAD:LEAD + 1]
    visits_so_far = visits_sums[..., LEAD + 1:] - visits_sums[..., LEAD:LEAD + 1]
    best = np.sort(np.argsort(-r.sum(axis=-1).reshape(-1), kind="stable")[:10])
    load_there = ~np.isnan(g)
    load_zero = np.where(load_there, g, 0)
    control = lambda x: x[:, :1]
    lift = lambda x: null((x - control(x)) / np.abs(control(x)))
    return [
        conversion,
        null(r / o),
        null(r / v),
        v / 60,
        null(100 * o / (o + v)),
        null((r - 2 * o) / (v + 1)),
        np.where(v > 100, conversion, np.nan),
        load_zero,
        np.clip(g, 10, 90),
        np.log(r + 1),
        np.sqrt(v) * 2 - np.abs(o - 5),
        window(visits_sums, 5) / 5,
        window(visits_sums, 15) / 15,
        window(visits_sums, 60) / 60,
        window(orders_sums, 10),
        null(hour_orders / window(visits_sums, 60)),
        null(window(revenue_sums, 30) / window(orders_sums, 30)),
        extreme(np.fmin, load, 10),
        extreme(np.fmax, load, 10),
        extreme(np.fmax, load, 60) - extreme(np.fmin, load, 60),
        mean(load_sums, load_counts, 30),
        g - mean(load_sums, load_counts, 15),
        null(v / (window(visits_sums, 30) / 30)),
        mean(rate_sums, rate_counts, 15),
        window(visits_sums, 20) * 2 + window(orders_sums, 20),
        extreme(np.maximum, revenue, 120),
        revenues,
        null(orders_so_far / visits_so_far),
        v - visits[..., LEAD - 1:-1],
        g - load[..., LEAD - 1:-1],
        v - visits[..., LEAD - 60:-60],
        null(v / visits[..., LEAD - 15:-15] - 1),
        null(window(visits_sums, 10) / window(visits_sums, 10, back=60)),
        all_visits,
        by_variation,
        null(o.sum(axis=1, keepdims=True) / by_country),
        null(load_zero.sum(axis=1, keepdims=True) / load_there.sum(axis=1, keepdims=True)),
        np.fmax.reduce(g, axis=0, keepdims=True),
        np.fmin.reduce(g, axis=0, keepdims=True),
        present,
        null(v / all_visits),
        null(v / by_country),
        o - o.mean(axis=0, keepdims=True),
        null(r / r.sum(axis=(0, 1), keepdims=True)),
        control(v).copy(),
        lift(v),
        lift(conversion),
        null(hour_orders / hour_orders.sum(axis=0, keepdims=True)),
        r.reshape(-1, POINTS)[best],
        null(np.where(smooth_there.any(axis=0, keepdims=True), smooth_sum, np.nan) / present),
    ]


# Rows series by series, each in the order of time: functions over time need no partition, since each series begins with more
# points than any window reaches back.
FRAME = pl.DataFrame({
    "series": np.repeat(np.arange(COUNTRIES * 2, dtype=np.uint32), LEAD + POINTS),
    "country": np.repeat(np.arange(COUNTRIES, dtype=np.uint32), 2 * (LEAD + POINTS)),
    "variation": np.tile(np.repeat(np.arange(2, dtype=np.uint32), LEAD + POINTS), COUNTRIES),
    "minute": np.tile(np.arange(LEAD + POINTS, dtype=np.uint32), COUNTRIES * 2),
    **{name: DATA[name].reshape(-1) for name in METRICS},
}).with_columns(pl.col("load").fill_nan(None))


def by_polars():
    """Lazy frames, collected together."""
    visits, orders, revenue, load = (pl.col(name) for name in METRICS)

    def null(x):
        return pl.when(x.is_finite()).then(x)

    moving = FRAME.lazy().with_columns(rate=null(orders / visits)).select(
        "series", "country", "variation", "minute", *METRICS,
        f12=visits.rolling_mean(5),
        f13=visits.rolling_mean(15),
        f14=visits.rolling_mean(60),
        f15=orders.rolling_sum(10),
        f16=null(orders.rolling_sum(60) / visits.rolling_sum(60)),
        f17=null(revenue.rolling_sum(30) / orders.rolling_sum(30)),
        f18=load.rolling_min(10, min_samples=1),
        f19=load.rolling_max(10, min_samples=1),
        f20=load.rolling_max(60, min_samples=1) - load.rolling_min(60, min_samples=1),
        f21=load.rolling_mean(30, min_samples=1),
        f22=load - load.rolling_mean(15, min_samples=1),
        f23=null(visits / visits.rolling_mean(30)),
        f24=pl.col("rate").rolling_mean(15, min_samples=1),
        f25=(visits * 2 + orders).rolling_sum(20),
        f26=revenue.rolling_max(120),
        f29=visits - visits.shift(1),
        f30=load - load.shift(1),
        f31=visits - visits.shift(60),
        f32=null(visits / visits.shift(15) - 1),
        f33=null(visits.rolling_mean(10) / visits.rolling_mean(10).shift(60)),
        hour_orders=orders.rolling_sum(60),
        smooth=load.rolling_mean(10, min_samples=1),
    ).filter(pl.col("minute") >= LEAD).collect()
    # Grouped once by what several formulas fold, and laid beside the rows again by their order.
    hour, smooth = pl.col("hour_orders"), pl.col("smooth")
    by_variation = moving.lazy().group_by("variation", "minute").agg(
        f35=visits.sum(), f38=load.max(), f39=load.min(), f40=load.count().cast(pl.Float64), orders_mean=orders.mean(),
        hour_sum=hour.sum(), smooth_sum=pl.when(smooth.count() > 0).then(smooth.sum()), revenue_sum=revenue.sum(),
    ).sort("variation", "minute").with_columns(f50=null(pl.col("smooth_sum") / pl.col("f40")))
    by_country = moving.lazy().group_by("country", "minute").agg(
        visits_sum=visits.sum(), orders_sum=orders.sum(), f37=load.mean(),
    ).sort("country", "minute").with_columns(f36=null(pl.col("orders_sum") / pl.col("visits_sum")))
    control = moving.lazy().filter(pl.col("variation") == 0).select("country", "minute", base=visits, base_orders=orders)
    top = moving.lazy().group_by("series").agg(revenue.sum()).sort("revenue", descending=True, maintain_order=True).head(10)
    by_variation, by_country, control, top = pl.collect_all([by_variation, by_country, control, top])
    total = by_variation.lazy().group_by("minute").agg(
        f34=pl.col("f35").sum(), revenue_all=pl.col("revenue_sum").sum()).sort("minute").collect()
    best = moving.lazy().filter(pl.col("series").is_in(top["series"].implode())).select("series", f49=revenue)

    def repeated(frame, name, outer, inner):
        """A column of groups for every row: repeated within and around."""
        parts = frame[name].to_numpy().reshape(-1, POINTS)
        return pl.Series(name, np.tile(np.repeat(parts, inner, axis=0), (outer, 1)).reshape(-1))

    wide = moving.lazy().with_columns(
        *(repeated(by_variation, name, COUNTRIES, 1) for name in ("f35", "orders_mean", "hour_sum")),
        *(repeated(by_country, name, 1, 2) for name in ("visits_sum",)),
        *(repeated(total, name, COUNTRIES * 2, 1) for name in ("f34", "revenue_all")),
        *(repeated(control, name, 1, 2) for name in ("base", "base_orders")),
        conversion=null(orders / visits),
    ).with_columns(base_rate=null(pl.col("base_orders") / pl.col("base"))).select(
        *[f"f{index}" for index in range(12, 27)],
        *[f"f{index}" for index in range(29, 34)],
        f01=pl.col("conversion"),
        f02=null(revenue / orders),
        f03=null(revenue / visits),
        f04=visits / 60,
        f05=null(100 * orders / (orders + visits)),
        f06=null((revenue - 2 * orders) / (visits + 1)),
        f07=pl.when(visits > 100).then(pl.col("conversion")),
        f08=load.fill_null(0),
        f09=load.clip(10, 90),
        f10=(revenue + 1).log(),
        f11=visits.sqrt() * 2 - (orders - 5).abs(),
        f27=revenue.cum_sum().over("series"),
        f28=null(orders.cum_sum().over("series") / visits.cum_sum().over("series")),
        f41=null(visits / pl.col("f34")),
        f42=null(visits / pl.col("visits_sum")),
        f43=orders - pl.col("orders_mean"),
        f44=null(revenue / pl.col("revenue_all")),
        f46=null((visits - pl.col("base")) / pl.col("base").abs()),
        f47=null((pl.col("conversion") - pl.col("base_rate")) / pl.col("base_rate").abs()),
        f48=null(hour / pl.col("hour_sum")),
    )
    wide, best = pl.collect_all([wide, best])
    control = control.select(f45="base")
    frames = {column: frame for frame in (by_variation, by_country, control, best, total, wide) for column in frame.columns}
    return [frames[f"f{index:02}"][f"f{index:02}"] for index in range(1, 51)]


CONTESTANTS = {"numpy": by_numpy, "polars": by_polars}


def doubles(values):
    if isinstance(values, pl.Series):
        values = values.fill_null(float("nan")).to_numpy()
    return np.ascontiguousarray(values, dtype=float).reshape(-1)


out = sys.stdout.buffer
for line in sys.stdin.buffer:
    name, *values = line.decode().split()
    if values:
        for found in map(doubles, CONTESTANTS[name]()):
            out.write(f"{found.size}\n".encode() + found.tobytes())
    else:
        CONTESTANTS[name]()
        out.write(b"done\n")
    out.flush()
