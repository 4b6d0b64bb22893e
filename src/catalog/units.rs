//! Units, carried from metrics through formulas, and what of them looks like a mistake. Only warnings: a unit changes no value.

use std::collections::{BTreeMap, HashMap};

use petgraph::algo::toposort;
use petgraph::graph::DiGraph;

use super::{Chart, ChartValue, Definition, Formula, Keyspace, Metric, ParameterValue, compile};
use crate::diagnostic::Diagnostic;
use crate::formula::{BinaryOp, Expr, ExprKind, Function, UnaryOp};
use crate::series::Aggregate;

/// The unit of a value: base units and their powers, none for a plain ratio.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Unit(BTreeMap<String, i32>);

/// What is known of the unit of a value.
#[derive(Debug, Clone, PartialEq, Default)]
enum Known {
    /// Nothing: some metric has no unit.
    #[default]
    Nothing,
    /// A number in the text of a formula or a parameter, which takes the unit of what it is added to.
    Number(Option<f64>),
    /// A unit.
    Unit(Unit),
}

/// What is known of a value.
#[derive(Debug, Clone)]
struct Found {
    known: Known,
    /// The constants that it was multiplied by; of a number itself.
    factor: f64,
}

impl From<Known> for Found {
    fn from(known: Known) -> Found {
        let factor = if let Known::Number(Some(number)) = known { number } else { 1.0 };
        Found { known, factor }
    }
}

impl Unit {
    /// The unit of a metric or a chart by its name.
    fn named(name: &str) -> Unit {
        let powers: &[(&str, i32)] = match name {
            "number" | "percent" => &[],
            "rate" => &[("count", 1), ("duration", -1)],
            other => &[(other, 1)],
        };
        Unit(powers.iter().map(|(base, power)| ((*base).to_owned(), *power)).collect())
    }

    fn times(&self, other: &Unit, sign: i32) -> Unit {
        let mut powers = self.0.clone();
        for (base, power) in &other.0 {
            *powers.entry(base.clone()).or_insert(0) += sign * power;
        }
        powers.retain(|_, power| *power != 0);
        Unit(powers)
    }

    fn powered(&self, exponent: f64) -> Option<Unit> {
        let power = |power: &i32| {
            let power = f64::from(*power) * exponent;
            (power.fract() == 0.0 && power.abs() < 1e6).then_some(power as i32)
        };
        let powers =
            self.0.iter().map(|(base, old)| Some((base.clone(), power(old)?))).collect::<Option<BTreeMap<_, _>>>();
        powers.map(|mut powers| {
            powers.retain(|_, power| *power != 0);
            Unit(powers)
        })
    }

    fn power(&self, base: &str) -> i32 {
        self.0.get(base).copied().unwrap_or(0)
    }

    /// In words, such as `currency per count`.
    fn in_words(&self) -> String {
        let side = |sign: i32| {
            let some = self.0.iter().filter(|(_, power)| power.signum() == sign);
            let words = some.map(|(base, power)| match power.abs() {
                1 => base.clone(),
                power => format!("{base}^{power}"),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        match (side(1), side(-1)) {
            (above, below) if above.is_empty() && below.is_empty() => "a ratio".to_owned(),
            (above, below) if below.is_empty() => above,
            (above, below) if above.is_empty() => format!("1 per {below}"),
            (above, below) => format!("{above} per {below}"),
        }
    }

    /// Whether a chart of the named unit can show it. Units of the author's own count things.
    fn fits(&self, chart: &str) -> bool {
        let measured = ["currency", "duration", "bytes"];
        let only = |allowed: &str, power: i32| {
            self.power(allowed) == power && measured.iter().all(|base| *base == allowed || self.power(base) == 0)
        };
        match chart {
            "percent" => measured.iter().all(|base| self.power(base) == 0),
            "count" => !self.0.is_empty() && measured.iter().all(|base| self.power(base) == 0),
            "currency" | "duration" | "bytes" => only(chart, 1),
            "rate" => self.power("duration") == -1,
            _ => true,
        }
    }
}

/// What looks like a mistake in a keyspace that compiled: unlike units, and charts that contradict them.
pub fn lint(keyspace: &Keyspace) -> Vec<Diagnostic> {
    let mut linter = Linter { keyspace, known: HashMap::new(), found: Vec::new() };
    for formula in in_order(keyspace) {
        let found = formula.expr.fold(|expr, operands| linter.found(formula, expr, operands));
        linter.chart(formula, &found);
        linter.known.insert(&formula.name, found);
    }
    linter.found
}

/// The formulas, each after those that it refers to.
pub(super) fn in_order(keyspace: &Keyspace) -> Vec<&Formula> {
    let mut graph: DiGraph<&Formula, ()> = DiGraph::new();
    let mut nodes = HashMap::new();
    for definition in keyspace.definitions.values() {
        if let Definition::Formula(formula) = definition {
            nodes.insert(formula.name.as_str(), graph.add_node(formula.as_ref()));
        }
    }
    for (name, node) in &nodes {
        let Some(Definition::Formula(formula)) = keyspace.definitions.get(*name) else { continue };
        for reference in keyspace.references(formula) {
            if let Some(to) = nodes.get(reference.as_str()) {
                graph.add_edge(*to, *node, ());
            }
        }
    }
    toposort(&graph, None).unwrap_or_default().into_iter().map(|node| graph[node]).collect()
}

struct Linter<'a> {
    keyspace: &'a Keyspace,
    known: HashMap<&'a str, Found>,
    found: Vec<Diagnostic>,
}

impl<'a> Linter<'a> {
    /// What is known of a node from what is known of its operands.
    fn found(&mut self, formula: &Formula, expr: &Expr, operands: Vec<Found>) -> Found {
        match (&expr.kind, operands.as_slice()) {
            (ExprKind::Number(number), _) => Known::Number(Some(*number)).into(),
            (ExprKind::Null, _) => Known::Number(None).into(),
            (ExprKind::Name(_), _) => self.name(formula, expr),
            (ExprKind::Unary(UnaryOp::Neg, _), [operand]) => operand.clone(),
            (ExprKind::Unary(UnaryOp::Not, _), _) => Known::Unit(Unit::default()).into(),
            (ExprKind::Binary(op, a, b), [left, right]) => {
                let factor = factor_of(*op, left, right);
                let (left, right) = (left.known.clone(), right.known.clone());
                Found { factor, known: self.binary(formula, *op, (a, left), (b, right)) }
            }
            (ExprKind::Call(function, arguments), _) => {
                let factor = factor_of_call(*function, &operands);
                let known = operands.into_iter().map(|found| found.known);
                let known: Vec<(&Expr, Known)> = arguments.iter().zip(known).collect();
                Found { factor, known: self.call(formula, *function, &known) }
            }
            _ => Known::Nothing.into(),
        }
    }

    fn name(&self, formula: &Formula, expr: &Expr) -> Found {
        let names = compile::names_of(expr, formula, &self.keyspace.parameters);
        let all = names.iter().map(|name| match self.keyspace.definitions.get(name) {
            Some(Definition::Metric(metric)) => Some(of_metric(metric).into()),
            Some(Definition::Formula(other)) => self.known.get(other.name.as_str()).cloned(),
            None => None,
        });
        let mut all: Vec<Found> = all.map(|found| found.unwrap_or_else(|| Known::Nothing.into())).collect();
        match all.pop() {
            Some(first) => {
                let known = all.iter().all(|other| other.known == first.known);
                let factor = all.iter().all(|other| other.factor == first.factor);
                Found {
                    known: if known { first.known } else { Known::Nothing },
                    factor: if factor { first.factor } else { 1.0 },
                }
            }
            None => Found { known: Known::Number(None), factor: self.default_of(expr).unwrap_or(1.0) },
        }
    }

    /// The number that a parameter is where the request does not say another.
    fn default_of(&self, expr: &Expr) -> Option<f64> {
        let ExprKind::Name(template) = &expr.kind else { return None };
        match self.keyspace.parameters.get(template.as_param()?)?.default.as_ref()? {
            ParameterValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn binary(&mut self, formula: &Formula, op: BinaryOp, a: (&Expr, Known), b: (&Expr, Known)) -> Known {
        let ratio = Known::Unit(Unit::default());
        match op {
            BinaryOp::Or | BinaryOp::And => ratio,
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
                self.alike(formula, "compared", &[a, b]);
                ratio
            }
            BinaryOp::Add => self.alike(formula, "added", &[a, b]),
            BinaryOp::Sub => self.alike(formula, "subtracted", &[a, b]),
            BinaryOp::Rem => a.1,
            BinaryOp::Mul => multiplied(a.1, b.1, 1),
            BinaryOp::Div => multiplied(a.1, b.1, -1),
            BinaryOp::Pow => match (a.1, b.1) {
                (Known::Unit(unit), Known::Number(Some(exponent))) => powered(&unit, exponent),
                _ => Known::Nothing,
            },
        }
    }

    fn call(&mut self, formula: &Formula, function: Function, arguments: &[(&Expr, Known)]) -> Known {
        use Function::*;
        let first = || arguments.first().map(|(_, known)| known.clone()).unwrap_or_default();
        match function {
            Min | Max | Clamp | Coalesce => self.alike(formula, "chosen from", arguments),
            If => self.alike(formula, "chosen from", arguments.get(1..).unwrap_or_default()),
            Exp | Ln | Log10 | Share | Lift => Known::Unit(Unit::default()),
            CountBy => Known::Unit(Unit::named("count")),
            Sqrt => match first() {
                Known::Unit(unit) => powered(&unit, 0.5),
                other => other,
            },
            Pow => match (first(), arguments.get(1).map(|(_, known)| known)) {
                (Known::Unit(unit), Some(Known::Number(Some(exponent)))) => powered(&unit, *exponent),
                _ => Known::Nothing,
            },
            Rate => multiplied(first(), Known::Unit(Unit::named("duration")), -1),
            Abs | Floor | Ceil | Round | MovingAvg | MovingSum | MovingMin | MovingMax | Cumulative | Delta
            | Offset | SumBy | AvgBy | MinBy | MaxBy | TopK | Baseline => first(),
        }
    }

    /// The unit that operands share; numbers take that of the others.
    fn alike(&mut self, formula: &Formula, verb: &str, operands: &[(&Expr, Known)]) -> Known {
        let mut shared: Option<&Unit> = None;
        let mut unknown = false;
        for (expr, known) in operands {
            match (known, shared) {
                (Known::Unit(unit), Some(first)) if unit != first => {
                    let message =
                        format!("in `{}`, {} and {} are {verb}", formula.name, first.in_words(), unit.in_words());
                    let hint = "mend the expression, or the `unit` of its metrics";
                    self.found
                        .push(Diagnostic::warning("unlike_units", formula.place(&expr.span), message).with_hint(hint));
                    return Known::Nothing;
                }
                (Known::Unit(unit), None) => shared = Some(unit),
                (Known::Nothing, _) => unknown = true,
                _ => {}
            }
        }
        match shared {
            Some(unit) if !unknown => Known::Unit(unit.clone()),
            None if !unknown => Known::Number(None),
            _ => Known::Nothing,
        }
    }

    fn chart(&mut self, formula: &Formula, found: &Found) {
        let Some(chart_unit) = formula.chart.as_ref().and_then(unit_of) else { return };
        let place = formula.place(&formula.expr.span);
        let name = &formula.name;
        if chart_unit == "percent" && found.factor == 100.0 {
            let message = format!("`{name}` is multiplied by 100 and its chart shows percent, which does so again");
            let hint = "a percent chart shows a fraction times 100: take out the `* 100`";
            self.found.push(Diagnostic::warning("percent_times_100", place, message).with_hint(hint));
            return;
        }
        if let Known::Unit(unit) = &found.known
            && !unit.fits(chart_unit)
        {
            let message = format!("`{name}` is {}, and its chart says {chart_unit}", unit.in_words());
            let hint = "mend the chart's `unit`, or the `unit` of the metrics";
            self.found.push(Diagnostic::warning("unit_mismatch", place, message).with_hint(hint));
        }
    }
}

fn of_metric(metric: &Metric) -> Known {
    match (&metric.unit, metric.aggregate) {
        (_, Aggregate::Count) => Known::Unit(Unit::named("count")),
        (Some(unit), _) => Known::Unit(Unit::named(unit)),
        (None, _) => Known::Nothing,
    }
}

fn unit_of(chart: &Chart) -> Option<&str> {
    chart.fields.iter().find_map(|(name, value)| match value {
        ChartValue::Json(value) if name == "unit" => value.as_str(),
        _ => None,
    })
}

fn multiplied(a: Known, b: Known, sign: i32) -> Known {
    match (a, b) {
        (Known::Unit(a), Known::Unit(b)) => Known::Unit(a.times(&b, sign)),
        (Known::Unit(unit), Known::Number(_)) => Known::Unit(unit),
        (Known::Number(_), Known::Unit(unit)) => Known::Unit(Unit::default().times(&unit, sign)),
        (Known::Number(Some(a)), Known::Number(Some(b))) => Known::Number(Some(if sign > 0 { a * b } else { a / b })),
        (Known::Number(_), Known::Number(_)) => Known::Number(None),
        _ => Known::Nothing,
    }
}

fn powered(unit: &Unit, exponent: f64) -> Known {
    unit.powered(exponent).map_or(Known::Nothing, Known::Unit)
}

/// The constants that an operator's result was multiplied by, where its operands are numbers that result itself.
fn factor_of(op: BinaryOp, a: &Found, b: &Found) -> f64 {
    let number = |found: &Found| matches!(found.known, Known::Number(_));
    match (op, number(a) && number(b)) {
        (BinaryOp::Mul, _) => a.factor * b.factor,
        (BinaryOp::Div, _) => a.factor / b.factor,
        (BinaryOp::Add, true) => a.factor + b.factor,
        (BinaryOp::Sub, true) => a.factor - b.factor,
        (BinaryOp::Rem, true) => a.factor % b.factor,
        (BinaryOp::Pow, true) => a.factor.powf(b.factor),
        (BinaryOp::Add | BinaryOp::Sub, false) => shared_factor([a, b].into_iter()),
        _ => 1.0,
    }
}

fn factor_of_call(function: Function, operands: &[Found]) -> f64 {
    use Function::*;
    let all = || operands.iter();
    match function {
        Min | Max | Clamp | Coalesce => shared_factor(all()),
        If => shared_factor(all().skip(1)),
        Abs | Floor | Ceil | Round | MovingAvg | MovingSum | MovingMin | MovingMax | Cumulative | Delta | Offset
        | SumBy | AvgBy | MinBy | MaxBy | TopK | Baseline => shared_factor(all().take(1)),
        _ => 1.0,
    }
}

/// The factor that all have but numbers, which stand beside values of any factor.
fn shared_factor<'f>(all: impl Iterator<Item = &'f Found>) -> f64 {
    let mut factors = all.filter(|found| !matches!(found.known, Known::Number(_))).map(|found| found.factor);
    let first = factors.next().unwrap_or(1.0);
    if factors.all(|factor| factor == first) { first } else { 1.0 }
}
