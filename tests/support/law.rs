//! Random keyspaces, points and requests, and what they come to by plain arithmetic, point by point: the law that every
//! backend and the columnar evaluation are held to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tsdb_ws::series::Point;

pub const MINUTE: i64 = 60_000;
/// Aligned to every step that the law asks for, also 7 m.
pub const START: i64 = 1_790_000_000_000 / (420 * MINUTE) * (420 * MINUTE);
const DAY: i64 = 24 * 60 * MINUTE;

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
    pub kind: &'static str,
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
    /// A function over time and so many steps, for those that name a duration.
    Time(&'static str, Box<Expr>, i64),
    /// `sum_by` and its kin.
    Fold(&'static str, Box<Expr>, Vec<&'static str>),
    Top(Box<Expr>, usize),
    Share(Box<Expr>),
    /// `baseline` or `lift`.
    Against(&'static str, Box<Expr>, &'static str, &'static str),
}

#[derive(Debug, Clone)]
pub struct Case {
    pub metrics: BTreeMap<String, Metric>,
    pub formulas: Vec<(String, Expr)>,
    pub points: Vec<Point>,
    pub from: i64,
    pub to: i64,
    pub step: Step,
    pub timezone: &'static str,
    pub now: i64,
}

/// A step, and the unit in which windows and offsets of it are written.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub text: &'static str,
    unit: &'static str,
    /// Of the unit.
    count: i64,
    /// For steps of the calendar.
    days: Option<i64>,
}

const EXACT: [Step; 4] = [
    Step { text: "1m", unit: "m", count: 1, days: None },
    Step { text: "2m", unit: "m", count: 2, days: None },
    Step { text: "7m", unit: "m", count: 7, days: None },
    Step { text: "1h", unit: "m", count: 60, days: None },
];
const CALENDAR: [Step; 4] = [
    Step { text: "1d", unit: "d", count: 1, days: Some(1) },
    Step { text: "1d", unit: "d", count: 1, days: Some(1) },
    Step { text: "2d", unit: "d", count: 2, days: Some(2) },
    Step { text: "1w", unit: "w", count: 1, days: Some(7) },
];
/// Zones and dates on which their clocks change; none of them lacks a date.
const CHANGES: [(&str, &str); 12] = [
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Africa/Cairo", "2026-04-24"),
    ("Africa/Cairo", "2026-10-29"),
    ("Asia/Beirut", "2026-03-29"),
    ("Asia/Beirut", "2026-10-24"),
    ("America/Havana", "2026-03-08"),
    ("America/Havana", "2026-11-01"),
];

/// Tag sets that can all be joined with one another.
const TAG_SETS: [&[&str]; 3] = [&[], &["a"], &["a", "b"]];
const AGGREGATES: [&str; 8] = ["sum", "avg", "min", "max", "count", "first", "last", "p75"];

impl Case {
    /// The case of a seed. `prefix` begins every stored name, so that cases share a database.
    pub fn of(seed: u64, prefix: &str) -> Case {
        let mut dice = Dice(seed);
        let metrics: BTreeMap<String, Metric> =
            (0..2 + dice.below(5)).map(|i| (format!("m{i}"), random_metric(&mut dice, prefix))).collect();
        let mut formulas = Vec::new();
        for i in 0..1 + dice.below(5) {
            let expr = random_expr(&mut dice, &Named { metrics: &metrics, formulas: &formulas }, 4);
            formulas.push((format!("f{i}"), expr));
        }
        // A tick is what points and ranges are laid out by: a minute, or half a day around a change of the clocks.
        let calendar = dice.below(3) == 0;
        let (step, timezone, start, tick) = match calendar {
            false => (dice.pick(&EXACT), "UTC", START, MINUTE),
            true => {
                let (zone, date) = dice.pick(&CHANGES);
                (
                    dice.pick(&CALENDAR),
                    zone,
                    first_instant(date.parse().unwrap(), &TimeZone::get(zone).unwrap()),
                    DAY / 2,
                )
            }
        };
        let points = random_points(&mut dice, prefix, start, tick);
        let from = start + (dice.below(20) as i64 - 5) * tick + if calendar { dice.below(1_000) as i64 } else { 0 };
        let to = from + (1 + dice.below(45) as i64) * tick;
        let now = if dice.below(3) == 0 { from + dice.below(40) as i64 * tick } else { to + 60 * tick };
        Case { metrics, formulas, points, from, to, step, timezone, now }
    }

    /// The keyspace file.
    pub fn keyspace(&self) -> String {
        let metrics = self.metrics.iter().map(|(name, metric)| {
            let mut spec = json!({ "series": metric.series, "aggregate": metric.aggregate, "fill": metric.fill,
                "kind": metric.kind, "group_by": metric.group_by });
            if let Some(filter) = &metric.filter {
                spec["tags"] = json!({ "a": filter });
            }
            (name.clone(), spec)
        });
        let print = |expr: &Expr| print(expr, self.step);
        let formulas = self.formulas.iter().map(|(name, expr)| (name.clone(), json!({ "expr": print(expr) })));
        json!({ "metrics": metrics.collect::<BTreeMap<_, _>>(), "formulas": formulas.collect::<BTreeMap<_, _>>() })
            .to_string()
    }

    /// The request for some of the formulas.
    pub fn request(&self, formulas: &[&str]) -> Value {
        json!({ "formulas": formulas, "from": self.from, "to": self.to, "step": self.step.text,
            "timezone": self.timezone, "summary": true })
    }

    pub fn formula_names(&self) -> Vec<&str> {
        self.formulas.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// What each formula comes to: by tags, the values, undefined marks and summary. `None` where a comparison of sums of quotients
    /// is decided by how they were rounded, which the order of adding does.
    pub fn expected(&self, formula: &str) -> Option<BTreeMap<Vec<String>, Expected>> {
        let reference = Reference::new(self);
        let count = (1..).find(|bucket| reference.start(*bucket) >= self.to).unwrap();
        let frame = Frame { low: 0, own: 0, high: count };
        let expr = Expr::Ref(formula.to_owned());
        let tags = reference.tags(&expr);
        let row = |group: &Group| {
            let cells = (0..count).map(|bucket| reference.value(&expr, group, At::Bucket(bucket), frame)).collect();
            let mut summary = reference.value(&expr, group, At::Whole, frame);
            // The reason is then that there is no single bucket.
            summary.undefined &= reference.has_single_bucket(&expr);
            (tags.iter().map(|tag| group[*tag].clone()).collect(), Expected { cells, summary })
        };
        let expected = reference.keys(&expr, frame).iter().map(row).collect();
        (!reference.is_decided_by_rounding.get()).then_some(expected)
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
    let kind = dice.pick(&["delta", "delta", "gauge", "gauge", "counter"]);
    Metric {
        series: format!("{prefix}s{}", dice.below(4)),
        filter: (dice.below(3) == 0).then(|| dice.pick(&[vec!["x"], vec!["x", "y"], vec!["z"]])),
        aggregate: if kind == "counter" { "sum" } else { dice.pick(&AGGREGATES) },
        kind,
        fill: dice.pick(&["zero", "none", "previous"]),
        group_by: dice.pick(&TAG_SETS),
    }
}

/// What an expression may name.
struct Named<'a> {
    metrics: &'a BTreeMap<String, Metric>,
    formulas: &'a [(String, Expr)],
}

impl Named<'_> {
    fn pick(&self, dice: &mut Dice) -> String {
        let place = dice.below(self.metrics.len() + self.formulas.len());
        match place.checked_sub(self.metrics.len()) {
            None => self.metrics.keys().nth(place).unwrap().clone(),
            Some(formula) => self.formulas[formula].0.clone(),
        }
    }
}

/// A function over time or across series of an expression.
fn random_function(dice: &mut Dice, named: &Named<'_>, depth: usize) -> Expr {
    let inner = random_expr(dice, named, depth - 1);
    let tags = tags_of(&inner, named.metrics, named.formulas);
    let inner = Box::new(inner);
    match dice.below(13) {
        0..=3 => {
            let name = dice.pick(&["moving_avg", "moving_sum", "moving_min", "moving_max"]);
            let longest = if dice.below(4) == 0 { 40 } else { 4 };
            Expr::Time(name, inner, 1 + dice.below(longest) as i64)
        }
        4 => Expr::Time("cumulative", inner, 0),
        5 => Expr::Time("delta", inner, 0),
        6 => Expr::Time("rate", inner, 0),
        7 => Expr::Time("offset", inner, 1 + dice.below(5) as i64),
        8 => Expr::Top(inner, 1 + dice.below(3)),
        9 => Expr::Share(inner),
        10 if !tags.is_empty() => {
            // The last of its tags, so that what is left can still be joined with all the others.
            let (name, tag) = (dice.pick(&["baseline", "lift"]), tags[tags.len() - 1]);
            Expr::Against(name, inner, tag, dice.pick(&["x", "u", "z"]))
        }
        _ => {
            let name = dice.pick(&["sum_by", "avg_by", "min_by", "max_by", "count_by"]);
            Expr::Fold(name, inner, tags[..dice.below(tags.len() + 1)].to_vec())
        }
    }
}

fn random_expr(dice: &mut Dice, named: &Named<'_>, depth: usize) -> Expr {
    let inner = |dice: &mut Dice| Box::new(random_expr(dice, named, depth - 1));
    match if depth == 0 { dice.below(5) } else { dice.below(21) } {
        16.. => random_function(dice, named, depth),
        0 => Expr::Number(dice.pick(&[0.0, 1.0, 2.0, 0.5, 100.0])),
        1 if dice.below(4) == 0 => Expr::Null,
        1..=5 => Expr::Ref(named.pick(dice)),
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
            Expr::Call(name, (0..count).map(|_| random_expr(dice, named, depth - 1)).collect())
        }
    }
}

fn random_points(dice: &mut Dice, prefix: &str, start: i64, tick: i64) -> Vec<Point> {
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
        let timestamp = start - 10 * tick + dice.below(90) as i64 * tick / 2;
        let value = dice.below(41) as f64 - 10.0;
        points.insert((series, tags, timestamp), value);
    }
    points.into_iter().map(|((series, tags, timestamp), value)| Point { series, tags, timestamp, value }).collect()
}

/// The text of an expression, with parentheses everywhere.
pub fn print(expr: &Expr, step: Step) -> String {
    let print = |expr: &Expr| print(expr, step);
    match expr {
        Expr::Number(number) => number.to_string(),
        Expr::Null => "null".to_owned(),
        Expr::Ref(name) => name.clone(),
        Expr::Unary(op, a) => format!("({op}{})", print(a)),
        Expr::Binary(op, a, b) => format!("({} {op} {})", print(a), print(b)),
        Expr::Call(name, args) => format!("{name}({})", args.iter().map(print).collect::<Vec<_>>().join(", ")),
        Expr::Time(name, a, 0) => format!("{name}({})", print(a)),
        Expr::Time(name, a, steps) => format!("{name}({}, \"{}{}\")", print(a), steps * step.count, step.unit),
        Expr::Fold(name, a, tags) => {
            let tags: String = tags.iter().map(|tag| format!(", \"{tag}\"")).collect();
            format!("{name}({}{tags})", print(a))
        }
        Expr::Top(a, count) => format!("topk({}, {count})", print(a)),
        Expr::Share(a) => format!("share({})", print(a)),
        Expr::Against(name, a, tag, value) => format!("{name}({}, \"{tag}\", \"{value}\")", print(a)),
    }
}

fn operands(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Number(_) | Expr::Null | Expr::Ref(_) => Vec::new(),
        Expr::Binary(_, a, b) => vec![a, b],
        Expr::Call(_, args) => args.iter().collect(),
        Expr::Unary(_, a)
        | Expr::Time(_, a, _)
        | Expr::Fold(_, a, _)
        | Expr::Top(a, _)
        | Expr::Share(a)
        | Expr::Against(_, a, ..) => vec![a],
    }
}

fn tags_of(expr: &Expr, metrics: &BTreeMap<String, Metric>, formulas: &[(String, Expr)]) -> Vec<&'static str> {
    let of = |expr: &Expr| tags_of(expr, metrics, formulas);
    match expr {
        Expr::Ref(name) => match metrics.get(name) {
            Some(metric) => metric.group_by.to_vec(),
            None => of(&formulas.iter().find(|(formula, _)| formula == name).unwrap().1),
        },
        Expr::Fold(_, _, tags) => tags.clone(),
        Expr::Against("baseline", a, tag, _) => of(a).into_iter().filter(|other| other != tag).collect(),
        _ => operands(expr).into_iter().map(of).max_by_key(Vec::len).unwrap_or_default(),
    }
}

/// What is read for an expression: buckets by number, 0 being the first of the answer. Those before `own` are there for
/// windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Frame {
    low: i64,
    own: i64,
    high: i64,
}

impl Frame {
    fn widened(self, by: i64) -> Frame {
        Frame { low: self.low - by, ..self }
    }

    fn earlier(self, by: i64) -> Frame {
        Frame { low: self.low - by, own: self.own - by, high: self.high - by }
    }
}

/// Where a value is asked for: in a bucket, or over the frame's own buckets as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Bucket(i64),
    Whole,
}

type Asked = (*const Expr, Group, At, Frame);
type Groups = Rc<BTreeSet<Group>>;

/// Plain evaluation: each value from its operands' values, nothing columnar; what was found out is remembered, or deep
/// formulas would take for ever.
struct Reference<'a> {
    case: &'a Case,
    buckets: Buckets,
    starts: RefCell<HashMap<i64, i64>>,
    tops: RefCell<HashMap<(*const Expr, Frame), BTreeSet<Group>>>,
    keys: RefCell<HashMap<(*const Expr, Frame), Groups>>,
    memo: RefCell<HashMap<Asked, Cell>>,
    is_decided_by_rounding: std::cell::Cell<bool>,
}

/// Where buckets begin, bucket 0 being the first of the answer.
enum Buckets {
    Exact {
        first: i64,
        length: i64,
    },
    /// By local dates.
    Calendar {
        first: Date,
        days: i64,
        zone: TimeZone,
    },
}

impl Buckets {
    fn new(case: &Case) -> Buckets {
        let Some(days) = case.step.days else {
            let length = case.step.count * MINUTE;
            return Buckets::Exact { first: case.from.div_euclid(length) * length, length };
        };
        let from = jiff::Timestamp::from_millisecond(case.from).unwrap();
        let zone = TimeZone::get(case.timezone).unwrap();
        let date = from.to_zoned_datetime(zone.clone()).date();
        // Two days are counted from 1970-01-01, weeks from a Monday.
        let origin: Date = if days == 7 { "1970-01-05" } else { "1970-01-01" }.parse().unwrap();
        let since = i64::from(origin.until(date).unwrap().get_days());
        Buckets::Calendar { first: date - (since.rem_euclid(days)).days(), days, zone }
    }

    fn start(&self, bucket: i64) -> i64 {
        match self {
            Buckets::Exact { first, length } => first + bucket * length,
            Buckets::Calendar { first, days, zone } => first_instant(*first + (bucket * days).days(), zone),
        }
    }
}

/// When a date begins: at midnight, or where the clocks skip it, when they go on.
fn first_instant(date: Date, zone: &TimeZone) -> i64 {
    date.to_zoned_datetime(zone.clone()).unwrap().timestamp().as_millisecond()
}

impl Reference<'_> {
    fn new(case: &Case) -> Reference<'_> {
        Reference {
            case,
            buckets: Buckets::new(case),
            starts: RefCell::default(),
            tops: RefCell::default(),
            keys: RefCell::default(),
            memo: RefCell::default(),
            is_decided_by_rounding: std::cell::Cell::new(false),
        }
    }

    fn formula(&self, name: &str) -> &Expr {
        self.case.formulas.iter().find(|(formula, _)| formula == name).map(|(_, expr)| expr).unwrap()
    }

    fn has_single_bucket(&self, expr: &Expr) -> bool {
        let windows = matches!(expr, Expr::Time(name, ..) if *name != "rate" && *name != "offset");
        let inside = match expr {
            Expr::Ref(name) if !self.case.metrics.contains_key(name) => vec![self.formula(name)],
            _ => operands(expr),
        };
        !windows && inside.into_iter().all(|operand| self.has_single_bucket(operand))
    }

    fn start(&self, bucket: i64) -> i64 {
        *self.starts.borrow_mut().entry(bucket).or_insert_with(|| self.buckets.start(bucket))
    }

    fn tags(&self, expr: &Expr) -> Vec<&'static str> {
        tags_of(expr, &self.case.metrics, &self.case.formulas)
    }

    /// The frame of the operand.
    fn inside(&self, expr: &Expr, frame: Frame) -> Frame {
        match expr {
            Expr::Time("offset", _, steps) => frame.earlier(*steps),
            Expr::Time("delta", ..) => frame.widened(1),
            Expr::Time(name, _, steps) if name.starts_with("moving") => frame.widened(steps - 1),
            _ => frame,
        }
    }

    fn keys(&self, expr: &Expr, frame: Frame) -> Groups {
        let asked = (std::ptr::from_ref(expr), frame);
        if let Some(known) = self.keys.borrow().get(&asked) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.find_keys(expr, frame));
        self.keys.borrow_mut().insert(asked, Rc::clone(&found));
        found
    }

    fn find_keys(&self, expr: &Expr, frame: Frame) -> BTreeSet<Group> {
        let inside = self.inside(expr, frame);
        match expr {
            Expr::Number(_) | Expr::Null => BTreeSet::from([Group::new()]),
            Expr::Ref(name) => match self.case.metrics.get(name) {
                None => BTreeSet::clone(&self.keys(self.formula(name), frame)),
                Some(metric) if metric.group_by.is_empty() => BTreeSet::from([Group::new()]),
                Some(metric) => {
                    let read = self.start(frame.low)..self.start(frame.high);
                    let points = self.points(metric).filter(|point| read.contains(&point.timestamp));
                    points.map(|point| group_of(point, metric.group_by)).collect()
                }
            },
            Expr::Time(_, a, _) | Expr::Share(a) => BTreeSet::clone(&self.keys(a, inside)),
            Expr::Fold(_, a, tags) => self.keys(a, inside).iter().map(|group| project(group, tags)).collect(),
            Expr::Top(a, count) => self.top(expr, a, *count, frame),
            Expr::Against("baseline", a, tag, value) => {
                let of_baseline = |group: &&Group| group[tag] == *value;
                let rest = |group: Group| group.into_iter().filter(|(other, _)| other != tag).collect();
                self.keys(a, inside).iter().filter(of_baseline).cloned().map(rest).collect()
            }
            Expr::Against(_, a, ..) => {
                self.keys(a, inside).iter().filter(|group| self.supplies(expr, group, frame)).cloned().collect()
            }
            Expr::Unary(..) | Expr::Binary(..) | Expr::Call(..) => {
                let tags = self.tags(expr);
                let whole = operands(expr).into_iter().filter(|operand| self.tags(operand) == tags);
                let mut candidates: BTreeSet<Group> =
                    whole.flat_map(|operand| BTreeSet::clone(&self.keys(operand, frame))).collect();
                if operands(expr).is_empty() {
                    candidates.insert(Group::new());
                }
                candidates.retain(|group| self.supplies(expr, group, frame));
                candidates
            }
        }
    }

    /// The series with the greatest sums over the frame's own buckets.
    fn top(&self, expr: &Expr, a: &Expr, count: usize, frame: Frame) -> BTreeSet<Group> {
        let asked = (std::ptr::from_ref(expr), frame);
        if let Some(known) = self.tops.borrow().get(&asked) {
            return known.clone();
        }
        let sum = |group: &Group| {
            let values =
                (frame.own..frame.high).filter_map(|bucket| self.value(a, group, At::Bucket(bucket), frame).value);
            values.reduce(|sum, value| sum + value).unwrap_or(f64::NEG_INFINITY)
        };
        let mut ranked: Vec<(f64, Group)> =
            self.keys(a, frame).iter().map(|group| (sum(group), group.clone())).collect();
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let best: BTreeSet<Group> = ranked.into_iter().take(count).map(|(_, group)| group).collect();
        self.tops.borrow_mut().insert(asked, best.clone());
        best
    }

    /// Whether an expression is worth something for a group, be it what it gives for zeros. The group may have more tags.
    fn supplies(&self, expr: &Expr, group: &Group, frame: Frame) -> bool {
        let inside = self.inside(expr, frame);
        match expr {
            Expr::Ref(name) => match self.case.metrics.get(name) {
                Some(metric) => {
                    metric.group_by.is_empty()
                        || metric.fill == "zero"
                        || self.keys(expr, frame).contains(&project(group, metric.group_by))
                }
                None => self.supplies(self.formula(name), group, frame),
            },
            Expr::Call("coalesce", _) => true,
            Expr::Fold(_, a, tags) => {
                let group = project(group, tags);
                !self.members(a, &group, tags, inside).is_empty() || self.supplies(a, &self.as_zeros(a, &group), inside)
            }
            Expr::Top(a, count) => self.top(expr, a, *count, frame).contains(&project(group, &self.tags(a))),
            Expr::Against(name, a, tag, value) => {
                self.supplies(a, &self.instead(group, tag, value), inside)
                    && (*name == "baseline" || self.supplies(a, group, inside))
            }
            _ => operands(expr).into_iter().all(|operand| self.supplies(operand, group, inside)),
        }
    }

    /// The series of `a` that are folded into a group.
    fn members(&self, a: &Expr, group: &Group, tags: &[&'static str], frame: Frame) -> Vec<Group> {
        self.keys(a, frame).iter().filter(|member| project(member, tags) == *group).cloned().collect()
    }

    /// A group of which `a` has no series: its other tags are missing.
    fn as_zeros(&self, a: &Expr, group: &Group) -> Group {
        self.tags(a).into_iter().map(|tag| (tag, group.get(tag).cloned().unwrap_or_default())).collect()
    }

    fn instead(&self, group: &Group, tag: &'static str, value: &str) -> Group {
        group.clone().into_iter().chain([(tag, value.to_owned())]).collect()
    }

    fn points<'p>(&'p self, metric: &'p Metric) -> impl Iterator<Item = &'p Point> {
        let passes = move |point: &&Point| {
            let a = point.tags.get("a").map_or("", String::as_str);
            point.series == metric.series && metric.filter.as_ref().is_none_or(|values| values.contains(&a))
        };
        self.case.points.iter().filter(passes)
    }

    fn value(&self, expr: &Expr, group: &Group, at: At, frame: Frame) -> Cell {
        let asked = (std::ptr::from_ref(expr), group.clone(), at, frame);
        if let Some(known) = self.memo.borrow().get(&asked) {
            return *known;
        }
        let found = self.compute(expr, group, at, frame);
        self.memo.borrow_mut().insert(asked, found);
        found
    }

    fn compute(&self, expr: &Expr, group: &Group, at: At, frame: Frame) -> Cell {
        let inside = self.inside(expr, frame);
        let operand = |operand: &Expr| self.value(operand, group, at, inside);
        match expr {
            Expr::Number(number) => cell(Some(*number), false),
            Expr::Null => cell(None, false),
            Expr::Ref(name) => match self.case.metrics.get(name) {
                Some(metric) => self.metric(metric, &project(group, metric.group_by), at, frame),
                None => operand(self.formula(name)),
            },
            Expr::Unary(op, a) => strict(&[operand(a)], |v| if *op == "-" { -v[0] } else { truth(v[0] == 0.0) }),
            Expr::Binary(op, a, b) => {
                let cells = [operand(a), operand(b)];
                let is_comparison = matches!(*op, "<" | "<=" | ">" | ">=" | "==" | "!=");
                if let (true, [Some(x), Some(y)]) = (is_comparison, cells.map(|cell| cell.value))
                    && x != 0.0
                    && (x - y).abs() <= 1e-9 * x.abs().max(y.abs())
                    && (self.is_rounded(a) || self.is_rounded(b))
                {
                    self.is_decided_by_rounding.set(true);
                }
                strict(&cells, |v| binary(op, v[0], v[1]))
            }
            Expr::Call("if", args) => {
                let condition = operand(&args[0]);
                match condition.value {
                    None => condition,
                    Some(value) => operand(&args[if value != 0.0 { 1 } else { 2 }]),
                }
            }
            Expr::Call("coalesce", args) => {
                let tags = self.tags(expr);
                let has = |arg: &Expr| self.keys(arg, frame).contains(&project(group, &self.tags(arg)));
                // One of its own series: who lacks it is null. Else it is worth what it gives for zeros.
                let own = args.iter().any(|arg| self.tags(arg) == tags && has(arg));
                let counts = |arg: &Expr| if own { has(arg) } else { self.supplies(arg, group, frame) };
                let cells: Vec<Cell> =
                    args.iter().map(|arg| if counts(arg) { operand(arg) } else { cell(None, false) }).collect();
                match cells.iter().find(|cell| cell.value.is_some()) {
                    Some(found) => *found,
                    None => cell(None, cells.iter().any(|cell| cell.undefined)),
                }
            }
            Expr::Call(name, args) => {
                let cells: Vec<Cell> = args.iter().map(operand).collect();
                strict(&cells, |v| call(name, v))
            }
            Expr::Time(name, a, steps) => self.time(name, a, *steps, group, at, frame, inside),
            Expr::Fold(name, a, tags) => {
                let group = project(group, tags);
                let mut members = self.members(a, &group, tags, inside);
                if members.is_empty() && *name != "count_by" {
                    members.push(self.as_zeros(a, &group));
                }
                let cells: Vec<Cell> = members.iter().map(|member| self.value(a, member, at, inside)).collect();
                fold(name, &cells, self.begins(at, frame) <= self.case.now)
            }
            Expr::Top(a, _) => operand(a),
            Expr::Share(a) => {
                let all: Vec<Cell> =
                    self.keys(a, inside).iter().map(|member| self.value(a, member, at, inside)).collect();
                strict(&[operand(a), fold("sum_by", &all, true)], |v| v[0] / v[1])
            }
            Expr::Against(name, a, tag, value) => {
                let base = self.value(a, &self.instead(&project(group, &self.tags(a)), tag, value), at, inside);
                match *name {
                    "baseline" => base,
                    _ => strict(&[strict(&[operand(a), base], |v| v[0] - v[1]), base], |v| v[0] / v[1].abs()),
                }
            }
        }
    }

    /// Whether the order of adding decides the last digits: sums of what is no short binary fraction.
    fn is_rounded(&self, expr: &Expr) -> bool {
        let adds = |expr: &Expr| {
            matches!(
                expr,
                Expr::Share(_) | Expr::Time("moving_sum" | "moving_avg", ..) | Expr::Fold("sum_by" | "avg_by", ..)
            )
        };
        let divides = |expr: &Expr| match expr {
            Expr::Binary(op, ..) => matches!(*op, "/" | "^"),
            Expr::Call(name, _) => matches!(*name, "exp" | "ln" | "log10" | "sqrt" | "pow"),
            Expr::Time(name, ..) => matches!(*name, "rate" | "moving_avg"),
            Expr::Against(name, ..) => *name == "lift",
            Expr::Fold(name, ..) => *name == "avg_by",
            Expr::Share(_) => true,
            // A mean, or a value between two.
            Expr::Ref(name) => self.case.metrics.get(name).is_some_and(|metric| !is_exact(metric.aggregate)),
            _ => false,
        };
        self.any(expr, &adds) && self.any(expr, &divides)
    }

    /// Whether a node of a tree, or of what it refers to, is so.
    fn any(&self, expr: &Expr, is: &dyn Fn(&Expr) -> bool) -> bool {
        let below = match expr {
            Expr::Ref(name) if !self.case.metrics.contains_key(name) => self.any(self.formula(name), is),
            _ => operands(expr).into_iter().any(|operand| self.any(operand, is)),
        };
        below || is(expr)
    }

    fn begins(&self, at: At, frame: Frame) -> i64 {
        match at {
            At::Bucket(bucket) => self.start(bucket),
            At::Whole => self.start(frame.own),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn time(&self, name: &str, a: &Expr, steps: i64, group: &Group, at: At, frame: Frame, inside: Frame) -> Cell {
        let of = |at: At| self.value(a, group, at, inside);
        let At::Bucket(bucket) = at else {
            let seconds = (self.start(frame.high) - self.start(frame.own)) as f64 / 1000.0;
            return match name {
                "rate" => strict(&[of(at)], |v| v[0] / seconds),
                "offset" => of(at),
                _ => cell(None, false),
            };
        };
        let past = self.start(bucket) <= self.case.now;
        let window = |first: i64| -> Vec<Cell> { (first..=bucket).map(|bucket| of(At::Bucket(bucket))).collect() };
        match name {
            "rate" => {
                let seconds = (self.start(bucket + 1) - self.start(bucket)) as f64 / 1000.0;
                strict(&[of(at)], |v| v[0] / seconds)
            }
            "offset" => of(At::Bucket(bucket - steps)),
            "delta" => strict(&window(bucket - 1), |v| v[1] - v[0]),
            _ if !past => cell(None, false),
            "cumulative" => fold("sum_by", &window(frame.own), true),
            "moving_sum" => fold("sum_by", &window(bucket - steps + 1), true),
            "moving_avg" => fold("avg_by", &window(bucket - steps + 1), true),
            "moving_min" => fold("min_by", &window(bucket - steps + 1), true),
            _ => fold("max_by", &window(bucket - steps + 1), true),
        }
    }

    fn metric(&self, metric: &Metric, group: &Group, at: At, frame: Frame) -> Cell {
        let within = |start: i64, end: i64| {
            let inside =
                |p: &&Point| p.timestamp >= start && p.timestamp < end && group_of(p, metric.group_by) == *group;
            if metric.kind == "counter" {
                let points = self.points(metric).filter(inside);
                return points.filter_map(|point| self.increase(point, frame)).reduce(|sum, increase| sum + increase);
            }
            let points: Vec<&Point> = self.points(metric).filter(inside).collect();
            aggregate(metric.aggregate, &points)
        };
        let raw = |bucket: i64| within(self.start(bucket), self.start(bucket + 1));
        let found = match at {
            At::Bucket(bucket) => raw(bucket),
            At::Whole => within(self.start(frame.own), self.start(frame.high)),
        };
        let value = found.or_else(|| match (metric.fill, at) {
            _ if self.begins(at, frame) > self.case.now => None,
            ("zero", _) => Some(0.0),
            ("previous", At::Bucket(bucket)) => (frame.low..bucket).rev().find_map(raw),
            _ => None,
        });
        cell(value, false)
    }

    /// What a point of a counter adds over the one before it of its stored series, which is sought in what is read and at most
    /// five minutes before.
    fn increase(&self, point: &Point, frame: Frame) -> Option<f64> {
        let sought = self.start(frame.low) - 5 * MINUTE..point.timestamp;
        let earlier = self.case.points.iter().filter(|other| {
            (&other.series, &other.tags) == (&point.series, &point.tags) && sought.contains(&other.timestamp)
        });
        let before = earlier.max_by_key(|other| other.timestamp)?.value;
        Some(if point.value >= before { point.value - before } else { point.value })
    }
}

/// Several values as one; nulls are passed over. Nothing is counted in a bucket that has not begun.
fn fold(name: &str, cells: &[Cell], begun: bool) -> Cell {
    let values: Vec<f64> = cells.iter().filter_map(|cell| cell.value).collect();
    let sum = || values.iter().copied().reduce(|sum, value| sum + value);
    let value = match name {
        "count_by" => (begun || !values.is_empty()).then_some(values.len() as f64),
        "sum_by" => sum(),
        "avg_by" => sum().map(|sum| sum / values.len() as f64),
        "min_by" => values.iter().copied().reduce(f64::min),
        _ => values.iter().copied().reduce(f64::max),
    };
    match value {
        Some(value) if !value.is_finite() => cell(None, true),
        value => cell(value, value.is_none() && cells.iter().any(|cell| cell.undefined)),
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

fn is_exact(aggregate: &str) -> bool {
    matches!(aggregate, "sum" | "min" | "max" | "count" | "first" | "last")
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
    let Some(expected) = case.expected(name) else { return Ok(()) };
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
