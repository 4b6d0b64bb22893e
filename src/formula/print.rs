//! An expression as text, with no parenthesis more than it needs: what it is parsed to is the same expression.

use std::fmt;

use super::{BinaryOp, Expr, ExprKind, UnaryOp};

/// How tightly an operand must hold together so that it needs no parentheses.
const PREFIX: u8 = 6;
const POWER: u8 = 7;
const OPERAND: u8 = 8;

/// What is still to be written, last first.
enum Piece<'e> {
    Expr(&'e Expr, u8),
    Text(&'static str),
}

/// How tightly an expression holds together.
fn tightness(expr: &Expr) -> u8 {
    match &expr.kind {
        ExprKind::Binary(op, ..) => tightness_of(*op),
        ExprKind::Unary(..) => PREFIX,
        _ => OPERAND,
    }
}

fn tightness_of(op: BinaryOp) -> u8 {
    use BinaryOp::{Add, And, Div, Eq, Ge, Gt, Le, Lt, Mul, Ne, Or, Pow, Rem, Sub};
    match op {
        Or => 1,
        And => 2,
        Eq | Ne | Lt | Le | Gt | Ge => 3,
        Add | Sub => 4,
        Mul | Div | Rem => 5,
        Pow => POWER,
    }
}

/// Iterative, since a tree may be thousands deep.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pieces = vec![Piece::Expr(self, 0)];
        while let Some(piece) = pieces.pop() {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Expr(expr, least) if tightness(expr) < least => {
                    pieces.extend([Piece::Text(")"), Piece::Expr(expr, 0), Piece::Text("(")]);
                }
                Piece::Expr(expr, _) => write(expr, &mut pieces, f)?,
            }
        }
        Ok(())
    }
}

fn write<'e>(expr: &'e Expr, pieces: &mut Vec<Piece<'e>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &expr.kind {
        ExprKind::Number(number) => write!(f, "{number:?}"),
        ExprKind::Null => f.write_str("null"),
        ExprKind::Name(template) => write!(f, "{template}"),
        ExprKind::Text(template) => {
            write!(f, "\"{}\"", template.to_string().replace('\\', "\\\\").replace('"', "\\\""))
        }
        ExprKind::Unary(op, operand) => {
            pieces.push(Piece::Expr(operand, PREFIX));
            f.write_str(if *op == UnaryOp::Neg { "-" } else { "!" })
        }
        ExprKind::Binary(op, a, b) => {
            let tight = tightness_of(*op);
            // `^` begins on the right, where a prefix operator holds all that follows it; all others begin on the left.
            let (left, right) = if *op == BinaryOp::Pow { (OPERAND, PREFIX) } else { (tight, tight + 1) };
            pieces.extend([Piece::Expr(b, right), Piece::Text(" "), Piece::Text(op.as_str()), Piece::Text(" ")]);
            pieces.push(Piece::Expr(a, left));
            Ok(())
        }
        ExprKind::Call(function, arguments) => {
            pieces.push(Piece::Text(")"));
            for (index, argument) in arguments.iter().enumerate().rev() {
                pieces.push(Piece::Expr(argument, 0));
                pieces.push(Piece::Text(if index == 0 { "" } else { ", " }));
            }
            write!(f, "{}(", function.name())
        }
    }
}
