//! Which series a node has, before any value of them is computed.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::groups::{Groups, Key, with_value};
use super::{Input, LeftOut, Node, NodeId, Op, Program};
use crate::formula::Function;
use crate::series::Fill;

/// What is missing for a value, sorted.
type Lacking = Arc<BTreeSet<Arc<str>>>;

/// What a node is for one group.
#[derive(Debug, Clone)]
pub enum Standing {
    /// One of its series.
    Own,
    /// Not one of them, but worth what it gives for zeros.
    Worth,
    /// Nothing: these have no such group.
    Lacks(Lacking),
}

impl Standing {
    /// Whether there is a value.
    pub fn is_worth(&self) -> bool {
        !matches!(self, Standing::Lacks(_))
    }

    /// Whether it is a series.
    pub fn is_own(&self) -> bool {
        matches!(self, Standing::Own)
    }
}

fn lacks(what: impl Into<Arc<str>>) -> Standing {
    Standing::Lacks(Arc::new(BTreeSet::from([what.into()])))
}

/// The standings of one node, one for each of its groups, and the series that it left out.
#[derive(Debug, Default)]
pub struct Standings {
    /// By group.
    pub groups: Vec<Standing>,
    left_out: Vec<LeftOut>,
}

/// Those of the nodes so far.
pub struct Found<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its groups.
    pub groups: &'a Groups<'a>,
    /// By node.
    pub of: Vec<Standings>,
}

impl Found<'_> {
    /// The standing of a node for a group.
    pub fn get(&self, node: NodeId, group: u32) -> &Standing {
        &self.of[node.0 as usize].groups[group as usize]
    }

    /// The groups that are series of a node, ascending.
    pub fn own(&self, node: NodeId) -> impl Iterator<Item = u32> {
        let standings = self.of[node.0 as usize].groups.iter().enumerate();
        standings.filter(|(_, standing)| standing.is_own()).map(|(group, _)| group as u32)
    }

    /// Adds the next node. `kept` are the groups that `topk` keeps, where the node is one.
    pub fn add(&mut self, node: &Node, inputs: &[Input], kept: &HashSet<u32>) {
        let index = self.of.len();
        let keys = &self.groups.of(index).keys;
        let groups = match &node.op {
            Op::Constant(_) => vec![Standing::Own; keys.len()],
            Op::Input { input, fill, label } => read(node, keys, &inputs[*input], *fill, label),
            Op::Unary(..) | Op::Binary(..) | Op::Point(..) => {
                let standings = self.join(node, index);
                self.of.push(standings);
                return;
            }
            Op::Moving(_, a, _) | Op::Cumulative(a) | Op::Delta(a) | Op::Rate(a) | Op::Offset(a, _) | Op::Share(a) => {
                self.of[a.0 as usize].groups.clone()
            }
            Op::Top(a, _) => {
                let cut = lacks("the top");
                let keep = |(group, standing): (usize, &Standing)| match kept.contains(&(group as u32)) {
                    true => standing.clone(),
                    false => cut.clone(),
                };
                self.of[a.0 as usize].groups.iter().enumerate().map(keep).collect()
            }
            Op::Fold(function, a) => self.fold(*function, index, *a, keys.len()),
            Op::Baseline(a, tag, value) => {
                let lacking = lacks(format!("the baseline {tag}={value}"));
                let source = |group: usize| self.baseline_source(index, *a, value, group as u32);
                let standing = |source: Option<u32>| match source.map(|source| self.get(*a, source)) {
                    Some(standing) if standing.is_worth() => standing.clone(),
                    _ => lacking.clone(),
                };
                (0..keys.len()).map(|group| standing(source(group))).collect()
            }
        };
        self.of.push(Standings { groups, left_out: Vec::new() });
    }

    /// A point operator: a series of any operand that has all its tags is one of it, if the others are worth something.
    fn join(&self, node: &Node, index: usize) -> Standings {
        let forgiving = matches!(node.op, Op::Point(Function::Coalesce, _));
        let sides: Vec<(&[Standing], &[u32], bool)> = (node.op.operands().iter())
            .map(|operand| {
                let place = operand.0 as usize;
                let equal = self.program.nodes[place].tags == node.tags;
                (&*self.of[place].groups, self.groups.way(index, place), equal)
            })
            .collect();
        let mut standings = Standings::default();
        for (group, key) in self.groups.of(index).keys.iter().enumerate() {
            let found = || sides.iter().map(|(side, way, equal)| (&side[way[group] as usize], *equal));
            let candidate = found().any(|(standing, equal)| equal && standing.is_own());
            let lacking = || {
                found().filter_map(|(standing, _)| match standing {
                    Standing::Lacks(lacking) => Some(lacking),
                    _ => None,
                })
            };
            standings.groups.push(match (candidate, forgiving || lacking().next().is_none()) {
                (true, true) => Standing::Own,
                (false, true) => Standing::Worth,
                (candidate, false) => {
                    let all: BTreeSet<Arc<str>> = lacking().flat_map(|lacking| lacking.iter().cloned()).collect();
                    if candidate {
                        let tags = node.tags.iter().cloned().zip(key.iter().cloned()).collect();
                        standings.left_out.push(LeftOut { tags, lacking: all.iter().cloned().collect() });
                    }
                    Standing::Lacks(Arc::new(all))
                }
            });
        }
        standings
    }

    /// A group without a series of its own is worth what the operand gives there.
    fn fold(&self, function: Function, index: usize, operand: NodeId, count: usize) -> Vec<Standing> {
        let from = operand.0 as usize;
        let mut is_own = vec![false; count];
        for (standing, group) in self.of[from].groups.iter().zip(self.groups.way(from, index)) {
            is_own[*group as usize] |= standing.is_own();
        }
        let stand_in = |group: usize| match self.groups.stand_in(from, index, group as u32) {
            Some(member) => self.get(operand, member).clone(),
            None => lacks(function.name()),
        };
        let standing = |(group, is_own): (usize, bool)| if is_own { Standing::Own } else { stand_in(group) };
        is_own.into_iter().enumerate().map(standing).collect()
    }

    /// The group of its operand that a group of a `baseline` is.
    pub fn baseline_source(&self, index: usize, operand: NodeId, value: &Arc<str>, group: u32) -> Option<u32> {
        let from = operand.0 as usize;
        let (tags, own) = (&self.program.nodes[from].tags, &self.program.nodes[index].tags);
        let key = &self.groups.of(index).keys[group as usize];
        self.groups.of(from).number(&with_value(tags, own, key, value))
    }

    /// The series that a node and all that it is made of left out.
    pub fn left_out(&self, output: NodeId) -> Vec<LeftOut> {
        if self.of.iter().all(|standings| standings.left_out.is_empty()) {
            return Vec::new();
        }
        let mut all = BTreeSet::new();
        let mut seen = HashSet::from([output]);
        let mut pending = vec![output];
        while let Some(node) = pending.pop() {
            all.extend(self.of[node.0 as usize].left_out.iter().cloned());
            let operands = self.program.nodes[node.0 as usize].op.operands();
            pending.extend(operands.iter().filter(|operand| seen.insert(**operand)));
        }
        all.into_iter().collect()
    }
}

fn read(node: &Node, keys: &[Key], input: &Input, fill: Fill, label: &Arc<str>) -> Vec<Standing> {
    let lacking = lacks(Arc::clone(label));
    // Both ascend.
    let mut groups = input.groups.iter().map(|(key, _)| key).peekable();
    let standing = |key: &Key| {
        while groups.next_if(|group| *group < key).is_some() {}
        match groups.next_if(|group| *group == key).is_some() || node.tags.is_empty() {
            true => Standing::Own,
            false if fill == Fill::Zero => Standing::Worth,
            false => lacking.clone(),
        }
    };
    keys.iter().map(standing).collect()
}
