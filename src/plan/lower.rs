//! Trees of formulas → one program and its selections. Nothing recurses: references may be 256 deep and trees thousands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::bindings::{Bindings, Bound, missing};
use super::{Context, FormulaError, PlannedFormula};
use crate::backend::{Selection, WholeRange};
use crate::catalog::{Definition, Formula, Metric, ParameterValue};
use crate::eval::{Node, NodeId, Op, Program};
use crate::formula::{BinaryOp, Expr, ExprKind, Function, FunctionClass, Template, UnaryOp};
use crate::series::{Fill, Kind, Step, TimeAxis};

/// Lowers the formulas of one request into one program. Equal nodes are one node, equal selections one selection.
pub struct Lowering<'a> {
    context: Context<'a>,
    step: Step,
    axis: TimeAxis,
    whole: Option<WholeRange>,
    program: Program,
    node_ids: HashMap<NodeKey, NodeId>,
    selections: Vec<Selection>,
    selection_ids: HashMap<Selection, usize>,
}

/// What makes two nodes equal; a number by its bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum NodeKey {
    Constant(Option<u64>),
    Input(usize, Fill, Arc<str>),
    Unary(UnaryOp, NodeId),
    Binary(BinaryOp, NodeId, NodeId),
    Point(Function, Vec<NodeId>),
}

/// The definition that an expression stands in: the value of the enum that its name held.
type Own<'e> = Option<&'e (String, String)>;

/// What is left to do, last first.
enum Task<'e> {
    /// Lower a tree and leave its node on the stack.
    Enter(&'e Expr, Own<'e>),
    /// Take the operands off the stack and leave the operator's node.
    Unary(UnaryOp),
    Binary(BinaryOp),
    Point(Function, usize),
    /// The node on the stack is this formula's.
    Remember(&'e str),
}

impl<'a> Lowering<'a> {
    /// Begins with nothing.
    pub fn new(context: &Context<'a>, step: Step, axis: &TimeAxis, whole: Option<WholeRange>) -> Lowering<'a> {
        Lowering {
            context: *context,
            step,
            axis: axis.clone(),
            whole,
            program: Program::default(),
            node_ids: HashMap::new(),
            selections: Vec::new(),
            selection_ids: HashMap::new(),
        }
    }

    /// The program and the selections that are its inputs.
    pub fn finish(self) -> (Program, Vec<Selection>) {
        (self.program, self.selections)
    }

    /// Lowers one formula of the keyspace with the parameters of an entry.
    ///
    /// # Errors
    /// The first thing that keeps it from being answered.
    pub fn formula(
        &mut self,
        formula: &'a Formula,
        bindings: &Bindings<'a>,
        summary: bool,
    ) -> Result<PlannedFormula, FormulaError> {
        let output = self.tree(formula, bindings)?;
        let expr = completed_text(formula, bindings)?;
        Ok(PlannedFormula { expr, output, summary, selections: self.selections_of(output) })
    }

    fn tree(&mut self, formula: &'a Formula, bindings: &Bindings<'a>) -> Result<NodeId, FormulaError> {
        let mut known: HashMap<&'a str, NodeId> = HashMap::new();
        let mut tasks = vec![Task::Enter(&formula.expr, formula.bound.as_ref())];
        let mut stack: Vec<NodeId> = Vec::new();
        while let Some(task) = tasks.pop() {
            match task {
                Task::Enter(expr, own) => self.enter(expr, own, bindings, &known, &mut tasks, &mut stack)?,
                Task::Unary(op) => {
                    let operand = pop(&mut stack)?;
                    stack.push(self.point(NodeKey::Unary(op, operand), Op::Unary(op, operand), &[operand]));
                }
                Task::Binary(op) => {
                    let (b, a) = (pop(&mut stack)?, pop(&mut stack)?);
                    stack.push(self.point(NodeKey::Binary(op, a, b), Op::Binary(op, a, b), &[a, b]));
                }
                Task::Point(function, count) => {
                    let operands = stack.split_off(stack.len().saturating_sub(count));
                    let key = NodeKey::Point(function, operands.clone());
                    stack.push(self.point(key, Op::Point(function, operands.clone()), &operands));
                }
                Task::Remember(name) => drop(stack.last().map(|node| known.insert(name, *node))),
            }
        }
        pop(&mut stack)
    }

    fn enter(
        &mut self,
        expr: &'a Expr,
        own: Own<'a>,
        bindings: &Bindings<'a>,
        known: &HashMap<&'a str, NodeId>,
        tasks: &mut Vec<Task<'a>>,
        stack: &mut Vec<NodeId>,
    ) -> Result<(), FormulaError> {
        match &expr.kind {
            ExprKind::Number(number) => stack.push(self.constant(Some(*number))),
            ExprKind::Null => stack.push(self.constant(None)),
            ExprKind::Text(_) => {
                return Err(FormulaError::new("wrong_argument", "a text can only be a function's argument"));
            }
            ExprKind::Unary(op, operand) => tasks.extend([Task::Unary(*op), Task::Enter(operand, own)]),
            ExprKind::Binary(op, a, b) => {
                tasks.extend([Task::Binary(*op), Task::Enter(b, own), Task::Enter(a, own)]);
            }
            ExprKind::Call(function, arguments) if function.class() == FunctionClass::Point => {
                tasks.push(Task::Point(*function, arguments.len()));
                tasks.extend(arguments.iter().rev().map(|argument| Task::Enter(argument, own)));
            }
            ExprKind::Call(function, _) => {
                let detail = format!("`{}` looks along time or across series, which is not built yet", function.name());
                return Err(FormulaError::new("unsupported_function", detail));
            }
            ExprKind::Name(template) => match self.resolve(template, own, bindings)? {
                Resolved::Number(number) => stack.push(self.constant(Some(number))),
                Resolved::Definition(Definition::Metric(metric)) => stack.push(self.metric(metric, bindings)?),
                Resolved::Definition(Definition::Formula(formula)) => match known.get(formula.name.as_str()) {
                    Some(node) => stack.push(*node),
                    None => tasks
                        .extend([Task::Remember(&formula.name), Task::Enter(&formula.expr, formula.bound.as_ref())]),
                },
            },
        }
        Ok(())
    }

    /// What an identifier stands for once the request's parameters are known.
    fn resolve(
        &self,
        template: &Template,
        own: Own<'a>,
        bindings: &Bindings<'a>,
    ) -> Result<Resolved<'a>, FormulaError> {
        if let Some(parameter) = template.as_param() {
            match bindings.get(parameter, own) {
                Bound::Value(ParameterValue::Number(number)) => return Ok(Resolved::Number(*number)),
                Bound::Missing | Bound::Absent => return Err(missing(parameter)),
                Bound::Own(_) | Bound::Value(_) => {}
            }
        }
        let name = bindings.single(template, own)?;
        match bindings.keyspace().definitions.get(&name) {
            Some(definition) => Ok(Resolved::Definition(definition)),
            // Checked at load for every value of an enum, so that only a defect gets here.
            None => {
                Err(FormulaError::new("unknown_name", format!("`{template}` leads to `{name}`, which is not defined")))
            }
        }
    }

    /// The node of a metric's columns, and its selection.
    fn metric(&mut self, metric: &'a Metric, bindings: &Bindings<'a>) -> Result<NodeId, FormulaError> {
        let selection = self.selection(metric, bindings)?;
        let next = self.selections.len();
        let input = *self.selection_ids.entry(selection).or_insert_with_key(|selection| {
            self.selections.push(selection.clone());
            next
        });
        let label: Arc<str> = metric.name.as_str().into();
        let key = NodeKey::Input(input, metric.fill, Arc::clone(&label));
        Ok(self.intern(key, Op::Input { input, fill: metric.fill, label }, Arc::clone(&metric.group_by)))
    }

    fn selection(&self, metric: &'a Metric, bindings: &Bindings<'a>) -> Result<Selection, FormulaError> {
        let own = metric.bound.as_ref();
        let series = bindings.single(&metric.series, own)?;
        refuse_forbidden(self.context.allow, &series)?;
        if metric.kind == Kind::Distinct && self.step != self.context.keyspace.resolution {
            let (name, resolution) = (&metric.name, self.context.keyspace.resolution);
            let detail =
                format!("`{name}` counts distinct things, which cannot be added up: ask for the step {resolution}");
            return Err(FormulaError::new("not_additive", detail));
        }
        Ok(Selection {
            series,
            filter: filter(metric, bindings)?,
            kind: metric.kind,
            aggregate: metric.aggregate,
            group_by: metric.group_by.to_vec(),
            mapping: metric.backends.get(self.context.backend).cloned().unwrap_or_default(),
            axis: self.axis.clone(),
            whole: self.whole,
        })
    }

    fn constant(&mut self, value: Option<f64>) -> NodeId {
        self.intern(NodeKey::Constant(value.map(f64::to_bits)), Op::Constant(value), Arc::new([]))
    }

    /// A node of a point operator: its tags are those of the operand that has most, which hold all others'.
    fn point(&mut self, key: NodeKey, op: Op, operands: &[NodeId]) -> NodeId {
        let tags_of = |node: &NodeId| &self.program.nodes[node.0 as usize].tags;
        let tags = operands.iter().map(tags_of).max_by_key(|tags| tags.len());
        let tags = tags.cloned().unwrap_or_else(|| Arc::new([]));
        self.intern(key, op, tags)
    }

    fn intern(&mut self, key: NodeKey, op: Op, tags: Arc<[String]>) -> NodeId {
        let nodes = &mut self.program.nodes;
        *self.node_ids.entry(key).or_insert_with(|| {
            nodes.push(Node { op, tags });
            NodeId(nodes.len() as u32 - 1)
        })
    }

    /// The inputs that a node depends on, ascending.
    fn selections_of(&self, output: NodeId) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        let mut inputs = BTreeSet::new();
        let mut pending = vec![output];
        while let Some(node) = pending.pop() {
            if !seen.insert(node) {
                continue;
            }
            match &self.program.nodes[node.0 as usize].op {
                Op::Constant(_) => {}
                Op::Input { input, .. } => drop(inputs.insert(*input)),
                Op::Unary(_, operand) => pending.push(*operand),
                Op::Binary(_, a, b) => pending.extend([*a, *b]),
                Op::Point(_, operands) => pending.extend(operands),
            }
        }
        inputs.into_iter().collect()
    }
}

enum Resolved<'a> {
    Number(f64),
    Definition(&'a Definition),
}

fn pop(stack: &mut Vec<NodeId>) -> Result<NodeId, FormulaError> {
    // Every task leaves one node; an empty stack would be a defect of this file, not of a formula.
    stack.pop().ok_or_else(|| FormulaError::new("internal", "the formula could not be planned; please report it"))
}

/// The filter of a metric, tag by tag; a tag all of whose parameters are optional and not given is dropped.
fn filter(metric: &Metric, bindings: &Bindings<'_>) -> Result<BTreeMap<String, Vec<String>>, FormulaError> {
    let mut filter = BTreeMap::new();
    for (tag, templates) in &metric.tags {
        let values = tag_values(templates, metric.bound.as_ref(), bindings)?;
        if !values.is_empty() {
            filter.insert(tag.clone(), values);
        }
    }
    Ok(filter)
}

/// The values of which any may match, sorted, without repeats; none where the filter is dropped.
pub(super) fn tag_values(
    templates: &[Template],
    own: Own<'_>,
    bindings: &Bindings<'_>,
) -> Result<Vec<String>, FormulaError> {
    let mut values = BTreeSet::new();
    for template in templates {
        values.extend(bindings.any_of(template, own)?.into_iter().flatten());
    }
    Ok(values.into_iter().collect())
}

/// Refuses a stored series that the operator does not let the keyspace read.
pub(super) fn refuse_forbidden(allow: Option<&[String]>, series: &str) -> Result<(), FormulaError> {
    match allow {
        Some(patterns) if !patterns.iter().any(|pattern| matches(pattern, series)) => {
            let detail = format!(
                "the keyspace may not read the stored series `{series}`; the operator's `allow` lists what it may"
            );
            Err(FormulaError::new("series_not_allowed", detail))
        }
        _ => Ok(()),
    }
}

/// Whether a text is what a pattern describes, in which `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The text of a formula for the answer: as it was written, with its parameters completed.
fn completed_text(formula: &Formula, bindings: &Bindings<'_>) -> Result<String, FormulaError> {
    let template = Template::parse(&formula.text).unwrap_or_else(|_| Template::literal(formula.text.as_str()));
    let own = formula.bound.as_ref();
    // Only shown, never parsed again; inside a string a quote is escaped so that what is shown reads as it means.
    let shown = template.complete(|name| match bindings.get(name, own) {
        Bound::Own(value) => Some(value.to_owned()),
        Bound::Value(ParameterValue::Number(number)) => Some(number.to_string()),
        Bound::Value(ParameterValue::Text(text)) => Some(text.replace('\\', "\\\\").replace('"', "\\\"")),
        Bound::Value(ParameterValue::Any(values)) => Some(values.join(", ")),
        Bound::Absent => Some(String::new()),
        Bound::Missing => None,
    });
    shown.map_err(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_allowed_series() {
        for (pattern, text, expected) in [
            ("expo.*", "expo.visitors", true),
            ("expo.*", "expo", false),
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            ("a*a", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("*.x", "a.x.x", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
