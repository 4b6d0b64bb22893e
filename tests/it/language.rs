//! The boundaries of the language, and its laws: printing and parsing give the same expression, and nothing panics.

use proptest::prelude::*;
use tsdb_ws::catalog::compile;
use tsdb_ws::diagnostic::Severity;
use tsdb_ws::formula::{BinaryOp, Expr, ExprKind, Function, Template, UnaryOp, parse};

use crate::support::listing;

fn codes(files: &[(&str, &str)]) -> Vec<&'static str> {
    let catalog = compile(&listing(files));
    catalog.diagnostics.iter().filter(|found| found.severity == Severity::Error).map(|found| found.code).collect()
}

#[test]
fn limits_hold_exactly() {
    let long =
        |characters: usize| format!("{}1{}", "1+".repeat((characters - 1) / 2), " ".repeat((characters + 1) % 2));
    assert_eq!(long(4_096).chars().count(), 4_096);
    assert!(parse(&long(4_096)).is_ok());
    assert_eq!(parse(&long(4_097)).unwrap_err()[0].code, "expression_limit");
    // Characters, not bytes.
    let wide = format!("coalesce(1, lift(a, \"é\", \"{}\"))", "漢".repeat(4_096 - 31));
    assert!(wide.chars().count() <= 4_096 && parse(&wide).is_ok());
    for nested in [("(", ")"), ("-", ""), ("!", ""), ("abs(", ")"), ("-(", ")")] {
        let levels = if nested.0 == "-(" { 32 } else { 64 };
        let text = |count: usize| format!("{}a{}", nested.0.repeat(count), nested.1.repeat(count));
        assert!(parse(&text(levels)).is_ok(), "{nested:?}");
        assert_eq!(parse(&text(levels + 1)).unwrap_err()[0].code, "expression_limit", "{nested:?}");
    }
    let chain = |deep: usize| {
        let links: String = (0..deep).map(|at| format!("  f{at}: f{}\n", at + 1)).collect();
        format!("metrics: {{ m: s }}\nformulas:\n{links}  f{deep}: m\n")
    };
    assert_eq!(codes(&[("k.yaml", &chain(256))]), Vec::<&str>::new());
    assert_eq!(codes(&[("k.yaml", &chain(257))]), ["reference_limit"]);
    let sized = |bytes: usize| {
        let file = "metrics: { m: s }\nformulas: { f: m }\n#";
        format!("{file}{}", " ".repeat(bytes - file.len()))
    };
    assert_eq!(codes(&[("k.yaml", &sized(1 << 20))]), Vec::<&str>::new());
    assert_eq!(codes(&[("k.yaml", &sized((1 << 20) + 1))]), ["file_limit"]);
    let name = |length: usize| format!("metrics: {{ m: s }}\nformulas: {{ {}: m }}\n", "n".repeat(length));
    assert_eq!(codes(&[("k.yaml", &name(128))]), Vec::<&str>::new());
    assert_eq!(codes(&[("k.yaml", &name(129))]), ["invalid_name"]);
}

#[test]
fn a_file_full_of_operands_is_refused_before_any_is_parsed() {
    let file = |formulas: &str| format!("metrics: {{ visitors: s, customers: s }}\nformulas:\n{formulas}");
    let text = "(customers - 3) / max(visitors, 1) * 100 + customers / coalesce(visitors, 1) - visitors * 0.25 + 10";
    let honest: String = (0..5_000).map(|at| format!("  f{at}: {text}\n")).collect();
    assert!(text.len() >= 99);
    assert_eq!(codes(&[("k.yaml", &file(&honest))]), Vec::<&str>::new());
    let wide = format!("1{}", "+1".repeat(1_999));
    let full: String = (0..75).map(|at| format!("  f{at}: {wide}\n")).collect();
    assert_eq!(codes(&[("k.yaml", &file(&full))]), Vec::<&str>::new());
    assert_eq!(codes(&[("k.yaml", &file(&format!("{full}  one: customers\n")))]), ["expression_limit"]);
    // Its names are there, whatever is not known of them.
    let folder =
        [("k/a.yaml", file(&format!("{full}  one: customers\n"))), ("k/b.yaml", "formulas: { g: one }\n".to_owned())];
    assert_eq!(codes(&folder.each_ref().map(|(path, text)| (*path, text.as_str()))), ["expression_limit"]);
    // An enum in a name counts for all its values.
    let values: String = (0..900).map(|value| format!("v{value}, ")).collect();
    let enums = format!(
        "parameters: {{ e: {{ type: enum, values: [{values}] }} }}\nmetrics: {{ m: s }}\nformulas: {{ \"f_${{e}}\": {wide} }}\n"
    );
    assert!(codes(&[("k.yaml", &enums)]).contains(&"keyspace_limit"));
}

#[test]
fn enums_that_multiply_and_includes_that_fan_out_end_at_their_budgets() {
    let values: String = (0..900).map(|value| format!("v{value}, ")).collect();
    let many: String = (0..100).map(|name| format!("  m{name}_${{e}}: s\n")).collect();
    let names =
        format!("parameters: {{ e: {{ type: enum, values: [{values}] }} }}\nmetrics:\n{many}formulas: {{ f: 1 }}\n");
    assert!(codes(&[("k.yaml", &names)]).contains(&"keyspace_limit"));
    let references = format!(
        "parameters:\n  a: {{ type: enum, values: [{values}] }}\n  b: {{ type: enum, values: [{values}] }}\nmetrics: {{ m: s }}\nformulas: {{ f: \"x${{a}}${{b}}\" }}\n"
    );
    assert_eq!(codes(&[("k.yaml", &references)]), ["keyspace_limit"]);
    // Every library includes all after it: the ways from the first to the last double with each.
    let libraries: Vec<(String, String)> = (0..40)
        .map(|at| {
            let after: Vec<String> = (at + 1..40).map(|other| format!("_l{other}")).collect();
            (format!("_l{at}.yaml"), format!("include: [{}]\n", after.join(", ")))
        })
        .collect();
    let mut files: Vec<(&str, &str)> = libraries.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.push(("k.yaml", "include: _l0\nmetrics: { m: s }\nformulas: { f: m }\n"));
    assert_eq!(codes(&files), Vec::<&str>::new());
    // A small file whose formulas all reach all of its metrics.
    let metrics: String = (0..4_000).map(|at| format!("  m{at}: s\n")).collect();
    let parts: String = (0..20)
        .map(|part| {
            let all: Vec<String> = (0..200).map(|at| format!("m{}", part * 200 + at)).collect();
            format!("  p{part}: {}\n", all.join(" + "))
        })
        .collect();
    let all = (0..20).map(|part| format!("p{part}")).collect::<Vec<_>>().join(" + ");
    let wide: String = (0..4_000).map(|at| format!("  w{at}: {all}\n")).collect();
    assert!(codes(&[("k.yaml", &format!("metrics:\n{metrics}formulas:\n{parts}{wide}"))]).contains(&"keyspace_limit"));
    let unknown: String = (0..2_000).map(|at| format!("  w{at}: nothing{at}\n")).collect();
    assert_eq!(codes(&[("k.yaml", &format!("metrics: {{ m: s }}\nformulas:\n{unknown}"))]).len(), 2_000);
}

#[test]
fn a_cycle_of_any_length_is_named_whole() {
    for length in [1, 2, 3, 10, 100, 1_000] {
        let links: String = (0..length).map(|at| format!("  f{at}: f{} + m\n", (at + 1) % length)).collect();
        let text = format!("metrics: {{ m: s }}\nformulas:\n{links}");
        let catalog = compile(&listing(&[("k.yaml", &text)]));
        assert_eq!(catalog.diagnostics.len(), 1);
        let named = catalog.diagnostics[0].message.split(": ").nth(1).unwrap().split(" → ").count();
        assert_eq!(named, length + 1, "{}", catalog.diagnostics[0].message);
    }
}

/// Expressions as the parser makes them, but for their places.
fn expression() -> impl Strategy<Value = Expr> {
    let node = |kind| Expr { kind, span: 0..0 };
    let template = prop::sample::select(vec!["visitors", "_x1", "clicks_${module}", "${n}", "${a}_${b}"]);
    let leaf = prop_oneof![
        prop::sample::select(vec![0.0, 1.0, 0.5, 1e300, 1e-7, 123_456_789.0, f64::MAX]).prop_map(ExprKind::Number),
        Just(ExprKind::Null),
        template.prop_map(|text| ExprKind::Name(Template::parse(text).unwrap())),
    ];
    leaf.prop_map(node).prop_recursive(5, 40, 3, move |inner| {
        let binary = [
            BinaryOp::Or,
            BinaryOp::And,
            BinaryOp::Eq,
            BinaryOp::Ne,
            BinaryOp::Lt,
            BinaryOp::Le,
            BinaryOp::Gt,
            BinaryOp::Ge,
            BinaryOp::Add,
            BinaryOp::Sub,
            BinaryOp::Mul,
            BinaryOp::Div,
            BinaryOp::Rem,
            BinaryOp::Pow,
        ];
        let text = prop::sample::select(vec!["a", "x\"y", "back\\slash", "$${no}", "${n}", "漢"]);
        prop_oneof![
            (prop::sample::select(vec![UnaryOp::Neg, UnaryOp::Not]), inner.clone())
                .prop_map(move |(op, a)| node(ExprKind::Unary(op, Box::new(a)))),
            (prop::sample::select(binary.to_vec()), inner.clone(), inner.clone())
                .prop_map(move |(op, a, b)| node(ExprKind::Binary(op, Box::new(a), Box::new(b)))),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(move |(a, b, c)| node(ExprKind::Call(Function::If, vec![a, b, c]))),
            (inner, text).prop_map(move |(a, text)| {
                let tag = node(ExprKind::Text(Template::literal("variation")));
                let value = node(ExprKind::Text(Template::parse(text).unwrap()));
                node(ExprKind::Call(Function::Lift, vec![a, tag, value]))
            }),
        ]
    })
}

/// The kinds of all nodes in order, without places.
fn shape(expr: &Expr) -> Vec<String> {
    expr.walk()
        .map(|expr| match &expr.kind {
            ExprKind::Unary(op, _) => format!("{op:?}"),
            ExprKind::Binary(op, ..) => format!("{op:?}"),
            ExprKind::Call(function, arguments) => format!("{function:?}{}", arguments.len()),
            leaf => format!("{leaf:?}"),
        })
        .collect()
}

/// A sound file, of which mutations are made.
const SOUND: &str = include_str!("../testdata/storefront.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_printed_is_parsed_to_the_same(expr in expression()) {
        let text = expr.to_string();
        match parse(&text) {
            Ok(again) => {
                prop_assert_eq!(shape(&expr), shape(&again), "{}", text);
                prop_assert_eq!(&again.to_string(), &text);
            }
            Err(faults) => prop_assert_eq!(faults[0].code, "expression_limit", "{}: {:?}", text, faults),
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-+*/%^!<>=&|()a-c0-9.,;\"'${} e\\\\é\n]{0,60}") {
        match parse(&text) {
            Ok(expr) => prop_assert_eq!(shape(&parse(&expr.to_string()).unwrap()), shape(&expr), "{}", text),
            Err(faults) => for fault in faults {
                prop_assert!(text.get(fault.span.clone()).is_some(), "{}: {:?}", text, fault);
                prop_assert!(fault.hint.is_some(), "{}: {:?}", text, fault);
            },
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = tsdb_ws::repository::SourceFile { path: "k.yaml".to_owned(), content: Ok(bytes) };
        compile(&tsdb_ws::repository::Listing { files: vec![file], ..Default::default() });
    }

    #[test]
    fn no_mutation_of_a_sound_file_makes_the_compiler_panic(
        cuts in prop::collection::vec((0.0..1.0f64, 0..12usize, "[-:{}\\[\\],&*!|>'\"%@`#?$ \t\nab1~<=()]{0,4}"), 1..4)
    ) {
        let mut text: Vec<char> = SOUND.chars().collect();
        for (at, length, put) in cuts {
            let at = (at * text.len() as f64) as usize;
            let end = (at + length).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        let catalog = compile(&listing(&[("k.yaml", &text)]));
        for found in &catalog.diagnostics {
            let line = text.lines().nth(found.location.line - 1).unwrap_or_default();
            let end = line.chars().count() + 1;
            prop_assert!(found.location.column <= end, "{}\n{:?}", text, found);
            prop_assert!(found.hint.is_some(), "{:?}", found);
        }
    }
}
