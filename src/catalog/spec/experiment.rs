//! `experiment: { tag: variation, control: control, split: { control: 0.5, treatment: 0.5 }, exposures: visitors }`

use super::Reader;
use crate::catalog::yaml::Node;
use crate::diagnostic::Location;

/// An experiment as written.
#[derive(Debug, Clone)]
pub struct ExperimentSpec {
    pub location: Location,
    pub tag: (String, Location),
    pub control: String,
    pub split: Vec<(String, f64)>,
    pub exposures: Option<(String, Location)>,
}

/// Weights may be written as rounded thirds and still add up.
const WEIGHT_TOLERANCE: f64 = 1e-6;

impl Reader<'_> {
    pub(super) fn experiment(&mut self, node: &Node) -> Option<ExperimentSpec> {
        let (mut tag, mut control, mut split, mut exposures) = (None, None, None, None);
        for (field, value) in self.fields(node, &["tag", "control", "split", "exposures"]) {
            match field {
                "tag" => tag = self.text(value).map(|text| (text, value.location.clone())),
                "control" => control = self.text(value).map(|text| (text, value)),
                "split" => split = Some((self.weights(value), value)),
                _ => exposures = self.text(value).map(|text| (text, value.location.clone())),
            }
        }
        for (field, missing) in [("tag", tag.is_none()), ("control", control.is_none())] {
            if missing && node.get(field).is_none() {
                let hint = "write experiment: { tag: variation, control: control }";
                self.fault("missing_key", node, format!("an experiment needs its `{field}`"), hint);
            }
        }
        let (tag, (control, place)) = (tag?, control?);
        if let Some((weights, node)) = &split {
            self.check_split(weights, node, (&control, place));
        }
        let split = split.map(|(weights, _)| weights).unwrap_or_default();
        Some(ExperimentSpec { location: node.location.clone(), tag, control, split, exposures })
    }

    fn weights(&mut self, node: &Node) -> Vec<(String, f64)> {
        let mut weights = Vec::new();
        for (variation, _, value) in self.entries(node) {
            match self.number(value) {
                Some(weight) if weight > 0.0 && weight <= 1.0 => weights.push((variation, weight)),
                Some(weight) => {
                    let message = format!("the weight of `{variation}` is {weight}, not a share above 0 and up to 1");
                    self.fault("invalid_split", value, message, "write the share of the traffic, such as 0.5");
                }
                None => {}
            }
        }
        weights
    }

    fn check_split(&mut self, weights: &[(String, f64)], node: &Node, (control, place): (&str, &Node)) {
        // A weight that could not be read has its own fault, and would only make the sum wrong.
        if weights.len() != node.len() || weights.is_empty() {
            return;
        }
        let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
        if (sum - 1.0).abs() > WEIGHT_TOLERANCE {
            let message = format!("the weights add up to {sum}, not to 1");
            self.fault("invalid_split", node, message, "give each variation its share of the traffic");
        }
        if !weights.iter().any(|(variation, _)| variation == control) {
            let message = format!("the control `{control}` has no weight in the split");
            let known: Vec<&str> = weights.iter().map(|(variation, _)| variation.as_str()).collect();
            self.fault("invalid_split", place, message, &format!("the split has {}", known.join(", ")));
        }
    }
}
