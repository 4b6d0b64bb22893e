//! `init`: a first keyspace, from what a backend holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;

use super::Status;
use crate::app;
use crate::backend::StoredSeries;
use crate::catalog;
use crate::config::{Config, Flags};
use crate::diagnostic::Severity;
use crate::repository::{Listing, Location, SourceFile};

/// A first keyspace reads at most so many stored names.
const MAX_SERIES: usize = 200;
/// A tag with more values than these is offered as a parameter, not as lines of a chart.
const MAX_GROUPS: usize = 10;
/// Charts are grouped by at most so many tags.
const MAX_GROUPED_TAGS: usize = 2;

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The name of the new keyspace
    keyspace: String,
    /// Stored names to read, `*` is any text; may be given again
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    series: Vec<String>,
    /// Write the file to standard output
    #[arg(long)]
    print: bool,
}

pub async fn run(flags: &Flags, args: &InitArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    let config = app::read_config(flags)?;
    let path = if args.print { None } else { Some(new_file(&config, &args.keyspace)?) };
    let backend = app::open_backend(&config, config.backend)?;
    let mut found: BTreeMap<String, (StoredSeries, String)> = BTreeMap::new();
    for pattern in &args.series {
        let (series, truncated) = backend.list_series(pattern, MAX_SERIES).await?;
        ensure!(
            !truncated && found.len() + series.len() <= MAX_SERIES,
            "{} holds more than {MAX_SERIES} stored names like {pattern}; name fewer with --series",
            backend.name()
        );
        // What stands before the first star is the same for all and says nothing.
        let common = pattern.split_once('*').map_or("", |(before, _)| before);
        let common = config.capabilities(config.backend).names.series(common);
        found.extend(series.into_iter().map(|series| (series.name.clone(), (series, common.clone().into_owned()))));
    }
    ensure!(!found.is_empty(), "{} holds no stored series like {}", backend.name(), args.series.join(" or "));
    let text = keyspace(&args.keyspace, backend.name(), found.values());
    check(&args.keyspace, &text)?;
    match path {
        None => out.write_all(text.as_bytes())?,
        Some(path) => {
            let folder = path.parent().unwrap_or(&path);
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let mut file =
                std::fs::File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
            file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
            writeln!(out, "{}: {} metric(s); read it, then run `tsdb-ws check`", path.display(), found.len())?;
        }
    }
    Ok(Status::Well)
}

/// Where the new file goes; one that is there is never overwritten.
fn new_file(config: &Config, keyspace: &str) -> anyhow::Result<PathBuf> {
    let Location::Directory(folder) = &config.formulas else {
        bail!("{} is in git; use --print, and commit the file there", config.formulas);
    };
    let path = folder.join(format!("{keyspace}.yaml"));
    for taken in [&path, &folder.join(keyspace)] {
        ensure!(!taken.exists(), "{} is there already; choose another name, or use --print", taken.display());
    }
    Ok(path)
}

/// What is written must be what `check` passes.
fn check(keyspace: &str, text: &str) -> anyhow::Result<()> {
    let file = SourceFile { path: format!("{keyspace}.yaml"), content: Ok(text.as_bytes().to_vec()) };
    let found = catalog::compile(&Listing { files: vec![file], ..Listing::default() }).diagnostics;
    match found.into_iter().find(|found| found.severity == Severity::Error) {
        None => Ok(()),
        Some(found) => bail!("no keyspace can be made of this: {}", found.message),
    }
}

/// The file's text.
fn keyspace<'a>(name: &str, backend: &str, series: impl Iterator<Item = &'a (StoredSeries, String)>) -> String {
    let mut metrics = Vec::new();
    let mut taken = BTreeSet::new();
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (series, common) in series {
        let metric = unique(identifier(series.name.strip_prefix(common.as_str()).unwrap_or(&series.name)), &mut taken);
        let groups = groups(series);
        let filters: Vec<(String, String)> = series
            .tags
            .keys()
            .filter(|tag| !groups.contains(tag))
            .map(|tag| ((*tag).clone(), identifier(tag)))
            .collect();
        parameters.extend(filters.iter().map(|(tag, parameter)| (parameter.clone(), tag.clone())));
        metrics.push((metric, series, groups, filters));
    }
    let mut text = format!(
        "# What {backend} holds, written by `tsdb-ws init`. Each metric is taken for amounts that add up (kind: delta);\n\
         # write kind: gauge where it is a level, counter where it only grows.\ntitle: {}\n",
        quoted(&title(name))
    );
    if !parameters.is_empty() {
        text.push_str("parameters: # not given: not filtered by\n");
    }
    for (parameter, tag) in &parameters {
        let description = quoted(&format!("The tag {tag}"));
        text.push_str(&format!("  {parameter}: {{ type: string, optional: true, description: {description} }}\n"));
    }
    text.push_str("metrics:\n");
    for (metric, series, groups, filters) in &metrics {
        text.push_str(&format!("  {metric}:\n    series: {}\n", quoted(&series.name.replace("${", "$${"))));
        if !filters.is_empty() {
            let tags = filters.iter().map(|(tag, parameter)| format!("{}: \"${{{parameter}}}\"", quoted(tag)));
            text.push_str(&format!("    tags: {{ {} }}\n", tags.collect::<Vec<_>>().join(", ")));
        }
        if !groups.is_empty() {
            let groups: Vec<String> = groups.iter().map(|tag| quoted(tag)).collect();
            text.push_str(&format!("    group_by: [{}]\n", groups.join(", ")));
        }
    }
    text.push_str("formulas:\n");
    for (order, (metric, ..)) in metrics.iter().enumerate() {
        let formula = unique(format!("{metric}_over_time"), &mut taken);
        let title = quoted(&title(metric));
        text.push_str(&format!(
            "  {formula}: {{ expr: {metric}, chart: {{ title: {title}, order: {} }} }}\n",
            order + 1
        ));
    }
    text
}

/// The tags that make lines of a chart: those with the fewest values, of several.
fn groups(series: &StoredSeries) -> Vec<&String> {
    let mut tags: Vec<(usize, &String)> = series.tags.iter().map(|(tag, values)| (values.len(), tag)).collect();
    tags.retain(|(values, _)| (2..=MAX_GROUPS).contains(values));
    tags.sort();
    tags.into_iter().take(MAX_GROUPED_TAGS).map(|(_, tag)| tag).collect()
}

/// A name as keyspace files have them, out of any text.
fn identifier(text: &str) -> String {
    let letters = text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' });
    let name: String = letters.take(100).collect();
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    if begins && !catalog::is_reserved(&name) { name } else { format!("s_{name}") }
}

/// The name, or with the first number at its end that makes it one of its own.
fn unique(name: String, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name);
    taken.insert(free.clone());
    free
}

/// `load_time` → `Load time`.
fn title(name: &str) -> String {
    let text = name.replace(['_', '-'], " ");
    let mut letters = text.trim().chars();
    letters.next().map_or(text.clone(), |first| first.to_uppercase().chain(letters).collect())
}

/// A text of JSON, which is one of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, tags: &[(&str, usize)]) -> (StoredSeries, String) {
        let values = |count: usize| (0..count).map(|value| format!("v{value}")).collect();
        let tags = tags.iter().map(|(tag, count)| ((*tag).to_owned(), values(*count))).collect();
        (StoredSeries { name: name.to_owned(), tags }, "shop.".to_owned())
    }

    #[test]
    fn whatever_names_are_stored_the_keyspace_passes_its_check() {
        let found = [
            series("shop.visitors", &[("variation", 2), ("experiment", 20), ("abs", 1), ("a \"b\": {", 1)]),
            series("shop.load-time", &[]),
            series("shop.load.time", &[("host", 3), ("zone", 2), ("rack", 4)]),
            series("shop.sum_by", &[("null", 5)]),
            series("shop.9 lives: ${x} # \"quoted\"", &[]),
            series("shop.", &[("größe", 1)]),
        ];
        let text = keyspace("shop", "kairosdb", found.iter());
        check("shop", &text).unwrap();
        for line in [
            "  load_time_2:\n    series: \"shop.load.time\"\n    tags: { \"rack\": \"${rack}\" }\n    group_by: [\"zone\", \"host\"]\n",
            "  experiment: { type: string, optional: true, description: \"The tag experiment\" }\n",
            "  visitors_over_time: { expr: visitors, chart: { title: \"Visitors\", order: 1 } }\n",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
    }
}
