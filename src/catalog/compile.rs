//! Files → keyspaces: merged, names expanded, references resolved into a graph, cycles and joins checked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use jiff::tz::TimeZone;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::parsed::{ParsedFile, ParsedFiles, start_of};
use super::spec::{self, FormulaSpec, MetricSpec, Spec};
use super::{Catalog, Definition, Formula, Keyspace, Metric, Parameter, ParameterKind};
use crate::diagnostic::{Diagnostic, Location, Severity};
use crate::formula::{Expr, ExprKind, Function, FunctionClass, Part, Template};
use crate::repository::{self, Listing, keyspace_of};
use crate::series::{Kind, Step};

/// References between formulas are at most so deep.
const MAX_CHAIN: usize = 256;
const RESERVED: [&str; 12] = [
    "keyspaces",
    "openapi.json",
    "docs",
    "healthz",
    "readyz",
    "livez",
    "metrics",
    "version",
    "status",
    "assets",
    "admin",
    "debug",
];

/// One keyspace, compiled on its own.
#[derive(Debug)]
pub struct Compiled {
    /// `None` where it has errors.
    pub keyspace: Option<Arc<Keyspace>>,
    /// Everything found in its files, in the libraries that it pulls in, and between them; by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The paths at which its libraries were looked for, there or not: when one of them changes, so may the keyspace.
    pub libraries: BTreeSet<String>,
}

/// Compiles every keyspace of a listing. Keyspaces with errors are absent from the catalog; the diagnostics of all files are
/// in it.
pub fn compile(listing: &Listing) -> Catalog {
    let mut catalog = Catalog { revision: listing.revision(), ..Catalog::default() };
    let mut files = ParsedFiles::new();
    let mut keyspaces: BTreeSet<&str> = BTreeSet::new();
    for file in listing.files.iter().filter(|file| !file.path.ends_with(".test.yaml")) {
        let parsed = ParsedFile::parse(file);
        catalog.diagnostics.extend_from_slice(parsed.faults());
        files.insert(file.path.clone(), Arc::new(parsed));
        keyspaces.extend(keyspace_of(&file.path));
    }
    for name in keyspaces {
        let mut compiled = compile_keyspace(name, &files, listing.revision.as_deref());
        catalog.diagnostics.append(&mut compiled.diagnostics);
        catalog.keyspaces.extend(compiled.keyspace.map(|keyspace| (name.to_owned(), keyspace)));
    }
    sort(&mut catalog.diagnostics);
    catalog
}

/// Compiles one keyspace from its files and the libraries that they pull in. Where `revision` names none, a hash of their
/// contents does.
pub fn compile_keyspace(name: &str, files: &ParsedFiles, revision: Option<&str>) -> Compiled {
    // The file, and everything in the folder: found without looking at any other keyspace's files.
    let (file, folder) = (format!("{name}.yaml"), format!("{name}/"));
    let own = files.get_key_value(&file).into_iter();
    let inside = files.range(folder.clone()..).take_while(|(path, _)| path.starts_with(&folder));
    let paths: Vec<&str> =
        own.chain(inside).map(|(path, _)| path.as_str()).filter(|path| keyspace_of(path) == Some(name)).collect();
    let mut builder = Builder { files, faults: Vec::new(), complete: true, libraries: BTreeSet::new() };
    if paths.is_empty() {
        return Compiled { keyspace: None, diagnostics: Vec::new(), libraries: builder.libraries };
    }
    let (used, keyspace) = builder.keyspace(name, &paths, revision);
    let failed = builder.faults.iter().any(|fault| fault.severity == Severity::Error) || !builder.complete;
    let mut diagnostics = builder.faults;
    diagnostics.extend(used.iter().flat_map(|path| files[*path].faults()).cloned());
    sort(&mut diagnostics);
    Compiled { keyspace: (!failed).then(|| Arc::new(keyspace)), diagnostics, libraries: builder.libraries }
}

fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (&a.location, a.code, &a.message).cmp(&(&b.location, b.code, &b.message)));
    diagnostics.dedup();
}

/// Names the content of files, each once.
fn content_revision(paths: &[&str], files: &ParsedFiles) -> String {
    let mut sorted = paths.to_vec();
    sorted.sort_unstable();
    repository::content_revision(sorted.into_iter().map(|path| (path, files[path].hash)))
}

struct Builder<'a> {
    files: &'a ParsedFiles,
    faults: Vec<Diagnostic>,
    /// False where a file could not be read whole, so that missing names are not its users' fault.
    complete: bool,
    /// Where libraries were looked for.
    libraries: BTreeSet<String>,
}

/// A formula whose references are not resolved yet.
struct Draft<'a> {
    spec: &'a FormulaSpec,
    formula: Formula,
}

type Parameters = BTreeMap<String, Parameter>;

impl<'a> Builder<'a> {
    fn error(&mut self, code: &'static str, location: &Location, message: String, hint: &str) {
        self.faults.push(Diagnostic::error(code, location.clone(), message).with_hint(hint));
    }

    /// The files that it is made of, and what they make.
    fn keyspace(&mut self, name: &str, paths: &[&'a str], revision: Option<&str>) -> (Vec<&'a str>, Keyspace) {
        let start = start_of(paths[0]);
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if !plain || name.len() > 63 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            self.error(
                "invalid_keyspace",
                &start,
                format!("`{name}` cannot name a keyspace"),
                "use [a-z0-9][a-z0-9_-]{0,62}",
            );
        } else if RESERVED.contains(&name) || name == "api" {
            self.error(
                "reserved_name",
                &start,
                format!("`{name}` is a reserved name"),
                "choose another name for the keyspace",
            );
        }
        if paths.contains(&format!("{name}.yaml").as_str()) && paths.len() > 1 {
            let message = format!("the keyspace `{name}` is both {} and {}", paths[0], paths[1]);
            self.error("duplicate_keyspace", &start, message, "keep the file or the folder");
        }
        let paths = self.with_includes(paths);
        self.complete = !paths.iter().any(|path| self.files[*path].is_broken());
        let specs: Vec<&Spec> = paths.iter().map(|path| &self.files[*path].spec).collect();

        let parameters = self.parameters(&specs);
        let mut definitions = BTreeMap::new();
        let mut places: BTreeMap<String, Location> = BTreeMap::new();
        let mut drafts = BTreeMap::new();
        for spec in &specs {
            for (name, metric) in &spec.metrics {
                for (name, bound) in self.expand(name, &metric.location, &parameters) {
                    self.claim(&name, &metric.location, &mut places);
                    let metric = self.metric(name.clone(), bound, metric, &specs, &parameters);
                    definitions.insert(name, Definition::Metric(Arc::new(metric)));
                }
            }
        }
        for spec in &specs {
            for (name, formula) in &spec.formulas {
                for (name, bound) in self.expand(name, &formula.location, &parameters) {
                    self.claim(&name, &formula.location, &mut places);
                    drafts.insert(name.clone(), draft(name, bound, formula));
                }
            }
        }
        if self.complete {
            self.resolve(drafts, &mut definitions, &parameters);
        }
        let text = |field: &str| specs.iter().find_map(|spec| spec.texts.get(field)).cloned();
        let timezone = self.setting(
            text("timezone"),
            TimeZone::UTC,
            |text| TimeZone::get(text).ok(),
            "a timezone such as America/Los_Angeles",
        );
        let minute = Step::new(1, crate::series::StepUnit::Minute);
        let resolution = self.setting(text("resolution"), minute, |text| text.parse().ok(), "a duration such as 1m");
        let ten = Step::new(10, crate::series::StepUnit::Minute);
        let settle = self.setting(text("settle"), ten, |text| text.parse().ok(), "a duration such as 10m");
        let keyspace = Keyspace {
            name: name.to_owned(),
            revision: revision.map_or_else(|| content_revision(&paths, self.files), str::to_owned),
            title: text("title").map(|(text, _)| text),
            description: text("description").map(|(text, _)| text),
            owner: text("owner").map(|(text, _)| text),
            timezone,
            resolution,
            settle: settle.nominal_millis(),
            parameters,
            definitions,
        };
        (paths, keyspace)
    }

    fn setting<T>(
        &mut self,
        text: Option<(String, Location)>,
        default: T,
        read: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> T {
        let Some((text, location)) = text else { return default };
        read(&text).unwrap_or_else(|| {
            self.error("invalid_value", &location, format!("`{text}` is not {expected}"), &format!("write {expected}"));
            default
        })
    }

    /// The files of a keyspace and the libraries that they pull in, each once.
    fn with_includes(&mut self, paths: &[&'a str]) -> Vec<&'a str> {
        let mut found: Vec<&'a str> = Vec::new();
        let mut pending: Vec<(&'a str, Vec<&'a str>)> = Vec::new();
        for path in paths {
            pending.push((path, Vec::new()));
        }
        while let Some((path, chain)) = pending.pop() {
            if !found.contains(&path) {
                found.push(path);
            }
            for (include, location) in &self.files[path].spec.include {
                let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
                let candidates = [format!("{folder}{include}.yaml"), format!("{include}.yaml")];
                let library = candidates.iter().find_map(|name| self.files.get_key_value(name));
                let library = library.map(|(path, _)| path.as_str());
                self.libraries.extend(candidates.iter().cloned());
                match library {
                    _ if !include.starts_with('_') || include.contains(['/', '\\']) => {
                        self.error(
                            "invalid_include",
                            location,
                            format!("`{include}` is not a library"),
                            "include names such as _common, without a path",
                        );
                    }
                    None => self.error(
                        "unknown_include",
                        location,
                        format!("there is no library `{include}.yaml`"),
                        "add the file, or mend the name",
                    ),
                    Some(library) if chain.contains(&library) || library == path => {
                        let names: Vec<&str> = chain.iter().copied().chain([path, library]).collect();
                        self.error(
                            "include_cycle",
                            location,
                            format!("libraries include one another: {}", names.join(" → ")),
                            "break the cycle",
                        );
                    }
                    Some(library) => {
                        let mut chain = chain.clone();
                        chain.push(path);
                        pending.push((library, chain));
                    }
                }
                if self.faults.len() > 100 {
                    return found;
                }
            }
        }
        found
    }

    fn claim(&mut self, name: &str, location: &Location, places: &mut BTreeMap<String, Location>) {
        match places.get(name) {
            None => drop(places.insert(name.to_owned(), location.clone())),
            Some(first) => {
                let fault = Diagnostic::error("duplicate_name", location.clone(), format!("`{name}` is defined twice"));
                self.faults
                    .push(fault.with_hint(format!("it is defined first at {first}")).with_related(first.clone()));
            }
        }
    }

    fn parameters(&mut self, specs: &[&Spec]) -> Parameters {
        let mut places = BTreeMap::new();
        let mut parameters = Parameters::new();
        for (name, location, parameter) in specs.iter().flat_map(|spec| &spec.parameters) {
            self.claim(name, location, &mut places);
            parameters.insert(name.clone(), parameter.clone());
        }
        parameters
    }

    /// A name that holds an enum parameter is defined once for each of its values.
    fn expand(
        &mut self,
        name: &str,
        location: &Location,
        parameters: &Parameters,
    ) -> Vec<(String, Option<(String, String)>)> {
        let Ok(template) = Template::parse(name) else { return Vec::new() };
        let params: Vec<&str> = template.params().collect();
        match params.as_slice() {
            [] => vec![(name.to_owned(), None)],
            [param] => match parameters.get(*param).map(|parameter| &parameter.kind) {
                Some(ParameterKind::Enum { values }) => {
                    let one = |value: &String| {
                        let name = template.complete(|_| Some(value.clone())).unwrap_or_default();
                        (name, Some(((*param).to_owned(), value.clone())))
                    };
                    let all: Vec<(String, Option<(String, String)>)> = values.iter().map(one).collect();
                    for (name, _) in &all {
                        if !crate::formula::is_name(name) || spec::is_reserved(name) {
                            self.error(
                                "invalid_name",
                                location,
                                format!("`{name}` is not a name"),
                                "the enum's values must make names",
                            );
                        }
                    }
                    all
                }
                _ => {
                    let message = format!("`${{{param}}}` in a name must be an enum parameter");
                    self.error("unknown_parameter", location, message, "declare it under `parameters` with type: enum");
                    Vec::new()
                }
            },
            _ => {
                self.error(
                    "invalid_name",
                    location,
                    "a name may hold one parameter".to_owned(),
                    "use one enum parameter",
                );
                Vec::new()
            }
        }
    }

    fn metric(
        &mut self,
        name: String,
        bound: Option<(String, String)>,
        spec: &MetricSpec,
        specs: &[&Spec],
        parameters: &Parameters,
    ) -> Metric {
        let mut tags: BTreeMap<String, Vec<Template>> = BTreeMap::new();
        for (tag, values) in specs.iter().flat_map(|spec| &spec.default_tags).chain(&spec.tags) {
            match values {
                Some(values) => drop(tags.insert(tag.clone(), values.clone())),
                None => drop(tags.remove(tag)),
            }
        }
        let templates = tags.values().flatten().map(|template| (template, true)).chain([(&spec.series, false)]);
        for (param, in_tag) in
            templates.flat_map(|(template, in_tag)| template.params().map(move |param| (param, in_tag)))
        {
            match parameters.get(param) {
                None => self.error(
                    "unknown_parameter",
                    &spec.location,
                    format!("`{name}` uses `${{{param}}}`, which is not declared"),
                    "declare it under `parameters`",
                ),
                Some(parameter) if parameter.optional && parameter.default.is_none() && !in_tag => {
                    self.error(
                        "optional_parameter",
                        &spec.location,
                        format!("the stored name of `{name}` cannot hold the optional parameter `{param}`"),
                        "give it a default",
                    );
                }
                Some(_) => {}
            }
        }
        let group_by = spec.group_by.clone().or_else(|| specs.iter().find_map(|spec| spec.default_group_by.clone()));
        Metric {
            name,
            series: spec.series.clone(),
            tags,
            group_by: group_by.unwrap_or_default().into(),
            kind: spec.kind,
            aggregate: spec.aggregate,
            fill: spec.fill.unwrap_or_else(|| spec.kind.default_fill(spec.aggregate)),
            unit: spec.unit.clone(),
            description: spec.description.clone(),
            approximate: spec.approximate,
            backends: spec.backends.clone(),
            bound,
            location: spec.location.clone(),
        }
    }

    /// Puts the formulas in order of evaluation and finishes each from those that it refers to.
    fn resolve(
        &mut self,
        drafts: BTreeMap<String, Draft<'_>>,
        definitions: &mut BTreeMap<String, Definition>,
        parameters: &Parameters,
    ) {
        let mut graph: DiGraph<&str, ()> = DiGraph::new();
        let nodes: BTreeMap<&str, NodeIndex> =
            drafts.keys().map(|name| (name.as_str(), graph.add_node(name.as_str()))).collect();
        for (name, draft) in &drafts {
            self.check_parameters(draft, parameters);
            for (reference, span) in references(&draft.formula, parameters) {
                match nodes.get(reference.as_str()) {
                    Some(to) => drop(graph.update_edge(nodes[name.as_str()], *to, ())),
                    None if definitions.contains_key(&reference) => {}
                    None => {
                        let known = drafts.keys().chain(definitions.keys());
                        let nearest = known.min_by_key(|known| strsim::levenshtein(known, &reference));
                        let hint = nearest.map_or("declare it".to_owned(), |nearest| {
                            format!("declare it, or did you mean `{nearest}`?")
                        });
                        let location = place(draft.spec, &span);
                        self.error(
                            "unknown_name",
                            &location,
                            format!("`{reference}` is neither a metric nor a formula"),
                            &hint,
                        );
                    }
                }
            }
        }
        let mut depth: BTreeMap<&str, usize> = BTreeMap::new();
        // Strongly connected components come in reverse topological order: what is referred to first.
        for component in kosaraju_scc(&graph) {
            let node = component[0];
            let name = graph[node];
            let draft = &drafts[name];
            if component.len() > 1 || graph.contains_edge(node, node) {
                let members: Vec<&str> = cycle(&graph, &component);
                let first = members.first().copied().unwrap_or(name);
                let location = &drafts[first].spec.location;
                let message = format!("formulas refer to one another in a cycle: {}", members.join(" → "));
                self.error("cycle", location, message, "break the cycle: a formula cannot need its own value");
                continue;
            }
            let below =
                graph.neighbors(node).filter_map(|other| depth.get(graph[other])).max().map_or(0, |depth| depth + 1);
            depth.insert(name, below);
            if below > MAX_CHAIN {
                if below == MAX_CHAIN + 1 {
                    let message = format!("`{name}` refers to formulas more than {MAX_CHAIN} deep");
                    self.error("reference_limit", &draft.spec.location, message, "shorten the chain of references");
                }
                continue;
            }
            self.finish(draft, definitions, parameters);
        }
    }

    fn check_parameters(&mut self, draft: &Draft<'_>, parameters: &Parameters) {
        let own = draft.formula.bound.as_ref().map(|(name, _)| name.as_str());
        for expr in draft.spec.expr.walk() {
            let (ExprKind::Name(template) | ExprKind::Text(template)) = &expr.kind else { continue };
            let is_name = matches!(expr.kind, ExprKind::Name(_));
            for param in template.params().filter(|param| Some(*param) != own) {
                let location = place(draft.spec, &expr.span);
                match parameters.get(param) {
                    None => self.error(
                        "unknown_parameter",
                        &location,
                        format!("`${{{param}}}` is not declared"),
                        "declare it under `parameters`",
                    ),
                    Some(parameter) if parameter.optional && parameter.default.is_none() => {
                        self.error(
                            "optional_parameter",
                            &location,
                            format!("the optional parameter `{param}` can only fill tags and titles"),
                            "give it a default",
                        );
                    }
                    Some(Parameter { kind: ParameterKind::String { .. }, .. }) if is_name => {
                        self.error(
                            "wrong_parameter",
                            &location,
                            format!("`{param}` is a string, which cannot name a metric or formula"),
                            "make it an enum, or a number",
                        );
                    }
                    Some(Parameter { kind: ParameterKind::Number { .. }, .. })
                        if is_name && template.as_param().is_none() =>
                    {
                        self.error(
                            "wrong_parameter",
                            &location,
                            format!("the number `{param}` cannot be a part of a name"),
                            "make it an enum",
                        );
                    }
                    Some(_) => {}
                }
            }
        }
        for param in chart_params(&draft.formula).into_iter().filter(|param| Some(param.as_str()) != own) {
            if !parameters.contains_key(&param) {
                let message = format!("the chart uses `${{{param}}}`, which is not declared");
                self.error("unknown_parameter", &draft.spec.location, message, "declare it under `parameters`");
            }
        }
    }

    fn finish(&mut self, draft: &Draft<'_>, definitions: &mut BTreeMap<String, Definition>, parameters: &Parameters) {
        let mut formula = draft.formula.clone();
        let own = formula.bound.as_ref().map(|(name, _)| name.clone());
        for expr in draft.spec.expr.walk() {
            if let ExprKind::Name(template) | ExprKind::Text(template) = &expr.kind {
                formula.params.extend(template.params().map(str::to_owned));
            }
        }
        formula.params.extend(chart_params(&formula));
        if let Some(own) = own {
            formula.params.remove(&own);
        }
        for (reference, _) in references(&formula, parameters) {
            match definitions.get(&reference) {
                Some(Definition::Metric(metric)) => {
                    formula.metrics.insert(reference);
                    let templates = metric.tags.values().flatten().chain([&metric.series]);
                    let bound = metric.bound.as_ref().map(|(name, _)| name.as_str());
                    let params = templates.flat_map(Template::params).filter(|param| Some(*param) != bound);
                    formula.params.extend(params.map(str::to_owned));
                }
                Some(Definition::Formula(other)) => {
                    formula.metrics.extend(other.metrics.iter().cloned());
                    formula.params.extend(other.params.iter().cloned());
                }
                None => {}
            }
        }
        formula.tags = self.tags(draft, definitions, parameters);
        definitions.insert(formula.name.clone(), Definition::Formula(Arc::new(formula)));
    }

    /// The names of the tags of a formula's series; operands that cannot be joined are errors.
    fn tags(
        &mut self,
        draft: &Draft<'_>,
        definitions: &BTreeMap<String, Definition>,
        parameters: &Parameters,
    ) -> Arc<[String]> {
        // Children come after their parents in the walk, so that in reverse every operand is known before its user.
        let order: Vec<&Expr> = draft.spec.expr.walk().collect();
        let mut known: std::collections::HashMap<*const Expr, Arc<[String]>> = std::collections::HashMap::new();
        let none: Arc<[String]> = Arc::new([]);
        for expr in order.iter().rev() {
            let of = |child: &Expr| known.get(&std::ptr::from_ref(child)).cloned().unwrap_or_else(|| Arc::clone(&none));
            let tags = match &expr.kind {
                ExprKind::Number(_) | ExprKind::Null | ExprKind::Text(_) => Arc::clone(&none),
                ExprKind::Name(template) => {
                    let names = values_of(template, draft.formula.bound.as_ref(), parameters);
                    let all = names.iter().filter_map(|name| match definitions.get(name)? {
                        Definition::Metric(metric) => Some(Arc::clone(&metric.group_by)),
                        Definition::Formula(formula) => Some(Arc::clone(&formula.tags)),
                    });
                    let all: BTreeSet<Arc<[String]>> = all.collect();
                    if all.len() > 1 {
                        let message = format!("the values of `{template}` lead to series with different tags");
                        self.error(
                            "unjoinable",
                            &place(draft.spec, &expr.span),
                            message,
                            "group all of them by the same tags",
                        );
                    }
                    all.into_iter().next_back().unwrap_or_else(|| Arc::clone(&none))
                }
                ExprKind::Unary(_, a) => of(a),
                ExprKind::Binary(_, a, b) => self.join(draft, &[(a, of(a)), (b, of(b))]),
                ExprKind::Call(function, arguments) if function.class() == FunctionClass::Point => {
                    let sides: Vec<(&Expr, Arc<[String]>)> =
                        arguments.iter().map(|argument| (argument, of(argument))).collect();
                    self.join(draft, &sides)
                }
                ExprKind::Call(function, arguments) => {
                    let operand = arguments.first().map_or_else(|| Arc::clone(&none), of);
                    if let Some(first) = arguments.first() {
                        self.check_kinds(draft, *function, first, definitions, parameters);
                    }
                    self.tags_of_call(draft, *function, arguments, operand)
                }
            };
            known.insert(std::ptr::from_ref(*expr), tags);
        }
        known.remove(&std::ptr::from_ref(&draft.spec.expr)).unwrap_or(none)
    }

    /// The tags of a function over time or across series, from those of its operand.
    fn tags_of_call(
        &mut self,
        draft: &Draft<'_>,
        function: Function,
        arguments: &[Expr],
        operand: Arc<[String]>,
    ) -> Arc<[String]> {
        use Function::{AvgBy, Baseline, CountBy, Lift, MaxBy, MinBy, SumBy};
        let named: &[Expr] = match function {
            SumBy | AvgBy | MinBy | MaxBy | CountBy => arguments.get(1..).unwrap_or_default(),
            Baseline | Lift => arguments.get(1..2).unwrap_or_default(),
            _ => return operand,
        };
        let mut names: BTreeSet<String> = BTreeSet::new();
        for argument in named {
            let ExprKind::Text(template) = &argument.kind else { continue };
            let Some(name) = template.as_literal() else { continue };
            if !operand.iter().any(|tag| tag == name) {
                let message = format!("`{}` names the tag `{name}`, which its operand does not have", function.name());
                let hint = match operand.is_empty() {
                    true => "its series have no tags; give its metrics a `group_by`".to_owned(),
                    false => format!("its tags are {}", operand.join(", ")),
                };
                self.error("unknown_tag", &place(draft.spec, &argument.span), message, &hint);
            }
            names.insert(name.to_owned());
        }
        match function {
            Lift => operand,
            Baseline => operand.iter().filter(|tag| !names.contains(*tag)).cloned().collect(),
            _ => names.into_iter().collect(),
        }
    }

    /// Refuses to add up what counts things that may repeat.
    fn check_kinds(
        &mut self,
        draft: &Draft<'_>,
        function: Function,
        operand: &Expr,
        definitions: &BTreeMap<String, Definition>,
        parameters: &Parameters,
    ) {
        use Function::{AvgBy, Cumulative, MovingAvg, MovingSum, Share, SumBy};
        let adds = matches!(function, AvgBy | Cumulative | MovingAvg | MovingSum | Share | SumBy);
        let ExprKind::Name(template) = &operand.kind else { return };
        let names = values_of(template, draft.formula.bound.as_ref(), parameters);
        let distinct = names.iter().find(
            |name| matches!(definitions.get(*name), Some(Definition::Metric(metric)) if metric.kind == Kind::Distinct),
        );
        if let (true, Some(name)) = (adds, distinct) {
            let message =
                format!("`{}` adds up `{name}`, which counts distinct things that may repeat", function.name());
            let hint = "store the count at the level that is asked for, or use max_by";
            self.error("not_additive", &place(draft.spec, &operand.span), message, hint);
        }
    }

    fn join(&mut self, draft: &Draft<'_>, sides: &[(&Expr, Arc<[String]>)]) -> Arc<[String]> {
        let Some((_, most)) = sides.iter().max_by_key(|(_, tags)| tags.len()) else { return Arc::new([]) };
        for (expr, tags) in sides {
            if !tags.iter().all(|tag| most.contains(tag)) {
                let message = format!(
                    "operands cannot be joined: one has the tags [{}], the other [{}]",
                    tags.join(", "),
                    most.join(", ")
                );
                self.error(
                    "unjoinable",
                    &place(draft.spec, &expr.span),
                    message,
                    "group both by the same tags, or one by fewer of them",
                );
            }
        }
        Arc::clone(most)
    }
}

fn draft(name: String, bound: Option<(String, String)>, spec: &FormulaSpec) -> Draft<'_> {
    let formula = Formula {
        name,
        text: spec.text.clone(),
        expr: spec.expr.clone(),
        description: spec.description.clone(),
        chart: spec.chart.clone(),
        bound,
        params: BTreeSet::new(),
        metrics: BTreeSet::new(),
        tags: Arc::new([]),
    };
    Draft { spec, formula }
}

/// The place of a part of an expression. Exact for texts on one line without escapes.
fn place(spec: &FormulaSpec, span: &Range<usize>) -> Location {
    let before = spec.text.get(..span.start).map_or(0, |before| before.chars().count());
    Location { column: spec.expr_location.column + before, ..spec.expr_location.clone() }
}

fn chart_params(formula: &Formula) -> Vec<String> {
    let Some(chart) = &formula.chart else { return Vec::new() };
    let texts = chart.fields.iter().filter_map(|(_, value)| match value {
        super::ChartValue::Text(template) => Some(template),
        super::ChartValue::Json(_) => None,
    });
    texts.chain([&chart.title]).flat_map(Template::params).map(str::to_owned).collect()
}

/// The names that a formula refers to, with the place of each in its text; an enum in a name stands for all its values.
pub fn references(formula: &Formula, parameters: &Parameters) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    for expr in formula.expr.walk() {
        if let ExprKind::Name(template) = &expr.kind {
            let names = values_of(template, formula.bound.as_ref(), parameters);
            found.extend(names.into_iter().map(|name| (name, expr.span.clone())));
        }
    }
    found
}

/// The names that an identifier can become; none where a parameter in it is not an enum.
fn values_of(template: &Template, bound: Option<&(String, String)>, parameters: &Parameters) -> Vec<String> {
    let mut names = vec![String::new()];
    for part in &template.parts {
        let values: Vec<&str> = match part {
            Part::Literal(text) => vec![text],
            Part::Param(param) => match (bound.filter(|(own, _)| own == param), parameters.get(param).map(|p| &p.kind))
            {
                (Some((_, value)), _) => vec![value],
                (None, Some(ParameterKind::Enum { values })) => values.iter().map(String::as_str).collect(),
                _ => return Vec::new(),
            },
        };
        // Two long enums in one identifier could make millions of names; a thousand are enough to find a missing one.
        names = names
            .iter()
            .flat_map(|name| values.iter().map(move |value| format!("{name}{value}")))
            .take(1_000)
            .collect();
    }
    names
}

/// One cycle of a component, as names from its first member by name back to it.
fn cycle<'n>(graph: &DiGraph<&'n str, ()>, component: &[NodeIndex]) -> Vec<&'n str> {
    let Some(start) = component.iter().copied().min_by_key(|node| graph[*node]) else { return Vec::new() };
    let members: BTreeSet<NodeIndex> = component.iter().copied().collect();
    let mut came_from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.neighbors(node).filter(|next| members.contains(next)) {
            if next == start {
                let mut path = vec![graph[start]];
                let mut at = node;
                while at != start {
                    path.push(graph[at]);
                    at = came_from[&at];
                }
                path.push(graph[start]);
                path.reverse();
                return path;
            }
            came_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                node
            });
        }
    }
    vec![graph[start]]
}
