//! Whether calls have the arguments that their functions take, and strings stand only there.

use std::ops::Range;

use super::lexer::fault;
use super::{Argument, Expr, ExprKind, Fault, Function};
use crate::series::Step;

/// Every fault of a parsed tree, by place.
pub fn faults(expr: &Expr) -> Vec<Fault> {
    let mut faults: Vec<Fault> = expr.walk().flat_map(of_node).collect();
    if let ExprKind::Text(_) = &expr.kind {
        faults.push(stray_text(expr.span.clone()));
    }
    faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
    faults
}

fn of_node(expr: &Expr) -> Vec<Fault> {
    let operands: Vec<&Expr> = match &expr.kind {
        ExprKind::Call(function, arguments) => return of_call(*function, arguments, &expr.span),
        ExprKind::Unary(_, operand) => vec![operand],
        ExprKind::Binary(_, a, b) => vec![a, b],
        _ => Vec::new(),
    };
    let texts = operands.into_iter().filter(|operand| matches!(operand.kind, ExprKind::Text(_)));
    texts.map(|operand| stray_text(operand.span.clone())).collect()
}

fn stray_text(span: Range<usize>) -> Fault {
    fault("wrong_argument", span, "a string is not a value")
        .hint("strings are only arguments of functions that take them")
}

fn of_call(function: Function, arguments: &[Expr], span: &Range<usize>) -> Vec<Fault> {
    let (required, further) = (function.arguments(), function.further());
    let count = arguments.len();
    if count < required.len() || (count > required.len() && further.is_none()) {
        let name = function.name();
        let takes = match (required.len(), further) {
            (1, None) => "one argument".to_owned(),
            (least, None) => format!("{least} arguments"),
            (least, Some(_)) => format!("{least} arguments or more"),
        };
        let message = format!("`{name}` takes {takes}, not {count}");
        return vec![fault("wrong_arity", span.clone(), message).hint(format!("write `{}`", usage(function)))];
    }
    let expected = required.iter().copied().chain(std::iter::repeat_n(further, count).flatten());
    arguments
        .iter()
        .zip(expected)
        .filter_map(|(argument, expected)| of_argument(function, argument, expected))
        .collect()
}

fn of_argument(function: Function, argument: &Expr, expected: Argument) -> Option<Fault> {
    let literal = match &argument.kind {
        ExprKind::Text(text) => text.as_literal(),
        _ => None,
    };
    let (right, wanted) = match (expected, &argument.kind) {
        (Argument::Value, kind) => (!matches!(kind, ExprKind::Text(_)), "a value, not a string"),
        (Argument::Window, _) => {
            let is_step = literal.is_some_and(|text| text.parse::<Step>().is_ok());
            (is_step, "a duration in quotes, a whole number from 1 and s, m, h, d or w")
        }
        (Argument::TagName, _) => (literal.is_some_and(|text| !text.is_empty()), "the name of a tag in quotes"),
        (Argument::Text, kind) => (matches!(kind, ExprKind::Text(_)), "a text in quotes"),
        (Argument::Count, ExprKind::Number(number)) => {
            (*number >= 1.0 && number.fract() == 0.0, "a whole number from 1")
        }
        (Argument::Count, ExprKind::Name(name)) => (name.as_param().is_some(), "a whole number from 1, or a parameter"),
        (Argument::Count, _) => (false, "a whole number from 1, or a parameter"),
    };
    (!right).then(|| {
        let message = format!("this argument of `{}` must be {wanted}", function.name());
        fault("wrong_argument", argument.span.clone(), message).hint(format!("write `{}`", usage(function)))
    })
}

/// How a call looks, for hints.
fn usage(function: Function) -> String {
    let place = |argument: &Argument| match argument {
        Argument::Value => "x",
        Argument::Window => "\"1h\"",
        Argument::TagName => "\"tag\"",
        Argument::Text => "\"value\"",
        Argument::Count => "n",
    };
    let own = match function {
        Function::Clamp => Some("clamp(x, low, high)"),
        Function::If => Some("if(condition, a, b)"),
        Function::Coalesce => Some("coalesce(a, b, …)"),
        Function::Min => Some("min(a, b, …)"),
        Function::Max => Some("max(a, b, …)"),
        Function::Pow => Some("pow(x, exponent)"),
        _ => None,
    };
    if let Some(own) = own {
        return own.to_owned();
    }
    let mut arguments: Vec<&str> = function.arguments().iter().map(place).collect();
    if let Some(further) = function.further() {
        arguments.extend([place(&further), "…"]);
    }
    format!("{}({})", function.name(), arguments.join(", "))
}
