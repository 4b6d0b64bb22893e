//! What is written for people is true: every dependency has its reason, and what README tells to do works.

use serde_json::Value;

use crate::support::process::Place;

#[test]
fn every_dependency_has_its_reason() {
    let manifest: toml::Table = std::fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    let reasons = std::fs::read_to_string("docs/DEPENDENCIES.md").unwrap();
    // Names stand in the first cell of a row, those of tests in the sentence at the end.
    let cells =
        reasons.lines().map(|line| line.strip_prefix("| ").map_or(line, |row| row.split(" | ").next().unwrap()));
    let words: Vec<String> = cells
        .flat_map(|cell| cell.split(|letter: char| !(letter.is_alphanumeric() || "-_".contains(letter))))
        .map(str::to_owned)
        .collect();
    for table in ["dependencies", "dev-dependencies"] {
        for name in manifest[table].as_table().unwrap().keys() {
            assert!(words.contains(name), "docs/DEPENDENCIES.md does not say why `{name}` is here");
        }
    }
}

/// The texts of the fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fenced = text.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.strip_prefix(&format!("{language}\n"))).map(str::to_owned).collect()
}

/// The words of a command line, with quotes as a shell reads them and without its comment.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.chars() {
        match (letter, quote) {
            ('#', None) if words.last().is_some_and(String::is_empty) => break,
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if letter == open => quote = None,
            (' ', None) => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_readme_does_what_it_says() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let commands = blocks(&readme, "sh").join("\n").replace("\\\n", " ");
    let commands: Vec<Vec<String>> = commands.lines().map(words).filter(|words| !words.is_empty()).collect();
    let demo = Place::with(&[]);
    let server = demo.serve(&[]);
    let own =
        Place::with(&[("formulas/shop.yaml", &blocks(&readme, "yaml")[0]), ("points.csv", &blocks(&readme, "csv")[0])]);
    let (mut asked, mut ran) = (0, 0);
    for command in commands {
        match command[0].as_str() {
            "curl" => {
                let url = command.iter().find(|word| word.starts_with("http://")).unwrap();
                let body = &command[command.iter().position(|word| word == "-d").unwrap() + 1];
                let path = url.strip_prefix("http://127.0.0.1:8090").unwrap();
                let reply = server.post(path, &serde_json::from_str(body).unwrap());
                assert_eq!(reply.status, 200, "{command:?}: {}", reply.text());
                let answer = reply.json();
                let buckets = answer["timestamps"].as_array().unwrap().len();
                for result in answer["results"].as_array().unwrap() {
                    let series = result["series"].as_array().unwrap_or_else(|| panic!("{answer}"));
                    assert!(!series.is_empty() && result["chart"]["title"].is_string());
                    assert!(series.iter().all(|one| one["values"].as_array().map(Vec::len) == Some(buckets)));
                }
                asked += 1;
            }
            "tsdb-ws" => {
                let arguments: Vec<&str> = command[1..].iter().map(String::as_str).collect();
                let output = own.run(&arguments);
                assert_eq!(output.status.code(), Some(0), "{command:?}: {output:?}");
                assert!(!output.stdout.is_empty());
                ran += 1;
            }
            // Building it and running every test is what got us here.
            "cargo" | "make" | "git" | "cd" => {}
            other => panic!("README tells to run `{other}`, which this test does not know"),
        }
    }
    assert!(asked >= 1 && ran >= 4, "{asked} requests and {ran} commands");
    let shown: Value = serde_json::from_str(&blocks(&readme, "json")[0]).unwrap();
    assert!(shown["results"][0]["series"].is_array(), "the answer that README shows is one");
}
