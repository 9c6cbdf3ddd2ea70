//! Trees as values.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use aa_policy::{Tree, TreeError};
use common::tree;
use rstest::rstest;
use tempfile::TempDir;

#[test]
fn what_is_written_is_read_back() {
    let one = tree(&[("a", "text a"), ("sub/deep/b", "text b")]);
    let dir = TempDir::new().unwrap();
    one.write_to(dir.path()).unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    let read = Tree::read(dir.path()).unwrap();
    assert!(read.is_dir("empty") && read.is_dir("sub/deep") && !read.is_dir("a"));
    assert_eq!(read.get("sub/deep/b"), Some("text b"));
    assert_eq!(read.paths().collect::<Vec<_>>(), ["a", "sub/deep/b"]);
    assert!(read.changed_files(&one).is_empty());
    let again = TempDir::new().unwrap();
    read.write_to(again.path()).unwrap();
    assert_eq!(Tree::read(again.path()).unwrap(), read);
    assert_eq!(Tree::read(again.path()).unwrap().hash(), read.hash());
}

#[test]
fn hashes_and_differences_see_every_change() {
    let base = tree(&[("a", "1"), ("b", "2")]);
    let others = [
        tree(&[("a", "1"), ("b", "3")]),
        tree(&[("a", "1"), ("c", "2")]),
        tree(&[("a", "12"), ("b", "")]),
        tree(&[("a", "1")]),
    ];
    for other in &others {
        assert_ne!(other.hash(), base.hash());
        assert!(!other.changed_files(&base).is_empty());
    }
    assert_eq!(base.hash(), tree(&[("b", "2"), ("a", "1")]).hash());
    assert_eq!(base.hash().len(), 64);
    let mut edited = base.clone();
    edited.insert("a", "new").unwrap();
    assert_eq!((base.get("a"), edited.get("a")), (Some("1"), Some("new")));
    assert!(edited.remove("a") && !edited.remove("a"));
    assert_eq!(edited.changed_files(&base), ["a"]);
}

#[test]
fn links_are_followed_within_the_tree() {
    let dir = TempDir::new().unwrap();
    let at = |path: &str| dir.path().join(path);
    tree(&[("real", "text"), ("sub/x", "y")])
        .write_to(dir.path())
        .unwrap();
    fs::create_dir(at("disable")).unwrap();
    symlink("../real", at("disable/relative")).unwrap();
    symlink("/etc/apparmor.d/real", at("disable/absolute")).unwrap();
    symlink("relative", at("disable/twice")).unwrap();
    symlink("/dev/null", at("disable/null")).unwrap();
    symlink("gone", at("disable/dangling")).unwrap();
    symlink("loop", at("disable/loop")).unwrap();
    symlink("../sub", at("disable/folder")).unwrap();
    let read = Tree::read(dir.path()).unwrap();
    for path in ["disable/relative", "disable/absolute", "disable/twice"] {
        assert_eq!(read.get(path), Some("text"), "{path}");
    }
    assert_eq!(read.get("disable/null"), Some(""));
    assert!(
        !read.contains("disable/dangling")
            && !read.contains("disable/loop")
            && !read.contains("disable/folder")
    );
    symlink("/etc/passwd", at("outside")).unwrap();
    let error = Tree::read(dir.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the link outside leads out of the tree, to /etc/passwd: copy the file in its place"
    );
}

#[test]
fn what_is_not_text_is_kept_and_not_given_as_text() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("latin"), b"# \xe9\n").unwrap();
    let read = Tree::read(dir.path()).unwrap();
    assert!(read.contains("latin"));
    assert_eq!(read.get("latin"), None);
    let again = TempDir::new().unwrap();
    read.write_to(again.path()).unwrap();
    assert_eq!(fs::read(again.path().join("latin")).unwrap(), b"# \xe9\n");
}

#[rstest]
#[case("")]
#[case("/etc/passwd")]
#[case("../x")]
#[case("a/../../x")]
#[case("a/")]
#[case("a//b")]
#[case("a\0b")]
fn paths_stay_inside(#[case] path: &str) {
    assert!(matches!(Tree::new().insert(path, "x"), Err(TreeError::Path(_))));
}

#[test]
fn a_tree_that_is_not_there_is_an_error() {
    assert!(matches!(
        Tree::read("/nowhere/at/all".as_ref()),
        Err(TreeError::Io(_))
    ));
}
