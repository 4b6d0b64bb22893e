//! Points as a file that `promtool tsdb create-blocks-from openmetrics` makes blocks of: how points come into a Prometheus that
//! takes nothing by remote write, or nothing so old.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::super::remote::{Label, NAME_LABEL, Names, StoredSeries, seconds, stored};
use crate::series::Point;

/// Writes points under the names that Prometheus can keep. Those of a stored series ascend by time, and of those at the same
/// instant the last one counts, as `load` has it everywhere.
///
/// # Errors
/// Points that cannot be told apart once stored, in words for the user; else why nothing could be written.
pub fn write(points: &[Point], out: &mut impl Write) -> io::Result<()> {
    let stored = stored(points, Names::Prometheus).map_err(io::Error::other)?;
    // A family's lines stand together, under its name.
    let mut families: BTreeMap<&str, Vec<&StoredSeries>> = BTreeMap::new();
    for series in &stored.series {
        let name = series.labels.iter().find(|label| label.name == NAME_LABEL);
        families.entry(name.map_or("", |label| &label.value)).or_default().push(series);
    }
    for (name, family) in families {
        writeln!(out, "# TYPE {name} unknown")?;
        for series in family {
            let labels = labels(&series.labels);
            for sample in &series.samples {
                writeln!(out, "{name}{labels} {:?} {}", sample.value, seconds(sample.timestamp))?;
            }
        }
    }
    writeln!(out, "# EOF")
}

fn labels(labels: &[Label]) -> String {
    let written: Vec<String> = labels
        .iter()
        .filter(|label| label.name != NAME_LABEL)
        .map(|label| format!("{}=\"{}\"", label.name, escaped(&label.value)))
        .collect();
    if written.is_empty() { String::new() } else { format!("{{{}}}", written.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'r> = (&'r str, &'r [(&'r str, &'r str)], i64, f64);

    fn text(points: &[Row<'_>]) -> String {
        let point = |(series, tags, timestamp, value): &Row<'_>| Point {
            series: (*series).to_owned(),
            tags: tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect(),
            timestamp: *timestamp,
            value: *value,
        };
        let mut out = Vec::new();
        write(&points.iter().map(point).collect::<Vec<_>>(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn families_stand_together_and_the_last_of_an_instant_counts() {
        let written = text(&[
            ("b.c", &[], 2_500, 1e300),
            ("a", &[("Z", "x\"y\\z\n")], 1_000, 2.0),
            ("b.c", &[("v", "1")], -1_250, 0.1),
            ("a", &[("Z", "x\"y\\z\n")], 1_000, 3.0),
            ("a", &[], 0, -0.5),
        ]);
        let expected = [
            "# TYPE a unknown",
            "a{Z=\"x\\\"y\\\\z\\n\"} 3.0 1",
            "a -0.5 0",
            "# TYPE b_c unknown",
            "b_c 1e300 2.500",
            "b_c{v=\"1\"} 0.1 -1.250",
            "# EOF",
        ];
        assert_eq!(written.lines().collect::<Vec<_>>(), expected);
    }
}
