//! `(a - b) / c * 100` over columns of a million points, of which some are null and some divide by zero: the program of a
//! plan, a loop written by hand that keeps the same marks, and evalexpr point by point.

use std::hint::black_box;
use std::sync::Arc;

use evalexpr::{ContextWithMutableVariables, HashMapContext, Node as Tree, Value, build_operator_tree};
use jiff::tz::TimeZone;
use tsdb_ws::backend::WholeRange;
use tsdb_ws::eval::{Extent, Frame, FrameId, Input, Node, NodeId, Op, Program, evaluate};
use tsdb_ws::formula::BinaryOp;
use tsdb_ws::series::{Column, Fill, TimeAxis};

use super::measure::{Contestant, Dice, at_least, at_most, take_turns};

const POINTS: usize = 1_000_000;

pub fn run() {
    for (what, nulls, zeros) in [("dense", 0, 0), ("1 in 100 null or divided by zero", 1, 1), ("half null", 50, 1)] {
        println!(" {what}");
        compare(nulls, zeros);
    }
}

/// So many of a hundred points are null, and so many of the divisors zero.
fn compare(nulls: u64, zeros: u64) {
    let mut dice = Dice(7);
    let mut column = |zeros: u64| -> Vec<f64> {
        let mut value = || match dice.below(100) {
            roll if roll < nulls => f64::NAN,
            roll if roll < nulls + zeros => 0.0,
            _ => dice.below(1_000_000) as f64 / 64.0 + 1.0,
        };
        (0..POINTS).map(|_| value()).collect()
    };
    let (a, b, c) = (column(0), column(0), column(zeros));
    let (program, root) = program();
    let inputs = [&a, &b, &c].map(|values| Input::new([(Vec::new(), values.clone())]));
    let ours = || {
        let mut evaluation = evaluate(&program, &[root], &inputs, Extent::Buckets, i64::MAX);
        evaluation.outputs.remove(0).series.remove(0).1
    };
    let tree = build_operator_tree("(a - b) / c * 100").unwrap();
    same(&ours(), &by_hand(&a, &b, &c));
    same(&ours(), &point_by_point(&tree, &a, &b, &c));
    let mut contestants = [
        Contestant::new("tsdb-ws", || drop(black_box(ours()))),
        Contestant::new("a loop by hand", || drop(black_box(by_hand(black_box(&a), &b, &c)))),
    ];
    take_turns(&mut contestants, 41);
    at_most("tsdb-ws by the loop", contestants[0].ratio_to(&contestants[1]), 1.5);
    let mut contestants = [
        Contestant::new("evalexpr", || drop(black_box(point_by_point(&tree, black_box(&a), &b, &c)))),
        Contestant::new("tsdb-ws", || drop(black_box(ours()))),
    ];
    take_turns(&mut contestants, 5);
    at_least("evalexpr by tsdb-ws", contestants[0].ratio_to(&contestants[1]), 50.0);
}

fn program() -> (Program, NodeId) {
    let axis = TimeAxis::covering(0, POINTS as i64 * 1000, "1s".parse().unwrap(), &TimeZone::UTC, POINTS).unwrap();
    let whole = WholeRange { from: axis.from(), to: axis.to() };
    let input = |input| Op::Input { input, fill: Fill::None, label: "metric".into() };
    let ops = [
        input(0),
        input(1),
        input(2),
        Op::Binary(BinaryOp::Sub, [NodeId(0), NodeId(1)]),
        Op::Binary(BinaryOp::Div, [NodeId(3), NodeId(2)]),
        Op::Constant(Some(100.0)),
        Op::Binary(BinaryOp::Mul, [NodeId(4), NodeId(5)]),
    ];
    let tags: Arc<[String]> = Arc::new([]);
    let nodes = ops.into_iter().map(|op| Node { op, tags: Arc::clone(&tags), frame: FrameId(0) }).collect();
    (Program { nodes, frames: vec![Frame { axis, lead: 0, whole }] }, NodeId(6))
}

/// The same nulls, and the same marks of those that are undefined.
fn by_hand(a: &[f64], b: &[f64], c: &[f64]) -> Column {
    let mut undefined: Option<Vec<bool>> = None;
    let value = |(index, ((a, b), c)): (usize, ((&f64, &f64), &f64))| {
        let result = (a - b) / c * 100.0;
        if result.is_finite() {
            return result;
        }
        if !a.is_nan() && !b.is_nan() && !c.is_nan() {
            undefined.get_or_insert_with(|| vec![false; POINTS])[index] = true;
        }
        f64::NAN
    };
    Column { values: a.iter().zip(b).zip(c).enumerate().map(value).collect(), undefined }
}

fn point_by_point(tree: &Tree, a: &[f64], b: &[f64], c: &[f64]) -> Column {
    let mut values = vec![0.0; a.len()];
    let mut undefined: Option<Vec<bool>> = None;
    let mut context = HashMapContext::new();
    for index in 0..values.len() {
        for (name, column) in [("a", a), ("b", b), ("c", c)] {
            context.set_value(name.into(), Value::Float(column[index])).unwrap();
        }
        let operands = [a[index], b[index], c[index]];
        values[index] = tree.eval_number_with_context(&context).unwrap();
        if !values[index].is_finite() {
            values[index] = f64::NAN;
            if operands.iter().all(|operand| !operand.is_nan()) {
                undefined.get_or_insert_with(|| vec![false; POINTS])[index] = true;
            }
        }
    }
    Column { values, undefined }
}

fn same(one: &Column, other: &Column) {
    assert_eq!(one.undefined, other.undefined);
    let bits =
        |column: &Column| column.values.iter().map(|v| if v.is_nan() { 0 } else { v.to_bits() }).collect::<Vec<_>>();
    assert!(bits(one) == bits(other));
}
