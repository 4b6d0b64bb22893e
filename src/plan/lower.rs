//! Trees of formulas → one program and its selections. Nothing recurses: references may be 256 deep and trees thousands.

mod compare;

pub use compare::{PlannedComparison, Proportionality};

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::bindings::{Bindings, Bound, missing};
use super::frame::Frames;
use super::{CheckedParams, Context, FormulaError, PlannedFormula};
use crate::backend::{Selection, elasticsearch};
use crate::catalog::{Definition, Formula, Metric, ParameterValue};
use crate::eval::{FrameId, Node, NodeId, Op, Program};
use crate::formula::{BinaryOp, Expr, ExprKind, Function, FunctionClass, Template, UnaryOp};
use crate::series::{Fill, Kind, Step};

/// Operations of one request at most.
const MAX_NODES: usize = 200_000;

/// Lowers the formulas of one request into one program. Equal nodes are one node, equal selections one selection.
pub struct Lowering<'a> {
    context: Context<'a>,
    step: Step,
    frames: Frames,
    summaries: bool,
    program: Program,
    node_ids: HashMap<(NodeKey, FrameId), NodeId, RandomState>,
    selections: IndexSet<Selection, RandomState>,
    /// The buckets of all selections, as if each had one group.
    cells: usize,
    /// The nodes of definitions, as long as entries have the same parameters.
    known: HashMap<(&'a str, FrameId), NodeId, RandomState>,
    /// The parameters of the entry before.
    given: Option<&'a CheckedParams>,
}

/// What makes two nodes equal; a number by its bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum NodeKey {
    Constant(Option<u64>),
    Input(usize, Fill, Arc<str>),
    Unary(UnaryOp, NodeId),
    Binary(BinaryOp, [NodeId; 2]),
    Point(Function, Vec<NodeId>),
    Moving(Function, NodeId, usize),
    Cumulative(NodeId),
    Delta(NodeId),
    Rate(NodeId),
    Offset(NodeId, Step),
    Fold(Function, NodeId, Arc<[String]>),
    Top(NodeId, usize),
    Share(NodeId),
    Baseline(NodeId, String, Arc<str>),
}

/// The definition that an expression stands in: the value of the enum that its name held.
type Own<'e> = Option<&'e (String, String)>;

/// What is left to do, last first.
struct Task<'e> {
    work: Work<'e>,
    /// The buckets of the node that it leaves on the stack.
    frame: FrameId,
}

enum Work<'e> {
    /// Lower a tree and leave its node on the stack.
    Enter(&'e Expr, Own<'e>),
    /// Take the operands off the stack and leave the operator's node.
    Unary(UnaryOp),
    Binary(BinaryOp),
    Point(Function, usize),
    /// Take the operand off the stack and leave the function's node.
    Moving(Function, usize),
    Cumulative,
    Delta,
    Rate,
    Offset(Step, Arc<[Option<u32>]>),
    Fold(Function, Arc<[String]>),
    Top(usize),
    Share,
    Baseline(String, Arc<str>),
    Lift(String, Arc<str>),
    /// The node on the stack is this formula's.
    Remember(&'e str),
}

impl<'a> Lowering<'a> {
    /// Begins with nothing. With `summaries` selections are also read over the whole range.
    pub fn new(context: &Context<'a>, step: Step, frames: Frames, summaries: bool) -> Lowering<'a> {
        Lowering {
            context: *context,
            step,
            frames,
            summaries,
            program: Program::default(),
            node_ids: HashMap::default(),
            selections: IndexSet::default(),
            cells: 0,
            known: HashMap::default(),
            given: None,
        }
    }

    /// The program and the selections that are its inputs.
    pub fn finish(self) -> (Program, Vec<Selection>) {
        (Program { frames: self.frames.into_frames(), ..self.program }, self.selections.into_iter().collect())
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
        compare: bool,
    ) -> Result<PlannedFormula, FormulaError> {
        if self.given != Some(bindings.given()) {
            self.known.clear();
            self.given = Some(bindings.given());
        }
        let before = (self.program.nodes.len(), self.selections.len(), self.frames.len(), self.cells);
        let tree = self.tree(formula, bindings);
        if tree.is_err() {
            self.forget_since(before);
        }
        let output = tree?;
        let expr = completed_text(formula, bindings)?;
        let comparison = compare.then(|| self.comparison(formula, output, bindings));
        let mut outputs = vec![output];
        outputs.extend(comparison.iter().flatten().map(|planned| planned.exposures.0));
        let (selections, no_summary) = self.reads_of(outputs);
        Ok(PlannedFormula { expr, output, summary, no_summary, comparison, selections })
    }

    /// Takes back what a formula that failed has added: nothing of it is read, and nothing of it counts against others.
    fn forget_since(&mut self, (nodes, selections, frames, cells): (usize, usize, usize, usize)) {
        let is_older = |node: &NodeId| (node.0 as usize) < nodes;
        self.program.nodes.truncate(nodes);
        self.node_ids.retain(|_, node| is_older(node));
        self.known.retain(|_, node| is_older(node));
        self.selections.truncate(selections);
        self.frames.truncate(frames);
        self.cells = cells;
    }

    fn tree(&mut self, formula: &'a Formula, bindings: &Bindings<'a>) -> Result<NodeId, FormulaError> {
        let mut tasks: Vec<Task<'a>> = Vec::new();
        let mut stack: Vec<NodeId> = Vec::new();
        self.enter_formula(formula, FrameId(0), &mut tasks, &mut stack);
        while let Some(Task { work, frame }) = tasks.pop() {
            if self.program.nodes.len() > MAX_NODES {
                let detail = format!("the request comes to more than {MAX_NODES} operations; ask for fewer formulas");
                return Err(FormulaError::new("limit_exceeded", detail));
            }
            match work {
                Work::Enter(expr, own) => self.enter(expr, own, frame, bindings, &mut tasks, &mut stack)?,
                Work::Remember(name) => drop(stack.last().map(|node| self.known.insert((name, frame), *node))),
                Work::Binary(op) => {
                    let (b, a) = (pop(&mut stack)?, pop(&mut stack)?);
                    stack.push(self.joined(NodeKey::Binary(op, [a, b]), Op::Binary(op, [a, b]), frame));
                }
                Work::Point(function, count) => {
                    let operands = stack.split_off(stack.len().saturating_sub(count));
                    let key = NodeKey::Point(function, operands.clone());
                    stack.push(self.joined(key, Op::Point(function, operands), frame));
                }
                work => {
                    let operand = pop(&mut stack)?;
                    let node = self.of_one(work, operand, frame);
                    stack.push(node);
                }
            }
        }
        pop(&mut stack)
    }

    /// The node of an operator or function of one operand.
    fn of_one(&mut self, work: Work<'a>, a: NodeId, frame: FrameId) -> NodeId {
        let tags = Arc::clone(self.tags(a));
        let (key, op) = match work {
            Work::Unary(op) => (NodeKey::Unary(op, a), Op::Unary(op, a)),
            Work::Moving(function, width) => (NodeKey::Moving(function, a, width), Op::Moving(function, a, width)),
            Work::Cumulative => (NodeKey::Cumulative(a), Op::Cumulative(a)),
            Work::Delta => (NodeKey::Delta(a), Op::Delta(a)),
            Work::Rate => (NodeKey::Rate(a), Op::Rate(a)),
            Work::Offset(by, rows) => (NodeKey::Offset(a, by), Op::Offset(a, rows)),
            Work::Top(count) => (NodeKey::Top(a, count), Op::Top(a, count)),
            Work::Share => (NodeKey::Share(a), Op::Share(a)),
            Work::Fold(function, by) => {
                let key = NodeKey::Fold(function, a, Arc::clone(&by));
                return self.intern(key, Op::Fold(function, a), by, frame);
            }
            Work::Baseline(tag, value) => return self.baseline(a, tag, value, frame),
            Work::Lift(tag, value) => {
                // (x − b) / |b|
                let b = self.baseline(a, tag, value, frame);
                let minus = (BinaryOp::Sub, [a, b]);
                let difference = self.joined(NodeKey::Binary(minus.0, minus.1), Op::Binary(minus.0, minus.1), frame);
                let size =
                    self.joined(NodeKey::Point(Function::Abs, vec![b]), Op::Point(Function::Abs, vec![b]), frame);
                let by = (BinaryOp::Div, [difference, size]);
                return self.joined(NodeKey::Binary(by.0, by.1), Op::Binary(by.0, by.1), frame);
            }
            // They are not of one operand, and never get here.
            Work::Enter(..) | Work::Remember(_) | Work::Binary(_) | Work::Point(..) => return a,
        };
        self.intern(key, op, tags, frame)
    }

    fn baseline(&mut self, a: NodeId, tag: String, value: Arc<str>, frame: FrameId) -> NodeId {
        let tags: Arc<[String]> = self.tags(a).iter().filter(|other| **other != tag).cloned().collect();
        let key = NodeKey::Baseline(a, tag.clone(), Arc::clone(&value));
        self.intern(key, Op::Baseline(a, tag, value), tags, frame)
    }

    fn enter(
        &mut self,
        expr: &'a Expr,
        own: Own<'a>,
        frame: FrameId,
        bindings: &Bindings<'a>,
        tasks: &mut Vec<Task<'a>>,
        stack: &mut Vec<NodeId>,
    ) -> Result<(), FormulaError> {
        let mut task = |work: Work<'a>| tasks.push(Task { work, frame });
        match &expr.kind {
            ExprKind::Number(number) => stack.push(self.constant(Some(*number), frame)),
            ExprKind::Null => stack.push(self.constant(None, frame)),
            ExprKind::Text(_) => {
                return Err(FormulaError::new("wrong_argument", "a text can only be a function's argument"));
            }
            ExprKind::Unary(op, operand) => {
                task(Work::Unary(*op));
                task(Work::Enter(operand, own));
            }
            ExprKind::Binary(op, a, b) => {
                task(Work::Binary(*op));
                task(Work::Enter(b, own));
                task(Work::Enter(a, own));
            }
            ExprKind::Call(function, arguments) if function.class() == FunctionClass::Point => {
                task(Work::Point(*function, arguments.len()));
                arguments.iter().rev().for_each(|argument| task(Work::Enter(argument, own)));
            }
            ExprKind::Call(function, arguments) => {
                let [operand, further @ ..] = arguments.as_slice() else { return Err(defect()) };
                let (work, operand_frame) = self.call(*function, further, own, frame, bindings)?;
                tasks.push(Task { work, frame });
                tasks.push(Task { work: Work::Enter(operand, own), frame: operand_frame });
            }
            ExprKind::Name(template) => match self.resolve(template, own, bindings)? {
                Resolved::Number(number) => stack.push(self.constant(Some(number), frame)),
                Resolved::Definition(Definition::Metric(metric)) => stack.push(self.metric(metric, bindings, frame)?),
                Resolved::Definition(Definition::Formula(formula)) => self.enter_formula(formula, frame, tasks, stack),
            },
        }
        Ok(())
    }

    fn enter_formula(
        &mut self,
        formula: &'a Formula,
        frame: FrameId,
        tasks: &mut Vec<Task<'a>>,
        stack: &mut Vec<NodeId>,
    ) {
        match self.known.get(&(formula.name.as_str(), frame)) {
            Some(node) => stack.push(*node),
            None => {
                tasks.push(Task { work: Work::Remember(&formula.name), frame });
                tasks.push(Task { work: Work::Enter(&formula.expr, formula.bound.as_ref()), frame });
            }
        }
    }

    /// What a function over time or across series does, and on which buckets its operand is.
    fn call(
        &mut self,
        function: Function,
        further: &'a [Expr],
        own: Own<'a>,
        frame: FrameId,
        bindings: &Bindings<'a>,
    ) -> Result<(Work<'a>, FrameId), FormulaError> {
        use Function::{Cumulative, Delta, MovingAvg, MovingMax, MovingMin, MovingSum, Offset, Rate};
        let text = |expr: &'a Expr| match &expr.kind {
            ExprKind::Text(template) => bindings.single(template, own).map(Cow::into_owned),
            _ => Err(defect()),
        };
        let window = |further: &'a [Expr]| -> Result<Step, FormulaError> {
            text(further.first().ok_or_else(defect)?)?.parse().map_err(|_| defect())
        };
        Ok(match (function, further) {
            (MovingAvg | MovingSum | MovingMin | MovingMax, further) => {
                let width = self.frames.buckets_of(window(further)?)?;
                (Work::Moving(function, width), self.frames.widened(frame, width - 1)?)
            }
            (Cumulative, _) => (Work::Cumulative, frame),
            (Delta, _) => (Work::Delta, self.frames.widened(frame, 1)?),
            (Rate, _) => (Work::Rate, frame),
            (Offset, further) => {
                let by = window(further)?;
                let shifted = self.frames.shifted(frame, by)?;
                (Work::Offset(by, shifted.rows), shifted.frame)
            }
            (Function::Share, _) => (Work::Share, frame),
            (Function::TopK, [count]) => (Work::Top(self.count(count, own, bindings)?), frame),
            (Function::Baseline, [tag, value]) => (Work::Baseline(text(tag)?, text(value)?.into()), frame),
            (Function::Lift, [tag, value]) => (Work::Lift(text(tag)?, text(value)?.into()), frame),
            (function, tags) => {
                let names: BTreeSet<String> = tags.iter().map(text).collect::<Result<_, _>>()?;
                (Work::Fold(function, names.into_iter().collect()), frame)
            }
        })
    }

    /// How many series `topk` keeps.
    fn count(&self, expr: &'a Expr, own: Own<'a>, bindings: &Bindings<'a>) -> Result<usize, FormulaError> {
        let number = match &expr.kind {
            ExprKind::Number(number) => *number,
            ExprKind::Name(template) => match self.resolve(template, own, bindings)? {
                Resolved::Number(number) => number,
                Resolved::Definition(_) => return Err(defect()),
            },
            _ => return Err(defect()),
        };
        match number >= 1.0 && number.fract() == 0.0 {
            true => Ok(number.min(1e9) as usize),
            false => {
                let detail = format!("`topk` keeps a whole number of series from 1, not {number}");
                Err(FormulaError::new("invalid_parameter", detail))
            }
        }
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
        match bindings.keyspace().definitions.get(name.as_ref()) {
            Some(definition) => Ok(Resolved::Definition(definition)),
            // Checked at load for every value of an enum, so that only a defect gets here.
            None => {
                Err(FormulaError::new("unknown_name", format!("`{template}` leads to `{name}`, which is not defined")))
            }
        }
    }

    /// The node of a metric's columns, and its selection.
    fn metric(&mut self, metric: &'a Metric, bindings: &Bindings<'a>, frame: FrameId) -> Result<NodeId, FormulaError> {
        let name = (metric.name.as_str(), frame);
        if let Some(node) = self.known.get(&name) {
            return Ok(*node);
        }
        let (input, is_new) = self.selections.insert_full(self.selection(metric, bindings, frame)?);
        if is_new {
            self.cells = self.cells.saturating_add(self.frames.get(frame).axis.len());
            super::check_cells(self.cells, self.context.limits.answer_points)?;
        }
        let label: Arc<str> = metric.name.as_str().into();
        let key = NodeKey::Input(input, metric.fill, Arc::clone(&label));
        let node = self.intern(key, Op::Input { input, fill: metric.fill, label }, Arc::clone(&metric.group_by), frame);
        self.known.insert(name, node);
        Ok(node)
    }

    fn selection(
        &self,
        metric: &'a Metric,
        bindings: &Bindings<'a>,
        frame: FrameId,
    ) -> Result<Selection, FormulaError> {
        let own = metric.bound.as_ref();
        let series = bindings.single(&metric.series, own)?.into_owned();
        let mapping = metric.backends.get(self.context.backend).cloned().unwrap_or_default();
        refuse_forbidden(self.context.allow, &series)?;
        refuse_forbidden_index(&self.context, metric)?;
        if metric.kind == Kind::Distinct && self.step != self.context.keyspace.resolution {
            let (name, resolution) = (&metric.name, self.context.keyspace.resolution);
            let detail =
                format!("`{name}` counts distinct things, which cannot be added up: ask for the step {resolution}");
            return Err(FormulaError::new("not_additive", detail));
        }
        let frame = self.frames.get(frame);
        let foldable = metric.kind != Kind::Distinct || frame.axis.len() == 1;
        Ok(Selection {
            series,
            filter: filter(metric, bindings)?,
            kind: metric.kind,
            aggregate: metric.aggregate,
            group_by: Arc::clone(&metric.group_by),
            mapping,
            approximate: metric.approximate,
            axis: frame.axis.clone(),
            whole: (self.summaries && foldable).then_some(frame.whole),
        })
    }

    fn constant(&mut self, value: Option<f64>, frame: FrameId) -> NodeId {
        self.intern(NodeKey::Constant(value.map(f64::to_bits)), Op::Constant(value), Arc::new([]), frame)
    }

    fn tags(&self, node: NodeId) -> &Arc<[String]> {
        &self.program.nodes[node.0 as usize].tags
    }

    /// A node of a point operator: its tags are those of the operand that has most, which hold all others'.
    fn joined(&mut self, key: NodeKey, op: Op, frame: FrameId) -> NodeId {
        let tags = op.operands().iter().map(|operand| self.tags(*operand)).max_by_key(|tags| tags.len());
        let tags = tags.cloned().unwrap_or_else(|| Arc::new([]));
        self.intern(key, op, tags, frame)
    }

    fn intern(&mut self, key: NodeKey, op: Op, tags: Arc<[String]>, frame: FrameId) -> NodeId {
        let nodes = &mut self.program.nodes;
        *self.node_ids.entry((key, frame)).or_insert_with(|| {
            nodes.push(Node { op, tags, frame });
            NodeId(nodes.len() as u32 - 1)
        })
    }

    /// The inputs that nodes depend on, ascending, and why it may have no value over the whole range as one bucket.
    fn reads_of(&self, outputs: Vec<NodeId>) -> (Vec<usize>, Option<&'static str>) {
        let mut seen = BTreeSet::new();
        let mut inputs = BTreeSet::new();
        let mut reason = None;
        let mut pending = outputs;
        while let Some(node) = pending.pop() {
            if !seen.insert(node) {
                continue;
            }
            let op = &self.program.nodes[node.0 as usize].op;
            match op {
                Op::Input { input, .. } => {
                    inputs.insert(*input);
                    let selection = &self.selections[*input];
                    if selection.kind == Kind::Distinct && selection.whole.is_none() {
                        reason = reason.or(Some("not_additive"));
                    }
                }
                Op::Moving(..) | Op::Cumulative(_) | Op::Delta(_) => reason = Some("no_single_bucket"),
                _ => {}
            }
            pending.extend(op.operands());
        }
        (inputs.into_iter().collect(), reason)
    }
}

enum Resolved<'a> {
    Number(f64),
    Definition(&'a Definition),
}

fn pop(stack: &mut Vec<NodeId>) -> Result<NodeId, FormulaError> {
    // Every task leaves one node; an empty stack would be a defect of this file, not of a formula.
    stack.pop().ok_or_else(defect)
}

/// What the checks at load let nobody see.
fn defect() -> FormulaError {
    FormulaError::new("internal", "the formula could not be planned; please report it")
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
    let mut values = Vec::with_capacity(templates.len());
    for template in templates {
        values.extend(bindings.any_of(template, own)?.into_iter().flatten());
    }
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

/// Refuses a stored series that the operator does not let the keyspace read.
pub(super) fn refuse_forbidden(allow: Option<&[String]>, series: &str) -> Result<(), FormulaError> {
    if is_allowed(allow, series) {
        return Ok(());
    }
    let detail =
        format!("the keyspace may not read the stored series `{series}`; the operator's `allow` lists what it may");
    Err(FormulaError::new("series_not_allowed", detail))
}

fn is_allowed(allow: Option<&[String]>, name: &str) -> bool {
    allow.is_none_or(|patterns| patterns.iter().any(|pattern| crate::series::pattern::matches(pattern, name)))
}

/// Refuses documents of an index that the operator does not let the keyspace read.
pub(super) fn refuse_forbidden_index(context: &Context<'_>, metric: &Metric) -> Result<(), FormulaError> {
    match metric.index.as_deref().filter(|_| context.backend == elasticsearch::NAME) {
        Some(index) if !is_allowed(context.allow, index) => {
            let detail = format!(
                "the keyspace may not read documents of the index `{index}`; the operator's `allow` lists what it may, indices too"
            );
            Err(FormulaError::new("series_not_allowed", detail))
        }
        _ => Ok(()),
    }
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
