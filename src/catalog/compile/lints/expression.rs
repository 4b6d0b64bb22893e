//! Advice about expressions.

use crate::catalog::spec::FormulaSpec;
use crate::catalog::{Definition, Keyspace};
use crate::diagnostic::Diagnostic;
use crate::formula::{BinaryOp, Expr, ExprKind, Function, UnaryOp};
use crate::series::{Kind, Step};

/// Advice about one node: a stable identifier, what is so, and what to do.
type Advice = (&'static str, String, &'static str);

/// Advice about an expression, each at its place.
pub fn lint(formula: &FormulaSpec, keyspace: &Keyspace) -> Vec<Diagnostic> {
    let tell = |(code, message, hint): Advice, expr: &Expr| {
        Diagnostic::warning(code, formula.at(expr.span.start), message).with_hint(hint)
    };
    let mut found = Vec::new();
    for expr in formula.expr.walk() {
        let advice = match &expr.kind {
            ExprKind::Binary(op, a, b) => of_binary(*op, a, b, &formula.text),
            ExprKind::Call(function, arguments) => of_call(*function, arguments, keyspace),
            _ => None,
        };
        found.extend(advice.map(|(at, advice)| tell(advice, at)));
    }
    let named = formula.expr.walk().any(|expr| matches!(expr.kind, ExprKind::Name(_)));
    if !named {
        let message = "the formula reads no metric: it is the same everywhere".to_owned();
        found.push(tell(
            ("constant_formula", message, "use a metric, or put the number where it is used"),
            &formula.expr,
        ));
    }
    found
}

fn of_binary<'e>(op: BinaryOp, a: &'e Expr, b: &'e Expr, text: &str) -> Option<(&'e Expr, Advice)> {
    use BinaryOp::{And, Div, Eq, Ge, Gt, Le, Lt, Ne, Or, Rem, Sub};
    let compares = |op: BinaryOp| matches!(op, Eq | Ne | Lt | Le | Gt | Ge);
    let sign = op.as_str();
    if matches!(op, Div | Rem) && is_number(b, 0.0) {
        let message = "a division by zero has no value".to_owned();
        return Some((b, ("division_by_zero", message, "divide by something else")));
    }
    if compares(op) && (is_null(a) || is_null(b)) {
        let message = format!("`{sign}` with null is null, never 1 or 0");
        return Some((
            if is_null(b) { b } else { a },
            ("null_comparison", message, "use coalesce(x, …) for what is missing"),
        ));
    }
    if compares(op) && matches!(&a.kind, ExprKind::Binary(inner, ..) if compares(*inner)) && !is_grouped(a, text) {
        let message = format!("`{sign}` compares the 1 or 0 of the comparison before it");
        return Some((b, ("chained_comparison", message, "write a < b && b < c")));
    }
    if matches!(op, And | Or) && (constant(a) || constant(b)) {
        let message = format!("one side of `{sign}` is a constant");
        return Some((
            if constant(b) { b } else { a },
            ("constant_condition", message, "remove it, or compare it with something"),
        ));
    }
    if (compares(op) || matches!(op, Sub | Div | Rem)) && same(a, b) && !constant(a) {
        let message = format!("both sides of `{sign}` are the same");
        return Some((b, ("identical_operands", message, "mend one of the two")));
    }
    None
}

fn of_call<'e>(function: Function, arguments: &'e [Expr], keyspace: &Keyspace) -> Option<(&'e Expr, Advice)> {
    use Function::{Clamp, Coalesce, Delta, If, Max, Min, MovingAvg, MovingMax, MovingMin, MovingSum, Offset};
    let first = arguments.first()?;
    match function {
        If if constant(first) => {
            let message = "the condition is a constant: one branch is never taken".to_owned();
            Some((first, ("constant_condition", message, "compare a metric, or write the branch alone")))
        }
        If if same(arguments.get(1)?, arguments.get(2)?) => {
            let message = "both branches of `if` are the same".to_owned();
            Some((arguments.get(2)?, ("identical_operands", message, "mend one of the two, or write it alone")))
        }
        Coalesce => {
            let last = arguments.iter().position(|argument| matches!(argument.kind, ExprKind::Number(_)))?;
            let unreachable = arguments.get(last + 1)?;
            let message = "this argument is never reached: a number before it is never null".to_owned();
            Some((unreachable, ("unreachable_argument", message, "put the number last")))
        }
        Clamp => {
            let (low, high) = (number(arguments.get(1)?)?, number(arguments.get(2)?)?);
            let message = format!("nothing lies between the bounds {low} and {high}");
            (low > high).then(|| (&arguments[1], ("clamp_bounds", message, "write clamp(x, low, high)")))
        }
        Min | Max if arguments.iter().skip(1).any(|argument| same(first, argument)) => {
            let message = format!("two arguments of `{}` are the same", function.name());
            Some((first, ("identical_operands", message, "mend or remove one of the two")))
        }
        Delta => {
            let ExprKind::Name(template) = &first.kind else { return None };
            let Some(Definition::Metric(metric)) = keyspace.definitions.get(template.as_literal()?) else {
                return None;
            };
            if metric.kind != Kind::Counter {
                return None;
            }
            let message = format!("`{}` is a counter, whose value is its increase already", metric.name);
            Some((first, ("delta_of_counter", message, "use the metric alone, or rate(x)")))
        }
        MovingAvg | MovingSum | MovingMin | MovingMax | Offset => {
            let ExprKind::Text(text) = &arguments.get(1)?.kind else { return None };
            let window: Step = text.as_literal()?.parse().ok()?;
            let (window, resolution) = (window.nominal_millis(), keyspace.resolution);
            let message = format!("this is no multiple of the keyspace's resolution {resolution}, and so of no step");
            (window % resolution.nominal_millis() != 0)
                .then(|| (&arguments[1], ("window_resolution", message, "use a multiple of the resolution")))
        }
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<f64> {
    match &expr.kind {
        ExprKind::Number(number) => Some(*number),
        ExprKind::Unary(UnaryOp::Neg, inner) => match inner.kind {
            ExprKind::Number(number) => Some(-number),
            _ => None,
        },
        _ => None,
    }
}

fn is_number(expr: &Expr, value: f64) -> bool {
    number(expr) == Some(value)
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Null)
}

fn constant(expr: &Expr) -> bool {
    is_null(expr) || number(expr).is_some()
}

/// Whether a parenthesis closes behind an expression: its author knows in what order things are done.
fn is_grouped(expr: &Expr, text: &str) -> bool {
    text.get(expr.span.end..).is_some_and(|rest| rest.trim_start().starts_with(')'))
}

/// Whether two expressions are the same but for their places. Iterative, since trees may be deep.
fn same(a: &Expr, b: &Expr) -> bool {
    let alike = |a: &Expr, b: &Expr| match (&a.kind, &b.kind) {
        (ExprKind::Unary(a, _), ExprKind::Unary(b, _)) => a == b,
        (ExprKind::Binary(a, ..), ExprKind::Binary(b, ..)) => a == b,
        (ExprKind::Call(a, of_a), ExprKind::Call(b, of_b)) => a == b && of_a.len() == of_b.len(),
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b) && leaf(a) == leaf(b),
    };
    let (mut left, mut right) = (a.walk(), b.walk());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if alike(a, b) => {}
            _ => return false,
        }
    }
}

/// What a leaf holds.
fn leaf(kind: &ExprKind) -> String {
    match kind {
        ExprKind::Number(number) => number.to_bits().to_string(),
        ExprKind::Text(template) | ExprKind::Name(template) => template.to_string(),
        _ => String::new(),
    }
}
