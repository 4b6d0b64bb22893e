//! The groups that nodes may be asked for, as numbers: texts are compared once for an evaluation, not once for a node.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Input, Node, Op, Program};
use crate::series::Column;

/// The values of a node's tags.
pub type Key = Vec<Arc<str>>;

type Universes<'p> = BTreeMap<&'p [String], BTreeSet<Key>>;

/// All groups that some node of one set of tags may be asked for, ascending.
#[derive(Debug)]
pub struct Space<'p> {
    tags: &'p [String],
    /// The groups; a group's number is its place.
    pub keys: Vec<Key>,
}

/// The spaces of a program, and the ways from one to another.
#[derive(Debug)]
pub struct Groups<'p> {
    spaces: Vec<Space<'p>>,
    of_nodes: Vec<usize>,
    /// From space to space, the group for each group.
    ways: HashMap<(usize, usize), Vec<u32>>,
    /// The other way round, for what is folded.
    members: HashMap<(usize, usize), Vec<Vec<u32>>>,
}

impl<'p> Groups<'p> {
    /// The groups of a program over its inputs.
    pub fn new(program: &'p Program, inputs: &[Input]) -> Groups<'p> {
        let universes = universes(program, inputs);
        let spaces: Vec<Space<'p>> =
            universes.into_iter().map(|(tags, keys)| Space { tags, keys: keys.into_iter().collect() }).collect();
        let place = |node: &Node| spaces.binary_search_by(|space| space.tags.cmp(&node.tags)).unwrap_or_default();
        let of_nodes: Vec<usize> = program.nodes.iter().map(place).collect();
        let mut groups = Groups { spaces, of_nodes, ways: HashMap::new(), members: HashMap::new() };
        for (index, node) in program.nodes.iter().enumerate() {
            for operand in node.op.operands() {
                let (own, other) = (groups.of_nodes[index], groups.of_nodes[operand.0 as usize]);
                match &node.op {
                    Op::Baseline(..) => {}
                    Op::Fold(..) => {
                        groups.find_way(other, own);
                        groups.find_members(other, own);
                    }
                    _ => groups.find_way(own, other),
                }
            }
        }
        groups
    }

    /// The groups of a node, by its index.
    pub fn of(&self, node: usize) -> &Space<'p> {
        &self.spaces[self.of_nodes[node]]
    }

    /// For each group of a node the group of another node, which has the same tags or fewer.
    pub fn way(&self, from: usize, to: usize) -> &[u32] {
        self.ways.get(&(self.of_nodes[from], self.of_nodes[to])).map_or(&[], |way| way)
    }

    /// The group of a node that stands for a group of another node, which has fewer tags, where none of its parts is a series:
    /// the one without the other tags, which is the same whatever else a request asks for.
    pub fn stand_in(&self, from: usize, to: usize, group: u32) -> Option<u32> {
        let (space, own) = (self.of(from), self.of(to));
        space.number(&with_value(space.tags, own.tags, &own.keys[group as usize], &Arc::from("")))
    }

    /// The groups of a node that are parts of a group of another node, which has fewer tags; ascending.
    pub fn members(&self, from: usize, to: usize, group: u32) -> &[u32] {
        let members = self.members.get(&(self.of_nodes[from], self.of_nodes[to]));
        members.and_then(|members| members.get(group as usize)).map_or(&[], |members| members)
    }

    fn find_way(&mut self, from: usize, to: usize) {
        if self.ways.contains_key(&(from, to)) {
            return;
        }
        let Some(projection) = projection(self.spaces[from].tags, self.spaces[to].tags) else { return };
        let target = &self.spaces[to];
        // Every set of groups holds what those of more tags are without these tags.
        let number = |key: &Key| target.number(&project(key, &projection)).unwrap_or_default();
        let way: Vec<u32> = match from == to {
            true => (0..target.keys.len() as u32).collect(),
            false => self.spaces[from].keys.iter().map(number).collect(),
        };
        self.ways.insert((from, to), way);
    }

    fn find_members(&mut self, from: usize, to: usize) {
        if self.members.contains_key(&(from, to)) {
            return;
        }
        let mut members = vec![Vec::new(); self.spaces[to].keys.len()];
        for (member, group) in self.ways.get(&(from, to)).into_iter().flatten().enumerate() {
            members[*group as usize].push(member as u32);
        }
        self.members.insert((from, to), members);
    }
}

impl Space<'_> {
    /// The number of a group.
    pub fn number(&self, key: &Key) -> Option<u32> {
        self.keys.binary_search(key).ok().map(|place| place as u32)
    }
}

/// For each set of tags the keys that some node of it may be asked for: those that inputs of it, or of more tags, have, and
/// those that functions across series look at.
fn universes<'p>(program: &'p Program, inputs: &[Input]) -> Universes<'p> {
    let mut universes = Universes::new();
    for node in &program.nodes {
        universes.entry(&node.tags).or_default();
    }
    let readers = program.nodes.iter().filter_map(|node| match &node.op {
        Op::Input { input, .. } => Some((&*node.tags, *input)),
        _ => None,
    });
    let readers: BTreeSet<(&[String], usize)> = readers.collect();
    for (tags, keys) in &mut universes {
        if tags.is_empty() {
            keys.insert(Vec::new());
            continue;
        }
        let mut last: Option<(&[String], &Input)> = None;
        for (from, input) in readers.iter().map(|(from, input)| (*from, &inputs[*input])) {
            let Some(projection) = projection(from, tags) else { continue };
            // Inputs mostly have the same groups as the one before.
            if last.is_none_or(|(other, last)| {
                other != from || !last.groups.iter().map(key_of).eq(input.groups.iter().map(key_of))
            }) {
                keys.extend(input.groups.iter().map(|(key, _)| project(key, &projection)));
            }
            last = Some((from, input));
        }
    }
    let looks: Vec<Look<'p>> = program.nodes.iter().rev().filter_map(|node| look(program, node)).collect();
    let mut seen = BTreeSet::new();
    let looks: Vec<Look<'p>> = looks.into_iter().filter(|look| seen.insert(*look)).collect();
    // Users come after their operands, so that one pass backwards asks for most; what a pass adds to a set that was passed
    // already is found by the next.
    while looks.iter().filter(|look| ask(look, &mut universes)).count() > 0 {}
    universes
}

fn key_of(group: &(Key, Arc<Column>)) -> &Key {
    &group.0
}

/// A function across series: the tags of its operand, its own, and the value that `baseline` looks for.
type Look<'p> = (&'p [String], &'p [String], Option<&'p Arc<str>>);

fn look<'p>(program: &'p Program, node: &'p Node) -> Option<Look<'p>> {
    let (operand, value) = match &node.op {
        Op::Fold(_, operand) => (operand, None),
        Op::Baseline(operand, _, value) => (operand, Some(value)),
        _ => return None,
    };
    Some((&program.nodes[operand.0 as usize].tags, &node.tags, value))
}

/// Adds the keys of its operand that a function across series looks at. True: there were new ones.
fn ask((tags, own, value): &Look<'_>, universes: &mut Universes<'_>) -> bool {
    let known = &universes[tags];
    let missing = Arc::from("");
    let wanted = universes[own].iter().map(|key| with_value(tags, own, key, value.unwrap_or(&missing)));
    let new: Vec<Key> = wanted.filter(|key| !known.contains(key)).collect();
    for (other, keys) in universes.iter_mut() {
        if let Some(projection) = projection(tags, other) {
            keys.extend(new.iter().map(|key| project(key, &projection)));
        }
    }
    !new.is_empty()
}

/// A key of the tags `fewer` as one of the tags `tags`: those that it lacks have this value.
pub fn with_value(tags: &[String], fewer: &[String], key: &Key, value: &Arc<str>) -> Key {
    let part = |tag: &String| fewer.iter().position(|other| other == tag).map_or(value, |place| &key[place]);
    tags.iter().map(|tag| Arc::clone(part(tag))).collect()
}

/// Where the values of `to`'s tags stand in a key of `from`'s; `None` where `from` lacks one.
fn projection(from: &[String], to: &[String]) -> Option<Vec<usize>> {
    to.iter().map(|tag| from.iter().position(|other| other == tag)).collect()
}

fn project(key: &Key, projection: &[usize]) -> Key {
    projection.iter().map(|index| Arc::clone(&key[*index])).collect()
}
