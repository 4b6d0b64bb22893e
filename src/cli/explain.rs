//! `explain`: the graph, the plan, the selections and the calls of a query; nothing is sent.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::query::{self, RequestArgs};
use super::{Status, complain};
use crate::config::Flags;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// As the service answers
    Json,
    /// The graph, for Graphviz
    Dot,
}

pub async fn run(flags: Flags, args: &ExplainArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    let request = args.request.read()?;
    let app = query::open(flags).await?;
    let explained = match app.service.explain(&args.request.keyspace, &request) {
        Ok(explained) => explained,
        Err(error) => return query::fail(error),
    };
    let mut failed = false;
    for entry in list(&explained["plan"]) {
        if let Some(error) = entry.get("error") {
            failed = true;
            complain(&format!(
                "tsdb-ws: {}: {} ({})",
                text(&entry["name"]),
                text(&error["detail"]),
                text(&error["code"])
            ));
        }
    }
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&explained)?)?,
        Format::Text => write_text(&explained, out)?,
        Format::Dot => write_dot(&explained["graph"], out)?,
    }
    Ok(Status::of_findings(failed))
}

fn write_text(explained: &Value, out: &mut impl Write) -> io::Result<()> {
    for field in ["keyspace", "revision", "backend", "timezone", "from", "to", "step", "buckets"] {
        writeln!(out, "{field:<9} {}", text(&explained[field]))?;
    }
    writeln!(out, "\nformulas")?;
    for entry in list(&explained["plan"]).iter().filter(|entry| entry.get("error").is_none()) {
        writeln!(out, "  {} = {}", text(&entry["name"]), text(&entry["expr"]))?;
        writeln!(out, "    tags {}; selections {}", text(&entry["tags"]), text(&entry["selections"]))?;
    }
    writeln!(out, "\ngraph")?;
    for edge in list(&explained["graph"]["edges"]) {
        writeln!(out, "  {} → {}", text(&edge["from"]), text(&edge["to"]))?;
    }
    writeln!(out, "\nselections")?;
    for (index, selection) in list(&explained["selections"]).iter().enumerate() {
        writeln!(
            out,
            "  {index}: {} of {} ({}), where {}, by {}",
            text(&selection["aggregate"]),
            text(&selection["series"]),
            text(&selection["kind"]),
            text(&selection["filter"]),
            text(&selection["group_by"])
        )?;
    }
    writeln!(out, "\ncalls")?;
    for call in list(&explained["calls"]) {
        writeln!(out, "  {}\n  {}", text(&call["target"]), text(&call["body"]))?;
    }
    Ok(())
}

fn write_dot(graph: &Value, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "digraph formulas {{\n  rankdir=LR;")?;
    for node in list(&graph["nodes"]) {
        let shape = if node["kind"] == "metric" { "box" } else { "ellipse" };
        let detail = if node["kind"] == "metric" { &node["series"] } else { &node["expr"] };
        let label = format!("{}\n{}", text(&node["name"]), text(detail));
        writeln!(out, "  {} [shape={shape}, label={}];", quoted(&text(&node["name"])), quoted(&label))?;
    }
    for edge in list(&graph["edges"]) {
        writeln!(out, "  {} -> {};", quoted(&text(&edge["from"])), quoted(&text(&edge["to"])))?;
    }
    writeln!(out, "}}")
}

/// A string of Graphviz's language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
