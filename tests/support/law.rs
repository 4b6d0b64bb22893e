//! Random keyspaces, points and requests, and what they come to by plain arithmetic, point by point: the law that every
//! backend and the columnar evaluation are held to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tsdb_ws::series::Point;

pub const MINUTE: i64 = 60_000;
/// Aligned to every step that the law asks for, also 7 m.
pub const START: i64 = 1_700_000_000_000 / (420 * MINUTE) * (420 * MINUTE);

/// A small deterministic generator (splitmix64), so that a seed is a whole case.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

#[derive(Debug, Clone)]
pub struct Metric {
    pub series: String,
    pub filter: Option<Vec<&'static str>>,
    pub aggregate: &'static str,
    pub gauge: bool,
    pub fill: &'static str,
    pub group_by: &'static [&'static str],
}

#[derive(Debug, Clone)]
pub enum Expr {
    Number(f64),
    Null,
    Ref(String),
    Unary(&'static str, Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Call(&'static str, Vec<Expr>),
}

#[derive(Debug, Clone)]
pub struct Case {
    pub metrics: BTreeMap<String, Metric>,
    pub formulas: Vec<(String, Expr)>,
    pub points: Vec<Point>,
    pub from: i64,
    pub to: i64,
    pub step: &'static str,
    pub now: i64,
}

/// Tag sets that can all be joined with one another.
const TAG_SETS: [&[&str]; 3] = [&[], &["a"], &["a", "b"]];
const AGGREGATES: [&str; 8] = ["sum", "avg", "min", "max", "count", "first", "last", "p75"];

impl Case {
    /// The case of a seed. `prefix` begins every stored name, so that cases share a database.
    pub fn of(seed: u64, prefix: &str) -> Case {
        let mut dice = Dice(seed);
        let metrics: BTreeMap<String, Metric> =
            (0..2 + dice.below(5)).map(|i| (format!("m{i}"), random_metric(&mut dice, prefix))).collect();
        let mut names: Vec<String> = metrics.keys().cloned().collect();
        let mut formulas = Vec::new();
        for i in 0..1 + dice.below(5) {
            formulas.push((format!("f{i}"), random_expr(&mut dice, &names, 4)));
            names.push(format!("f{i}"));
        }
        let points = random_points(&mut dice, prefix);
        let step = dice.pick(&["1m", "2m", "7m", "1h"]);
        let from = START + dice.below(20) as i64 * MINUTE - 5 * MINUTE;
        let to = from + (1 + dice.below(45) as i64) * MINUTE;
        let now = if dice.below(3) == 0 { from + dice.below(40) as i64 * MINUTE } else { to + 3_600_000 };
        Case { metrics, formulas, points, from, to, step, now }
    }

    /// The keyspace file.
    pub fn keyspace(&self) -> String {
        let metrics = self.metrics.iter().map(|(name, metric)| {
            let mut spec = json!({ "series": metric.series, "aggregate": metric.aggregate, "fill": metric.fill,
                "kind": if metric.gauge { "gauge" } else { "delta" }, "group_by": metric.group_by });
            if let Some(filter) = &metric.filter {
                spec["tags"] = json!({ "a": filter });
            }
            (name.clone(), spec)
        });
        let formulas = self.formulas.iter().map(|(name, expr)| (name.clone(), json!({ "expr": print(expr) })));
        json!({ "metrics": metrics.collect::<BTreeMap<_, _>>(), "formulas": formulas.collect::<BTreeMap<_, _>>() })
            .to_string()
    }

    /// The request for some of the formulas.
    pub fn request(&self, formulas: &[&str]) -> Value {
        json!({ "formulas": formulas, "from": self.from, "to": self.to, "step": self.step, "summary": true })
    }

    pub fn formula_names(&self) -> Vec<&str> {
        self.formulas.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn buckets(&self) -> Vec<(i64, i64)> {
        let step = match self.step {
            "1m" => MINUTE,
            "2m" => 2 * MINUTE,
            "7m" => 7 * MINUTE,
            _ => 60 * MINUTE,
        };
        let first = self.from.div_euclid(step) * step;
        (0..).map(|i| (first + i * step, first + (i + 1) * step)).take_while(|(start, _)| *start < self.to).collect()
    }

    /// What each formula comes to: by tags, the values, undefined marks and summary.
    pub fn expected(&self, formula: &str) -> BTreeMap<Vec<String>, Expected> {
        let buckets = self.buckets();
        let whole = vec![(buckets[0].0, buckets[buckets.len() - 1].1)];
        let in_buckets = Reference { case: self, buckets: &buckets, read: &whole };
        let in_whole = Reference { case: self, buckets: &whole, read: &whole };
        let expr = Expr::Ref(formula.to_owned());
        let tags = in_buckets.tags(&expr);
        let row = |group: &Group| {
            let cells: Vec<Cell> = (0..buckets.len()).map(|i| in_buckets.value(&expr, group, i)).collect();
            let summary = in_whole.value(&expr, group, 0);
            (tags.iter().map(|tag| group[*tag].clone()).collect(), Expected { cells, summary })
        };
        in_buckets.keys(&expr).iter().map(row).collect()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    pub cells: Vec<Cell>,
    pub summary: Cell,
}

/// A value or null, and whether the null is undefined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    pub value: Option<f64>,
    pub undefined: bool,
}

type Group = BTreeMap<&'static str, String>;

fn random_metric(dice: &mut Dice, prefix: &str) -> Metric {
    Metric {
        series: format!("{prefix}s{}", dice.below(4)),
        filter: (dice.below(3) == 0).then(|| dice.pick(&[vec!["x"], vec!["x", "y"], vec!["z"]])),
        aggregate: dice.pick(&AGGREGATES),
        gauge: dice.below(2) == 0,
        fill: dice.pick(&["zero", "none", "previous"]),
        group_by: dice.pick(&TAG_SETS),
    }
}

fn random_expr(dice: &mut Dice, names: &[String], depth: usize) -> Expr {
    let inner = |dice: &mut Dice| Box::new(random_expr(dice, names, depth - 1));
    match if depth == 0 { dice.below(5) } else { dice.below(16) } {
        0 => Expr::Number(dice.pick(&[0.0, 1.0, 2.0, 0.5, 100.0])),
        1 if dice.below(4) == 0 => Expr::Null,
        1..=5 => Expr::Ref(dice.pick(names)),
        6 => Expr::Unary(dice.pick(&["-", "!"]), inner(dice)),
        7..=12 => {
            let op = dice.pick(&["+", "-", "*", "/", "%", "^", "<", "<=", ">", ">=", "==", "!=", "&&", "||"]);
            Expr::Binary(op, inner(dice), inner(dice))
        }
        _ => {
            let (name, count) = dice.pick(&[
                ("abs", 1),
                ("floor", 1),
                ("ceil", 1),
                ("round", 1),
                ("sqrt", 1),
                ("exp", 1),
                ("ln", 1),
                ("log10", 1),
                ("min", 2),
                ("max", 3),
                ("pow", 2),
                ("clamp", 3),
                ("if", 3),
                ("if", 3),
                ("coalesce", 2),
                ("coalesce", 3),
            ]);
            Expr::Call(name, (0..count).map(|_| random_expr(dice, names, depth - 1)).collect())
        }
    }
}

fn random_points(dice: &mut Dice, prefix: &str) -> Vec<Point> {
    let mut points = BTreeMap::new();
    for _ in 0..dice.below(200) {
        let mut tags = BTreeMap::new();
        // A series without any tag is left out: some databases cannot keep one beside tagged ones of the same name.
        tags.insert("host".to_owned(), format!("h{}", dice.below(2)));
        if let Some(a) = dice.pick(&[Some("x"), Some("y"), Some("z"), None]) {
            tags.insert("a".to_owned(), a.to_owned());
        }
        if let Some(b) = dice.pick(&[Some("u"), Some("v w"), None]) {
            tags.insert("b".to_owned(), b.to_owned());
        }
        let series = format!("{prefix}s{}", dice.below(4));
        let timestamp = START - 10 * MINUTE + dice.below(90) as i64 * 30_000;
        let value = dice.below(41) as f64 - 10.0;
        points.insert((series, tags, timestamp), value);
    }
    points.into_iter().map(|((series, tags, timestamp), value)| Point { series, tags, timestamp, value }).collect()
}

/// The text of an expression, with parentheses everywhere.
pub fn print(expr: &Expr) -> String {
    match expr {
        Expr::Number(number) => number.to_string(),
        Expr::Null => "null".to_owned(),
        Expr::Ref(name) => name.clone(),
        Expr::Unary(op, a) => format!("({op}{})", print(a)),
        Expr::Binary(op, a, b) => format!("({} {op} {})", print(a), print(b)),
        Expr::Call(name, args) => format!("{name}({})", args.iter().map(print).collect::<Vec<_>>().join(", ")),
    }
}

/// Plain evaluation: each value from its operands' values, nothing shared, nothing columnar.
struct Reference<'a> {
    case: &'a Case,
    buckets: &'a [(i64, i64)],
    read: &'a [(i64, i64)],
}

impl Reference<'_> {
    fn formula(&self, name: &str) -> Option<&Expr> {
        self.case.formulas.iter().find(|(formula, _)| formula == name).map(|(_, expr)| expr)
    }

    fn operands<'e>(&'e self, expr: &'e Expr) -> Vec<&'e Expr> {
        match expr {
            Expr::Number(_) | Expr::Null => Vec::new(),
            Expr::Ref(name) => self.formula(name).into_iter().collect(),
            Expr::Unary(_, a) => vec![a],
            Expr::Binary(_, a, b) => vec![a, b],
            Expr::Call(_, args) => args.iter().collect(),
        }
    }

    fn tags(&self, expr: &Expr) -> Vec<&'static str> {
        if let Expr::Ref(name) = expr
            && let Some(metric) = self.case.metrics.get(name)
        {
            return metric.group_by.to_vec();
        }
        self.operands(expr).into_iter().map(|operand| self.tags(operand)).max_by_key(Vec::len).unwrap_or_default()
    }

    fn keys(&self, expr: &Expr) -> BTreeSet<Group> {
        if let Expr::Ref(name) = expr
            && let Some(metric) = self.case.metrics.get(name)
        {
            return match metric.group_by {
                [] => BTreeSet::from([Group::new()]),
                tags => {
                    let in_read = |p: &&Point| p.timestamp >= self.read[0].0 && p.timestamp < self.read[0].1;
                    self.points(metric).filter(in_read).map(|point| group_of(point, tags)).collect()
                }
            };
        }
        let operands = self.operands(expr);
        if operands.is_empty() {
            return BTreeSet::from([Group::new()]);
        }
        let tags = self.tags(expr);
        let mut candidates = BTreeSet::new();
        for operand in operands.iter().filter(|operand| self.tags(operand) == tags) {
            candidates.extend(self.keys(operand));
        }
        candidates.retain(|group| self.supplies(expr, group));
        candidates
    }

    /// Whether an expression is worth something for a group, be it what it gives for zeros.
    fn supplies(&self, expr: &Expr, group: &Group) -> bool {
        match expr {
            Expr::Ref(name) if self.case.metrics.contains_key(name) => {
                let metric = &self.case.metrics[name];
                metric.group_by.is_empty()
                    || metric.fill == "zero"
                    || self.keys(expr).contains(&project(group, metric.group_by))
            }
            Expr::Call("coalesce", _) => true,
            _ => self.operands(expr).into_iter().all(|operand| self.supplies(operand, group)),
        }
    }

    fn points<'p>(&'p self, metric: &'p Metric) -> impl Iterator<Item = &'p Point> {
        let passes = move |point: &&Point| {
            let a = point.tags.get("a").map_or("", String::as_str);
            point.series == metric.series && metric.filter.as_ref().is_none_or(|values| values.contains(&a))
        };
        self.case.points.iter().filter(passes)
    }

    fn value(&self, expr: &Expr, group: &Group, bucket: usize) -> Cell {
        let operand = |operand: &Expr| self.value(operand, group, bucket);
        match expr {
            Expr::Number(number) => cell(Some(*number), false),
            Expr::Null => cell(None, false),
            Expr::Ref(name) => match self.case.metrics.get(name) {
                Some(metric) => self.metric(metric, &project(group, metric.group_by), bucket),
                None => operand(self.formula(name).unwrap()),
            },
            Expr::Unary(op, a) => strict(&[operand(a)], |v| if *op == "-" { -v[0] } else { truth(v[0] == 0.0) }),
            Expr::Binary(op, a, b) => strict(&[operand(a), operand(b)], |v| binary(op, v[0], v[1])),
            Expr::Call("if", args) => {
                let condition = operand(&args[0]);
                match condition.value {
                    None => condition,
                    Some(value) => operand(&args[if value != 0.0 { 1 } else { 2 }]),
                }
            }
            Expr::Call("coalesce", args) => {
                let supplied = |arg: &Expr| if self.supplies(arg, group) { operand(arg) } else { cell(None, false) };
                let cells: Vec<Cell> = args.iter().map(supplied).collect();
                match cells.iter().find(|cell| cell.value.is_some()) {
                    Some(found) => *found,
                    None => cell(None, cells.iter().any(|cell| cell.undefined)),
                }
            }
            Expr::Call(name, args) => {
                let cells: Vec<Cell> = args.iter().map(operand).collect();
                strict(&cells, |v| call(name, v))
            }
        }
    }

    fn metric(&self, metric: &Metric, group: &Group, bucket: usize) -> Cell {
        let raw = |index: usize| {
            let (start, end) = self.buckets[index];
            let inside =
                |p: &&Point| p.timestamp >= start && p.timestamp < end && group_of(p, metric.group_by) == *group;
            let points: Vec<&Point> = self.points(metric).filter(inside).collect();
            aggregate(metric.aggregate, &points)
        };
        let value = raw(bucket).or_else(|| match metric.fill {
            _ if self.buckets[bucket].0 > self.case.now => None,
            "zero" => Some(0.0),
            "previous" => (0..bucket).rev().find_map(raw),
            _ => None,
        });
        cell(value, false)
    }
}

fn cell(value: Option<f64>, undefined: bool) -> Cell {
    Cell { value, undefined }
}

fn strict(operands: &[Cell], compute: impl Fn(&[f64]) -> f64) -> Cell {
    let values: Option<Vec<f64>> = operands.iter().map(|operand| operand.value).collect();
    match values.map(|values| compute(&values)) {
        Some(result) if result.is_finite() => cell(Some(result), false),
        Some(_) => cell(None, true),
        None => cell(None, operands.iter().any(|operand| operand.undefined)),
    }
}

fn truth(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

fn binary(op: &str, a: f64, b: f64) -> f64 {
    match op {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "%" => a % b,
        "^" => a.powf(b),
        "<" => truth(a < b),
        "<=" => truth(a <= b),
        ">" => truth(a > b),
        ">=" => truth(a >= b),
        "==" => truth(a == b),
        "!=" => truth(a != b),
        "&&" => truth(a != 0.0 && b != 0.0),
        _ => truth(a != 0.0 || b != 0.0),
    }
}

fn call(name: &str, v: &[f64]) -> f64 {
    match name {
        "abs" => v[0].abs(),
        "floor" => v[0].floor(),
        "ceil" => v[0].ceil(),
        "round" => v[0].round(),
        "sqrt" => v[0].sqrt(),
        "exp" => v[0].exp(),
        "ln" => v[0].ln(),
        "log10" => v[0].log10(),
        "min" => v.iter().copied().fold(f64::INFINITY, f64::min),
        "max" => v.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "pow" => v[0].powf(v[1]),
        _ => v[0].max(v[1]).min(v[2]),
    }
}

fn group_of(point: &Point, tags: &[&'static str]) -> Group {
    tags.iter().map(|tag| (*tag, point.tags.get(*tag).cloned().unwrap_or_default())).collect()
}

fn project(group: &Group, tags: &[&'static str]) -> Group {
    group.iter().filter(|(tag, _)| tags.contains(tag)).map(|(tag, value)| (*tag, value.clone())).collect()
}

fn aggregate(name: &str, points: &[&Point]) -> Option<f64> {
    if points.is_empty() {
        return None;
    }
    let values = || points.iter().map(|point| point.value);
    let at = |timestamp: i64| {
        let same = points.iter().filter(move |point| point.timestamp == timestamp);
        same.map(|point| point.value).fold(f64::NEG_INFINITY, f64::max)
    };
    let sum: f64 = values().sum();
    Some(match name {
        "sum" => sum,
        "avg" => sum / points.len() as f64,
        "min" => values().fold(f64::INFINITY, f64::min),
        "max" => values().fold(f64::NEG_INFINITY, f64::max),
        "count" => points.len() as f64,
        "first" => at(points.iter().map(|point| point.timestamp).min()?),
        "last" => at(points.iter().map(|point| point.timestamp).max()?),
        _ => {
            let mut sorted: Vec<f64> = values().collect();
            sorted.sort_by(f64::total_cmp);
            let rank = (sorted.len() - 1) as f64 * 0.75;
            let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
            low + (high - low) * rank.fract()
        }
    })
}

/// Holds the answer of one formula against what is expected of it.
pub fn check(case: &Case, result: &Value) -> Result<(), String> {
    let name = result["formula"].as_str().unwrap();
    let expected = case.expected(name);
    let series = result["series"].as_array().ok_or_else(|| format!("{name}: {result}"))?;
    let keys = |series: &Value| -> Vec<String> {
        series["tags"].as_object().unwrap().values().map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let got: Vec<Vec<String>> = series.iter().map(keys).collect();
    let wanted: Vec<Vec<String>> = expected.keys().cloned().collect();
    if got != wanted {
        return Err(format!("{name}: the series are {got:?}, expected {wanted:?}"));
    }
    for (series, (key, expected)) in series.iter().zip(&expected) {
        let values = series["values"].as_array().unwrap();
        let undefined = marks(series, values.len());
        for (index, cell) in expected.cells.iter().enumerate() {
            let got = Cell { value: values[index].as_f64(), undefined: undefined[index] };
            same(&got, cell).map_err(|error| format!("{name} {key:?} at {index}: {error}"))?;
        }
        if values.len() != expected.cells.len() {
            return Err(format!("{name} {key:?}: {} values, expected {}", values.len(), expected.cells.len()));
        }
        let got = Cell {
            value: series["summary"].as_f64(),
            undefined: series["summary_reason"].as_str() == Some("undefined"),
        };
        same(&got, &expected.summary).map_err(|error| format!("{name} {key:?} summary: {error}"))?;
    }
    Ok(())
}

fn marks(series: &Value, count: usize) -> Vec<bool> {
    let mut marks = vec![false; count];
    for run in series["undefined"].as_array().into_iter().flatten() {
        let (start, length) = (run[0].as_u64().unwrap() as usize, run[1].as_u64().unwrap() as usize);
        marks[start..start + length].fill(true);
    }
    marks
}

fn same(got: &Cell, expected: &Cell) -> Result<(), String> {
    let close = match (got.value, expected.value) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()),
        (None, None) => true,
        _ => false,
    };
    if close && got.undefined == expected.undefined { Ok(()) } else { Err(format!("{got:?}, expected {expected:?}")) }
}
