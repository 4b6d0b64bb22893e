//! What changed formulas come to on both sides, over the same data and the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Diff;
use crate::app;
use crate::catalog::{Catalog, Keyspace};
use crate::cli::query::WindowArgs;
use crate::cli::show;
use crate::config::Config;
use crate::query::{Answer, Backends, QueryError, Request, Service, Summary};
use crate::report::{self, Sides};
use crate::series::TimeAxis;

/// A formula on both sides.
pub struct Compared {
    keyspace: String,
    formula: String,
    /// Of what was answered last.
    axis: Option<TimeAxis>,
    lines: Vec<Lines>,
    /// What kept either side from being answered.
    errors: Vec<String>,
}

/// A series on both sides.
struct Lines {
    tags: String,
    old: Option<Side>,
    new: Option<Side>,
}

struct Side {
    values: Vec<f64>,
    summary: Option<f64>,
}

impl Lines {
    /// How many points are not the same, of how many.
    fn differing(&self) -> (usize, usize) {
        let of = |side: &Option<Side>| side.as_ref().map_or(Vec::new(), |side| side.values.clone());
        let (old, new) = (of(&self.old), of(&self.new));
        let count = old.len().max(new.len());
        let value = |values: &[f64], index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
        ((0..count).filter(|index| !same(value(&old, *index), value(&new, *index))).count(), count)
    }

    fn row(&self) -> Vec<String> {
        let summary = |side: &Option<Side>| match side {
            None => "no such series".to_owned(),
            Some(side) => side.summary.map_or("null".to_owned(), show::exact),
        };
        let (differing, count) = self.differing();
        vec![self.tags.clone(), summary(&self.old), summary(&self.new), format!("{differing} of {count}")]
    }
}

impl Compared {
    /// The values as they are reported to programs.
    pub fn to_json(&self) -> Value {
        let lines = self.lines.iter().map(|line| {
            let summary = |side: &Option<Side>| side.as_ref().and_then(|side| side.summary);
            let (differing, points) = line.differing();
            json!({
                "series": line.tags, "before": summary(&line.old), "after": summary(&line.new),
                "differing": differing, "points": points
            })
        });
        json!({
            "keyspace": self.keyspace, "formula": self.formula, "errors": self.errors,
            "series": lines.collect::<Vec<Value>>()
        })
    }
}

/// Asks both sides for every formula that is not as it was.
pub async fn compare(config: Config, diff: &Diff, window: &WindowArgs) -> anyhow::Result<Vec<Compared>> {
    let backend = app::open_backend(&config, config.backend)?;
    // One moment for both sides, so that `now` is the same.
    let now = jiff::Timestamp::now().as_millisecond();
    let side = |catalog: &Catalog| {
        let backends = Backends::from([(config.backend, Arc::clone(&backend))]);
        // The operator's choices for single keyspaces are not those of this comparison.
        let mut service = Service::new(Config { keyspaces: BTreeMap::new(), ..config.clone() }, backends);
        service.clock = Arc::new(move || now);
        service.catalog.publish(Catalog {
            revision: catalog.revision.clone(),
            keyspaces: catalog.keyspaces.clone(),
            diagnostics: Vec::new(),
        });
        service
    };
    let (base, head) = (side(&diff.base), side(&diff.head));
    let mut compared = Vec::new();
    for (name, changes) in &diff.changes {
        let touched = changes.changed.iter().map(|changed| &changed.name);
        let touched = touched.chain(changes.reached.iter().map(|reached| &reached.name));
        let touched: BTreeSet<&String> = touched.chain(&changes.added).chain(&changes.removed).collect();
        for formula in touched {
            let old = ask(&base, diff.base.keyspaces.get(name), formula, window).await?;
            let new = ask(&head, diff.head.keyspaces.get(name), formula, window).await?;
            compared.push(joined(name, formula, old, new));
        }
    }
    Ok(compared)
}

/// The answer to one formula; `None` where the side has none of that name, an error where it could not be answered.
async fn ask(
    service: &Service,
    keyspace: Option<&Arc<Keyspace>>,
    formula: &str,
    window: &WindowArgs,
) -> anyhow::Result<Option<Result<Answer, String>>> {
    let Some(keyspace) = keyspace.filter(|keyspace| keyspace.definitions.contains_key(formula)) else {
        return Ok(None);
    };
    let params: Map<String, Value> =
        window.params()?.into_iter().filter(|(name, _)| keyspace.parameters.contains_key(name)).collect();
    let mut body = json!({ "formulas": [formula], "summary": true, "params": params });
    window.write(&mut body);
    let request = Request::from_json(&body).map_err(|faults| {
        let lines: Vec<String> =
            faults.iter().map(|fault| format!("--{}: {}", &fault.pointer[1..], fault.detail)).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    Ok(Some(match service.answer(&keyspace.name, &request).await {
        Ok(answer) => match answer.results.first().map(|result| &result.outcome) {
            Some(Err(error)) => Err(format!("{} ({})", error.detail, error.code)),
            _ => Ok(answer),
        },
        Err(QueryError::Input(faults)) => Err(faults
            .iter()
            .map(|fault| format!("{}: {}", fault.pointer, fault.detail))
            .collect::<Vec<_>>()
            .join("; ")),
        // Without the database there is nothing to compare.
        Err(error @ QueryError::Backend(_)) => return Err(error.into()),
        Err(error) => Err(error.to_string()),
    }))
}

type Asked = Option<Result<Answer, String>>;

fn joined(keyspace: &str, formula: &str, old: Asked, new: Asked) -> Compared {
    let mut compared = Compared {
        keyspace: keyspace.to_owned(),
        formula: formula.to_owned(),
        axis: None,
        lines: Vec::new(),
        errors: Vec::new(),
    };
    let mut lines: BTreeMap<String, (Option<Side>, Option<Side>)> = BTreeMap::new();
    for (is_new, asked) in [(false, old), (true, new)] {
        let answer = match asked {
            None => continue,
            Some(Err(error)) => {
                compared.errors.push(format!("{}: {error}", if is_new { "new" } else { "old" }));
                continue;
            }
            Some(Ok(answer)) => answer,
        };
        compared.axis = Some(answer.axis);
        let series = answer.results.into_iter().filter_map(|result| result.outcome.ok()).flat_map(|found| found.series);
        for series in series {
            let summary = match series.summary {
                Some(Summary::Value(value)) => Some(value),
                _ => None,
            };
            let line = lines.entry(show::tags(&series)).or_default();
            let side = Some(Side { values: series.column.values, summary });
            *if is_new { &mut line.1 } else { &mut line.0 } = side;
        }
    }
    compared.lines = lines.into_iter().map(|(tags, (old, new))| Lines { tags, old, new }).collect();
    compared
}

const HEADER: [&str; 4] = ["series", "old", "new", "points that differ"];

/// The summaries of both sides as aligned columns.
pub fn write_table(compared: &[Compared], out: &mut impl Write) -> io::Result<()> {
    for formula in compared {
        writeln!(out, "\n{}/{}", formula.keyspace, formula.formula)?;
        formula.errors.iter().try_for_each(|error| writeln!(out, "  {error}"))?;
        let rows: Vec<Vec<String>> =
            [HEADER.map(str::to_owned).to_vec()].into_iter().chain(formula.lines.iter().map(Lines::row)).collect();
        let width = |column: usize| rows.iter().map(|row| show::width(&row[column])).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
        for row in rows.iter().filter(|_| !formula.lines.is_empty()) {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(out, "  {}", cells.join("  ").trim_end())?;
        }
    }
    Ok(())
}

/// The page with both lines of every series over one another.
pub fn report(diff: &Diff, compared: &[Compared]) -> String {
    let mut body = format!(
        "<h1>What the change of formulas does</h1>\n\
         <p>{} → {}: summaries over the range; the thick line is <span class=\"left\">old</span>, the thin one over it \
         <span class=\"right\">new</span>.</p>\n",
        report::escape(&diff.base.revision),
        report::escape(&diff.head.revision)
    );
    for formula in compared {
        let name = format!("{}/{}", formula.keyspace, formula.formula);
        body.push_str(&format!("<h2>{}</h2>\n", report::escape(&name)));
        body.push_str(&expressions(diff, formula));
        for error in &formula.errors {
            body.push_str(&format!("<p>{}</p>\n", report::escape(error)));
        }
        if formula.lines.is_empty() {
            continue;
        }
        body.push_str(&report::table(&HEADER, formula.lines.iter().map(Lines::row)));
        for line in &formula.lines {
            let name = report::escape(&line.tags);
            let [left, right] = [&line.old, &line.new].map(|side| side.as_ref().map(|side| side.values.as_slice()));
            let sides = Sides { left, right, worst: None };
            let drawing = formula.axis.as_ref().map(|axis| report::drawing(sides, axis, &line.tags));
            let drawing = drawing.filter(|drawing| !drawing.is_empty()).unwrap_or_else(|| "no data".to_owned());
            body.push_str(&format!("<figure><figcaption><b>{name}</b></figcaption>{drawing}</figure>\n"));
        }
    }
    report::page("What the change of formulas does", &body)
}

fn expressions(diff: &Diff, formula: &Compared) -> String {
    let text = |catalog: &Catalog| match catalog.keyspaces.get(&formula.keyspace)?.definitions.get(&formula.formula)? {
        crate::catalog::Definition::Formula(found) => Some(report::escape(&found.text)),
        crate::catalog::Definition::Metric(_) => None,
    };
    let shown = |text: Option<String>| text.map_or("(none)".to_owned(), |text| format!("<code>{text}</code>"));
    match (text(&diff.base), text(&diff.head)) {
        (old, new) if old == new => format!("<p>{}; what it refers to changed</p>\n", shown(new)),
        (old, new) => format!("<p>{} → {}</p>\n", shown(old), shown(new)),
    }
}
