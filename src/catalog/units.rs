//! Units, carried from metrics through formulas, and what of them looks like a mistake. Only warnings: a unit changes no value.

use std::collections::{BTreeMap, HashMap};

use petgraph::algo::toposort;
use petgraph::graph::DiGraph;

use super::{Chart, ChartValue, Definition, Formula, Keyspace, Metric, compile};
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
    /// A unit, and whether the value was multiplied by a hundred.
    Unit(Unit, bool),
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
        let known = linter.formula(formula);
        linter.chart(formula, &known);
        linter.known.insert(&formula.name, known);
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
    known: HashMap<&'a str, Known>,
    found: Vec<Diagnostic>,
}

impl<'a> Linter<'a> {
    fn formula(&mut self, formula: &'a Formula) -> Known {
        // Children come after their parents in the walk, so that in reverse every operand is known before its user.
        let order: Vec<&Expr> = formula.expr.walk().collect();
        let mut known: HashMap<*const Expr, Known> = HashMap::new();
        for expr in order.iter().rev() {
            let of = |child: &Expr| known.get(&std::ptr::from_ref(child)).cloned().unwrap_or_default();
            let found = match &expr.kind {
                ExprKind::Number(number) => Known::Number(Some(*number)),
                ExprKind::Null => Known::Number(None),
                ExprKind::Text(_) => Known::Nothing,
                ExprKind::Name(_) => self.name(formula, expr),
                ExprKind::Unary(UnaryOp::Neg, a) => of(a),
                ExprKind::Unary(UnaryOp::Not, _) => Known::Unit(Unit::default(), false),
                ExprKind::Binary(op, a, b) => self.binary(formula, *op, (a, of(a)), (b, of(b))),
                ExprKind::Call(function, arguments) => {
                    let units: Vec<(&Expr, Known)> =
                        arguments.iter().map(|argument| (argument, of(argument))).collect();
                    self.call(formula, *function, &units)
                }
            };
            known.insert(std::ptr::from_ref(*expr), found);
        }
        known.remove(&std::ptr::from_ref(&formula.expr)).unwrap_or_default()
    }

    fn name(&self, formula: &Formula, expr: &Expr) -> Known {
        let names = compile::names_of(expr, formula, &self.keyspace.parameters);
        let all = names.iter().map(|name| match self.keyspace.definitions.get(name) {
            Some(Definition::Metric(metric)) => of_metric(metric),
            Some(Definition::Formula(other)) => self.known.get(other.name.as_str()).cloned().unwrap_or_default(),
            None => Known::Nothing,
        });
        let mut all: Vec<Known> = all.collect();
        match all.pop() {
            Some(first) if all.iter().all(|other| *other == first) => first,
            Some(_) => Known::Nothing,
            // A number parameter.
            None => Known::Number(None),
        }
    }

    fn binary(&mut self, formula: &Formula, op: BinaryOp, a: (&Expr, Known), b: (&Expr, Known)) -> Known {
        let ratio = Known::Unit(Unit::default(), false);
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
                (Known::Unit(unit, _), Known::Number(Some(exponent))) => {
                    unit.powered(exponent).map_or(Known::Nothing, |unit| Known::Unit(unit, false))
                }
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
            Exp | Ln | Log10 | Share | Lift => Known::Unit(Unit::default(), false),
            CountBy => Known::Unit(Unit::named("count"), false),
            Sqrt => match first() {
                Known::Unit(unit, _) => unit.powered(0.5).map_or(Known::Nothing, |unit| Known::Unit(unit, false)),
                other => other,
            },
            Pow => match (first(), arguments.get(1).map(|(_, known)| known)) {
                (Known::Unit(unit, _), Some(Known::Number(Some(exponent)))) => {
                    unit.powered(*exponent).map_or(Known::Nothing, |unit| Known::Unit(unit, false))
                }
                _ => Known::Nothing,
            },
            Rate => multiplied(first(), Known::Unit(Unit::named("duration"), false), -1),
            Abs | Floor | Ceil | Round | MovingAvg | MovingSum | MovingMin | MovingMax | Cumulative | Delta
            | Offset | SumBy | AvgBy | MinBy | MaxBy | TopK | Baseline => first(),
        }
    }

    /// The unit that operands share; numbers take that of the others.
    fn alike(&mut self, formula: &Formula, verb: &str, operands: &[(&Expr, Known)]) -> Known {
        let mut shared: Option<(&Unit, bool)> = None;
        let mut unknown = false;
        for (expr, known) in operands {
            match (known, shared) {
                (Known::Unit(unit, _), Some((first, _))) if unit != first => {
                    let message =
                        format!("in `{}`, {} and {} are {verb}", formula.name, first.in_words(), unit.in_words());
                    let hint = "mend the expression, or the `unit` of its metrics";
                    self.found
                        .push(Diagnostic::warning("unlike_units", formula.place(&expr.span), message).with_hint(hint));
                    return Known::Nothing;
                }
                (Known::Unit(unit, hundred), None) => shared = Some((unit, *hundred)),
                (Known::Nothing, _) => unknown = true,
                _ => {}
            }
        }
        match shared {
            Some((unit, hundred)) if !unknown => Known::Unit(unit.clone(), hundred),
            None if !unknown => Known::Number(None),
            _ => Known::Nothing,
        }
    }

    fn chart(&mut self, formula: &Formula, known: &Known) {
        let Some(chart_unit) = formula.chart.as_ref().and_then(unit_of) else { return };
        let place = formula.place(&formula.expr.span);
        let name = &formula.name;
        if chart_unit == "percent" && (matches!(known, Known::Unit(_, true)) || is_hundredfold(&formula.expr)) {
            let message = format!("`{name}` is multiplied by 100 and its chart shows percent, which does so again");
            let hint = "a percent chart shows a fraction times 100: take out the `* 100`";
            self.found.push(Diagnostic::warning("percent_times_100", place, message).with_hint(hint));
            return;
        }
        if let Known::Unit(unit, _) = known
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
        (_, Aggregate::Count) => Known::Unit(Unit::named("count"), false),
        (Some(unit), _) => Known::Unit(Unit::named(unit), false),
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
        (Known::Unit(a, a_hundred), Known::Unit(b, _)) => Known::Unit(a.times(&b, sign), a_hundred),
        (Known::Unit(unit, hundred), Known::Number(number)) => {
            let factor = number.map_or(1.0, |number| if sign > 0 { number } else { 1.0 / number });
            // Divided by a hundred it is a fraction again.
            Known::Unit(unit, (hundred || factor == 100.0) && factor != 0.01)
        }
        (Known::Number(number), Known::Unit(unit, hundred)) => {
            Known::Unit(Unit::default().times(&unit, sign), hundred || number == Some(100.0))
        }
        (Known::Number(_), Known::Number(_)) => Known::Number(None),
        _ => Known::Nothing,
    }
}

/// Whether an expression is, at its root, something times a hundred, whatever its units.
fn is_hundredfold(expr: &Expr) -> bool {
    let mut factor = 1.0;
    let mut pending = vec![expr];
    while let Some(expr) = pending.pop() {
        match &expr.kind {
            ExprKind::Number(number) => factor *= number,
            ExprKind::Binary(BinaryOp::Mul, a, b) => pending.extend([&**a, &**b]),
            ExprKind::Binary(BinaryOp::Div, a, b) => {
                if let ExprKind::Number(number) = b.kind {
                    factor /= number;
                }
                pending.push(a);
            }
            ExprKind::Unary(UnaryOp::Neg, a) => pending.push(a),
            ExprKind::Call(Function::Round | Function::Floor | Function::Ceil | Function::Abs, arguments) => {
                pending.extend(arguments.first());
            }
            _ => {}
        }
    }
    factor == 100.0
}
