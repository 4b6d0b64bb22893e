//! How the nodes that are needed are computed: which as parts of trees, and until when each is kept.

use super::tree::{MAX_OPERATORS, Tree};
use super::{Node, NodeId, Op, Program};
use crate::formula::Function;

/// The layout of an evaluation.
#[derive(Debug)]
pub struct Layout {
    /// How often each node is read; 0 where no output needs it.
    uses: Vec<u32>,
    /// The trees of point operators, by their roots.
    trees: Vec<Option<Tree>>,
    /// For each node those that are not read after it.
    last: Vec<Vec<NodeId>>,
}

/// An output counts as more than one use: it is never a part of a tree, and its only user may not let it go.
const OUTPUT: u32 = 2;

impl Layout {
    /// The layout for some outputs of a program.
    pub fn new(program: &Program, outputs: &[NodeId]) -> Layout {
        let uses = uses(program, outputs);
        let inner = inner(program, &uses);
        let count = program.nodes.len();
        let mut layout = Layout { uses, trees: (0..count).map(|_| None).collect(), last: vec![Vec::new(); count] };
        let mut last = vec![None; count];
        for (index, node) in program.nodes.iter().enumerate() {
            if !layout.is_needed(index) || inner[index] {
                continue;
            }
            let id = NodeId(index as u32);
            layout.trees[index] = is_point(node).then(|| Tree::new(program, id, |node| inner[node.0 as usize]));
            layout.sources(program, index).iter().for_each(|source| last[source.0 as usize] = Some(index));
        }
        outputs.iter().for_each(|output| last[output.0 as usize] = None);
        for (source, user) in last.iter().enumerate() {
            layout.last.get_mut(user.unwrap_or(count)).into_iter().for_each(|ends| ends.push(NodeId(source as u32)));
        }
        layout
    }

    /// Whether an output needs the node.
    pub fn is_needed(&self, index: usize) -> bool {
        self.uses[index] > 0
    }

    /// The tree of a point operator that is not a part of another.
    pub fn tree(&self, index: usize) -> Option<&Tree> {
        self.trees[index].as_ref()
    }

    /// The nodes whose columns a node reads.
    pub fn sources<'a>(&'a self, program: &'a Program, index: usize) -> &'a [NodeId] {
        match &self.trees[index] {
            Some(tree) => tree.leaves(),
            None => program.nodes[index].op.operands(),
        }
    }

    /// The nodes that are not read after this one.
    pub fn last(&self, index: usize) -> &[NodeId] {
        &self.last[index]
    }
}

fn is_point(node: &Node) -> bool {
    matches!(node.op, Op::Unary(..) | Op::Binary(..) | Op::Point(..))
}

fn is_part(node: &Node) -> bool {
    is_point(node) && !matches!(node.op, Op::Point(Function::Coalesce, _))
}

fn uses(program: &Program, outputs: &[NodeId]) -> Vec<u32> {
    let mut uses = vec![0; program.nodes.len()];
    outputs.iter().for_each(|output| uses[output.0 as usize] += OUTPUT);
    for (index, node) in program.nodes.iter().enumerate().rev() {
        if uses[index] > 0 {
            node.op.operands().iter().for_each(|operand| uses[operand.0 as usize] += 1);
        }
    }
    uses
}

/// Which nodes are computed as parts of the trees of their only users: point operators of the same groups. `coalesce` asks
/// which of its operands have a group, and so is a tree of its own: it takes none in, and is a part of none.
fn inner(program: &Program, uses: &[u32]) -> Vec<bool> {
    let mut inner = vec![false; uses.len()];
    let mut operators = vec![1; uses.len()];
    for (index, node) in program.nodes.iter().enumerate() {
        if uses[index] == 0 || !is_part(node) {
            continue;
        }
        for operand in node.op.operands() {
            let place = operand.0 as usize;
            let other = &program.nodes[place];
            let fits = operators[index] + operators[place] <= MAX_OPERATORS;
            if fits && uses[place] == 1 && is_part(other) && other.tags == node.tags {
                inner[place] = true;
                operators[index] += operators[place];
            }
        }
    }
    inner
}
