//! ARCHITECTURE.md says what the code does: its picture has the crates' edges, its code map has every module, and no
//! modules of a crate depend on each other in a circle.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

/// Crates that are no libraries of the program.
const ASIDE: [&str; 1] = ["virt-aa-fuzz"];

type Graph = BTreeMap<String, BTreeSet<String>>;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn architecture() -> String {
    std::fs::read_to_string(project().join("ARCHITECTURE.md")).unwrap()
}

/// Each crate of the workspace with the others that it depends on, and its folder.
fn crates() -> BTreeMap<String, (BTreeSet<String>, PathBuf)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(project())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let names: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();
    let edges = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
        let named = normal.map(|dependency| text(&dependency["name"]));
        named.filter(|name| names.contains(name)).collect::<BTreeSet<_>>()
    };
    packages
        .iter()
        .filter(|package| !ASIDE.contains(&package["name"].as_str().unwrap()))
        .map(|package| {
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            let dir = manifest.parent().unwrap().to_owned();
            (text(&package["name"]), (edges(package), dir))
        })
        .collect()
}

#[test]
fn the_picture_has_the_edges_of_the_crates() {
    let text = architecture();
    let edge = Regex::new(r"(?m)^  ([a-z-]+) --> ([a-z-]+)$").unwrap();
    let mut shown = Graph::new();
    for found in edge.captures_iter(&text) {
        shown
            .entry(found[1].to_owned())
            .or_default()
            .insert(found[2].to_owned());
    }
    let real: Graph = crates()
        .into_iter()
        .filter(|(_, (edges, _))| !edges.is_empty())
        .map(|(name, (edges, _))| (name, edges))
        .collect();
    assert_eq!(
        shown, real,
        "the picture in ARCHITECTURE.md and the manifests differ"
    );
}

#[test]
fn the_code_map_has_every_module() {
    let text = architecture();
    let row = Regex::new(r"(?m)^\| ((?:`[a-z_]+`(?:, )?)+) \|").unwrap();
    let module = Regex::new(r"`([a-z_]+)`").unwrap();
    for (name, (_, dir)) in crates() {
        let heading = format!("\n### {name}\n");
        let (_, section) = text
            .split_once(&heading)
            .unwrap_or_else(|| panic!("ARCHITECTURE.md has no section {name}"));
        let section = section.split("\n#").next().unwrap();
        let cells = row.captures_iter(section).map(|row| row[1].to_owned());
        let shown: Vec<String> = cells
            .flat_map(|cell| {
                let names = module.captures_iter(&cell).map(|found| found[1].to_owned());
                names.collect::<Vec<_>>()
            })
            .collect();
        let once: BTreeSet<String> = shown.iter().cloned().collect();
        assert_eq!(
            shown.len(),
            once.len(),
            "the code map of {name} has a module twice"
        );
        assert_eq!(
            once,
            modules(&dir.join("src")),
            "the code map of {name} and its modules differ"
        );
    }
}

#[test]
fn no_modules_depend_on_each_other_in_a_circle() {
    for (name, (_, dir)) in crates() {
        let graph = imports(&dir.join("src"));
        assert!(!graph.is_empty(), "{name} has no module that uses another");
        let circle = circle(&graph);
        assert!(
            circle.is_none(),
            "{name}: {}",
            circle.unwrap_or_default().join(" -> ")
        );
    }
}

#[test]
fn a_circle_is_found() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry((*from).into()).or_default().insert((*to).into());
        }
        graph
    };
    assert_eq!(circle(&graph(&[("a", "b"), ("a", "c"), ("b", "c")])), None);
    let found = circle(&graph(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap();
    assert_eq!(found, ["b", "c", "b"]);
}

/// Names of the modules right below `src`.
fn modules(src: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(src).unwrap().map(|entry| entry.unwrap().path());
    let names = entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    names
        .filter(|name| !["lib", "main"].contains(&name.as_str()) && !is_test(name))
        .collect()
}

fn is_test(name: &str) -> bool {
    ["tests", "testing", "every_rule", "proposals"].contains(&name)
}

/// Which modules right below `src` name which others, tests aside.
fn imports(src: &Path) -> Graph {
    let modules = modules(src);
    let mut graph = Graph::new();
    for file in files(src) {
        let below = file.strip_prefix(src).unwrap().with_extension("");
        let mut parts: Vec<String> = below
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if parts.iter().any(|part| is_test(part)) || ["lib", "main"].contains(&parts[0].as_str()) {
            continue;
        }
        if parts.last().is_some_and(|part| part == "mod") {
            parts.pop();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        // A file's own tests may use anything.
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect();
        let above = vec!["super"; parts.len()].join("::");
        let uses = Regex::new(&format!(r"\b(?:crate|{above})::([a-z_]+)")).unwrap();
        let own = parts[0].clone();
        let others = uses.captures_iter(&code).map(|found| found[1].to_owned());
        let others = others.filter(|other| *other != own && modules.contains(other));
        graph.entry(own.clone()).or_default().extend(others);
    }
    graph
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// A circle, its first module again at the end.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    fn visit(
        graph: &Graph,
        at: &str,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = path.iter().position(|seen| seen == at) {
            let mut circle = path[start..].to_vec();
            circle.push(at.to_owned());
            return Some(circle);
        }
        if done.contains(at) {
            return None;
        }
        path.push(at.to_owned());
        for next in graph.get(at).into_iter().flatten() {
            if let Some(found) = visit(graph, next, path, done) {
                return Some(found);
            }
        }
        path.pop();
        done.insert(at.to_owned());
        None
    }
    let mut done = BTreeSet::new();
    graph
        .keys()
        .find_map(|start| visit(graph, start, &mut Vec::new(), &mut done))
}
