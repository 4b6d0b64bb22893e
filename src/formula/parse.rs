//! Text → [`Expr`], through evalexpr's operator tree. Nothing recurses: a legal text may have thousands of operators.

use std::ops::Range;

use evalexpr::{Node, Operator};

use super::lexer::{Leaf, LeafKind, fault, lex};
use super::{BinaryOp, Expr, ExprKind, UnaryOp, check};

/// The longest expression, in characters.
pub const MAX_LENGTH: usize = 4096;
/// The deepest nesting of parentheses and prefix operators.
pub const MAX_DEPTH: usize = 64;

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A stable identifier: `expression_syntax`, `expression_limit`, `unknown_function`, `wrong_arity`, `wrong_argument`,
    /// `invalid_template`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The bytes of the expression it is about.
    pub span: Range<usize>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Parses one expression.
///
/// # Errors
/// All faults that could be found, at least one.
pub fn parse(text: &str) -> Result<Expr, Vec<Fault>> {
    let leaves = lex(text).map_err(|fault| vec![fault])?;
    let tree = evalexpr::build_operator_tree(text).map_err(|error| vec![disagreement(text, &error.to_string())])?;
    let expr = lower(&tree, leaves).ok_or_else(|| vec![disagreement(text, "its tree has another form")])?;
    let faults = check::faults(&expr);
    if faults.is_empty() { Ok(expr) } else { Err(faults) }
}

/// The lexer let something pass that the parser does not take, or the reverse: a defect, but never a panic or a wrong tree.
fn disagreement(text: &str, reason: &str) -> Fault {
    let reason: String = reason.chars().take(200).collect();
    fault("expression_syntax", 0..text.len(), format!("the expression cannot be parsed: {reason}"))
}

/// What is left to do, last first.
enum Task<'t> {
    /// Lower a subtree and leave it on the stack.
    Enter(&'t Node),
    /// Take the operands off the stack.
    Unary(UnaryOp),
    Binary(BinaryOp),
    /// A chain `a ^ b ^ c`, with the prefix operators before each operand.
    Power(Vec<Vec<UnaryOp>>),
    Call(Leaf, usize),
}

/// evalexpr's tree → ours. `None` where it does not have the leaves that the lexer saw, in that order.
fn lower(tree: &Node, leaves: Vec<Leaf>) -> Option<Expr> {
    let mut leaves = leaves.into_iter();
    let mut tasks = vec![Task::Enter(tree)];
    let mut stack: Vec<Expr> = Vec::new();
    while let Some(task) = tasks.pop() {
        match task {
            Task::Enter(node) => enter(node, &mut leaves, &mut tasks, &mut stack)?,
            Task::Unary(op) => {
                let operand = stack.pop()?;
                stack.push(prefix(op, operand));
            }
            Task::Binary(op) => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                stack.push(binary(op, a, b));
            }
            Task::Power(prefixes) => {
                let operands = stack.split_off(stack.len().checked_sub(prefixes.len())?);
                stack.push(power(operands, prefixes)?);
            }
            Task::Call(leaf, count) => {
                let arguments = stack.split_off(stack.len().checked_sub(count)?);
                let LeafKind::Call(function) = leaf.kind else { return None };
                stack.push(Expr { kind: ExprKind::Call(function, arguments), span: leaf.span });
            }
        }
    }
    let expr = stack.pop()?;
    (stack.is_empty() && leaves.next().is_none()).then_some(expr)
}

fn enter<'t>(
    node: &'t Node,
    leaves: &mut impl Iterator<Item = Leaf>,
    tasks: &mut Vec<Task<'t>>,
    stack: &mut Vec<Expr>,
) -> Option<()> {
    let children = node.children();
    match (node.operator(), children) {
        (Operator::RootNode, [inner]) => tasks.push(Task::Enter(inner)),
        (Operator::Const { .. } | Operator::VariableIdentifierRead { .. }, []) => stack.push(operand(leaves.next()?)?),
        (Operator::FunctionIdentifier { .. }, [argument]) => {
            let arguments = arguments(argument);
            tasks.push(Task::Call(leaves.next()?, arguments.len()));
            tasks.extend(arguments.iter().rev().map(Task::Enter));
        }
        (Operator::Exp, [_, _]) => enter_power(node, tasks)?,
        (operator, [inner]) => tasks.extend([Task::Unary(unary_op(operator)?), Task::Enter(inner)]),
        (operator, [a, b]) => tasks.extend([Task::Binary(binary_op(operator)?), Task::Enter(b), Task::Enter(a)]),
        _ => return None,
    }
    Some(())
}

/// `^` is left-associative to evalexpr and right-associative to the language: the left spine is taken apart and put
/// together from the right. A prefix operator before a later operand then holds all that follows: `2^-3^2` is `2^(-(3^2))`.
fn enter_power<'t>(node: &'t Node, tasks: &mut Vec<Task<'t>>) -> Option<()> {
    let mut operands = Vec::new();
    let mut spine = node;
    while let (Operator::Exp, [left, right]) = (spine.operator(), spine.children()) {
        operands.push(right);
        spine = left;
    }
    operands.push(spine);
    let mut prefixes = Vec::with_capacity(operands.len());
    let mut inner = Vec::with_capacity(operands.len());
    for operand in operands.into_iter().rev() {
        let (mut operand, mut own) = (operand, Vec::new());
        while let (Some(op), [below]) = (unary_op(operand.operator()), operand.children()) {
            own.push(op);
            operand = below;
        }
        prefixes.push(own);
        inner.push(operand);
    }
    tasks.push(Task::Power(prefixes));
    tasks.extend(inner.into_iter().rev().map(Task::Enter));
    Some(())
}

fn power(operands: Vec<Expr>, prefixes: Vec<Vec<UnaryOp>>) -> Option<Expr> {
    let mut pairs = operands.into_iter().zip(prefixes).rev();
    let with_prefixes = |expr: Expr, own: Vec<UnaryOp>| own.into_iter().rev().fold(expr, |expr, op| prefix(op, expr));
    let (last, own) = pairs.next()?;
    let last = with_prefixes(last, own);
    Some(pairs.fold(last, |power, (base, own)| with_prefixes(binary(BinaryOp::Pow, base, power), own)))
}

/// The arguments of a call: the members of the tuple in its parentheses, or the one expression there.
fn arguments(node: &Node) -> &[Node] {
    let mut node = node;
    loop {
        match (node.operator(), node.children()) {
            (Operator::Tuple, members) => return members,
            (Operator::RootNode, [inner]) if matches!(inner.operator(), Operator::Tuple) => node = inner,
            (Operator::RootNode, inner) => return inner,
            _ => return std::slice::from_ref(node),
        }
    }
}

fn operand(leaf: Leaf) -> Option<Expr> {
    let kind = match leaf.kind {
        LeafKind::Number(number) => ExprKind::Number(number),
        LeafKind::Null => ExprKind::Null,
        LeafKind::Text(text) => ExprKind::Text(text),
        LeafKind::Name(name) => ExprKind::Name(name),
        LeafKind::Call(_) => return None,
    };
    Some(Expr { kind, span: leaf.span })
}

fn prefix(op: UnaryOp, operand: Expr) -> Expr {
    let span = operand.span.start.saturating_sub(1)..operand.span.end;
    Expr { kind: ExprKind::Unary(op, Box::new(operand)), span }
}

fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    let span = a.span.start.min(b.span.start)..b.span.end.max(a.span.end);
    Expr { kind: ExprKind::Binary(op, Box::new(a), Box::new(b)), span }
}

fn unary_op(operator: &Operator) -> Option<UnaryOp> {
    match operator {
        Operator::Neg => Some(UnaryOp::Neg),
        Operator::Not => Some(UnaryOp::Not),
        _ => None,
    }
}

fn binary_op(operator: &Operator) -> Option<BinaryOp> {
    Some(match operator {
        Operator::Or => BinaryOp::Or,
        Operator::And => BinaryOp::And,
        Operator::Eq => BinaryOp::Eq,
        Operator::Neq => BinaryOp::Ne,
        Operator::Lt => BinaryOp::Lt,
        Operator::Leq => BinaryOp::Le,
        Operator::Gt => BinaryOp::Gt,
        Operator::Geq => BinaryOp::Ge,
        Operator::Add => BinaryOp::Add,
        Operator::Sub => BinaryOp::Sub,
        Operator::Mul => BinaryOp::Mul,
        Operator::Div => BinaryOp::Div,
        Operator::Mod => BinaryOp::Rem,
        _ => return None,
    })
}
