//! The formula language: evalexpr text → typed tree.
//!
//! `parse` checks the limits, walks a small lexer beside evalexpr's operator tree (which gives no positions), and lowers that
//! tree to an [`Expr`] whose nodes have byte spans. Nothing here knows keyspaces: names are not resolved, templates not
//! completed.

mod check;
mod function;
mod lexer;
mod parse;
mod print;
mod template;

pub use function::{Argument, Function, FunctionClass};
pub use lexer::count_operands;
pub use parse::{Fault, MAX_DEPTH, MAX_LENGTH, parse};
pub use template::{Part, Template, TemplateFault, is_name};

use std::ops::Range;

/// A node of a parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// The bytes of the expression's text that it stands for.
    pub span: Range<usize>,
}

impl Expr {
    /// This node and all below it, parents before children. Iterative, since a tree may be thousands deep.
    pub fn walk(&self) -> impl Iterator<Item = &Expr> {
        let mut pending = vec![self];
        std::iter::from_fn(move || {
            let expr = pending.pop()?;
            match &expr.kind {
                ExprKind::Number(_) | ExprKind::Null | ExprKind::Text(_) | ExprKind::Name(_) => {}
                ExprKind::Unary(_, operand) => pending.push(operand),
                ExprKind::Binary(_, a, b) => pending.extend([&**b, &**a]),
                ExprKind::Call(_, arguments) => pending.extend(arguments.iter().rev()),
            }
            Some(expr)
        })
    }

    /// What this node comes to, from the leaves up: `of` is given a node and what its operands came to, in their order.
    /// Iterative, as [`Expr::walk`].
    pub fn fold<'e, T>(&'e self, mut of: impl FnMut(&'e Expr, Vec<T>) -> T) -> T {
        // Children come after their parents in the walk, so that in reverse the operands of a node are what was found last,
        // its first operand on top.
        let order: Vec<&Expr> = self.walk().collect();
        let mut found: Vec<T> = Vec::new();
        for expr in order[1..].iter().rev() {
            let mut operands = found.split_off(found.len() - expr.arity());
            operands.reverse();
            found.push(of(expr, operands));
        }
        found.reverse();
        of(self, found)
    }

    /// How many operands it has.
    fn arity(&self) -> usize {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Null | ExprKind::Text(_) | ExprKind::Name(_) => 0,
            ExprKind::Unary(..) => 1,
            ExprKind::Binary(..) => 2,
            ExprKind::Call(_, arguments) => arguments.len(),
        }
    }
}

/// What an [`Expr`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A finite number; `true` is 1 and `false` is 0.
    Number(f64),
    /// `null`.
    Null,
    /// A string, which only a function's argument may be.
    Text(Template),
    /// The name of a metric or formula, or a template that the request completes to a name or a number.
    Name(Template),
    /// A prefix operator.
    Unary(UnaryOp, Box<Expr>),
    /// An infix operator.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// A call with as many arguments as the function takes.
    Call(Function, Vec<Expr>),
}

/// A prefix operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-a`
    Neg,
    /// `!a`: 1 where a is 0, else 0.
    Not,
}

/// An infix operator, from the loosest to the tightest: `||`, `&&`, comparisons, `+ -`, `* / %`, `^` (right-associative,
/// tighter than a prefix operator on its left).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Pow,
}

impl BinaryOp {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Or => "||",
            BinaryOp::And => "&&",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Rem => "%",
            BinaryOp::Pow => "^",
        }
    }
}
