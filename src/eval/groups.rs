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
        let stand_in = space.number(&with_value(space.tags, own.tags, &own.keys[group as usize], &Arc::from("")));
        stand_in.or_else(|| self.members(from, to, group).first().copied())
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
    // What stands for the groups of the inputs themselves, asked of all before any is added: of what stands for something, all
    // functions would ask for what stands for that, and there is no end to it but one for each set of their tags.
    let wanted: Vec<(&[String], Vec<Key>)> =
        looks.iter().map(|look| (look.tags, look.wanted(&universes, inputs, true))).collect();
    wanted.into_iter().for_each(|(tags, new)| add(tags, &new, &mut universes));
    // Users come after their operands, so that one pass backwards asks for most; what a pass adds to a set that was passed
    // already is found by the next.
    let count = |universes: &Universes<'_>| universes.values().map(BTreeSet::len).sum::<usize>();
    let most = MOST_KEYS.max(GROWTH * count(&universes));
    let mut grows = true;
    while std::mem::take(&mut grows) {
        for look in &looks {
            let new = look.wanted(&universes, inputs, false);
            if count(&universes) + new.len() <= most {
                grows |= !new.is_empty();
                add(look.tags, &new, &mut universes);
            }
        }
    }
    universes
}

/// Functions across series that look at one another's groups ask for no more than so many, and so many times those of the inputs.
/// What is beyond is as a group that nobody has.
const MOST_KEYS: usize = 100_000;
const GROWTH: usize = 8;

fn key_of(group: &(Key, Arc<Column>)) -> &Key {
    &group.0
}

/// A function across series.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Look<'p> {
    /// Of its operand.
    tags: &'p [String],
    own: &'p [String],
    /// What `baseline` looks for.
    value: Option<&'p Arc<str>>,
    /// The input that its operand is, if it is one.
    input: Option<usize>,
}

fn look<'p>(program: &'p Program, node: &'p Node) -> Option<Look<'p>> {
    let (operand, value) = match &node.op {
        Op::Fold(_, operand) => (operand, None),
        Op::Baseline(operand, _, value) => (operand, Some(value)),
        _ => return None,
    };
    let operand = &program.nodes[operand.0 as usize];
    let input = match &operand.op {
        Op::Input { input, .. } => Some(*input),
        _ => None,
    };
    Some(Look { tags: &operand.tags, own: &node.tags, value, input })
}

impl Look<'_> {
    /// The keys of its operand that it looks at and that are not there: for `baseline` those of its value, else those that stand
    /// for groups of which the operand has no series, which are the ones without the other tags. `each`: for each group, also where
    /// another key could stand for it that is only there for something else of the request.
    fn wanted(&self, universes: &Universes<'_>, inputs: &[Input], each: bool) -> Vec<Key> {
        let Some(to_own) = projection(self.tags, self.own) else { return Vec::new() };
        let (known, missing) = (&universes[self.tags], Arc::from(""));
        let of_input = || self.input.iter().flat_map(|input| inputs[*input].groups.iter().map(key_of));
        let covered: BTreeSet<Key> = match (self.value, each) {
            (Some(_), _) => BTreeSet::new(),
            (None, true) => of_input().map(|key| project(key, &to_own)).collect(),
            (None, false) => known.iter().map(|key| project(key, &to_own)).collect(),
        };
        let wanted = universes[self.own].iter().filter(|key| !covered.contains(*key));
        let wanted = wanted.map(|key| with_value(self.tags, self.own, key, self.value.unwrap_or(&missing)));
        wanted.filter(|key| !known.contains(key)).collect()
    }
}

/// Adds keys, and what they are without some of their tags.
fn add(tags: &[String], new: &[Key], universes: &mut Universes<'_>) {
    for (other, keys) in universes.iter_mut() {
        if let Some(projection) = projection(tags, other) {
            keys.extend(new.iter().map(|key| project(key, &projection)));
        }
    }
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
