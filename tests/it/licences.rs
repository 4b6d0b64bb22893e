//! Every crate that is built into the program or its tests has a licence that `deny.toml` allows.

use std::process::Command;

use serde_json::Value;

fn allowed() -> Vec<String> {
    let policy: toml::Table = std::fs::read_to_string("deny.toml").unwrap().parse().unwrap();
    let allow = policy["licenses"]["allow"].as_array().unwrap();
    allow.iter().map(|licence| licence.as_str().unwrap().to_owned()).collect()
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn every_dependency_is_permissive() {
    let allowed = allowed();
    let packages = packages();
    assert!(packages.len() > 100, "the list of packages is suspiciously short");
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| {
            let Some(licence) = package["license"].as_str() else { return true };
            let lax = spdx::ParseMode { allow_slash_as_or_operator: true, ..spdx::ParseMode::STRICT };
            match spdx::Expression::parse_mode(licence, lax) {
                Ok(expression) => !expression.evaluate(|required| allowed.contains(&required.to_string())),
                Err(_) => true,
            }
        })
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "licences that deny.toml does not allow:\n{}", refused.join("\n"));
}

#[test]
fn evalexpr_stays_below_12() {
    let packages = packages();
    let evalexpr = packages.iter().find(|package| package["name"] == "evalexpr").unwrap();
    assert!(evalexpr["version"].as_str().unwrap().starts_with("11."), "evalexpr 12 and later are AGPL-3.0");
}
