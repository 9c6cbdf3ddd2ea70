//! What the tests share; none uses all of it.
#![allow(dead_code)]

use aa_policy::{PolicyFile, Tree, parse};

/// A tree of these files.
pub fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (path, text) in files {
        tree.insert(path, *text).expect("a path of the test");
    }
    tree
}

/// The policy in these files, the first of them the top.
pub fn policy(files: &[(&str, &str)]) -> PolicyFile {
    let (top, _) = files.first().expect("a file");
    parse(&tree(files), top).unwrap_or_else(|error| panic!("{error}"))
}

/// A policy of one profile `p` with these rules.
pub fn profile(rules: &str) -> PolicyFile {
    policy(&[("top", &format!("profile p {{\n{rules}\n}}\n"))])
}
