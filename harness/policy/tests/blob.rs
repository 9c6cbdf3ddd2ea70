//! Compiled policy read back, from bytes put together here as the kernel's format says.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use aa_policy::blob::{BlobMode, profiles};
use proptest::prelude::*;
use rstest::rstest;
use sha2::{Digest, Sha256};

fn name(text: &str) -> Vec<u8> {
    let mut out = vec![4];
    out.extend(((text.len() + 1) as u16).to_le_bytes());
    out.extend(text.as_bytes());
    out.push(0);
    out
}

fn string(text: &str) -> Vec<u8> {
    let mut out = name(text);
    out[0] = 5;
    out
}

fn u32(value: u32) -> Vec<u8> {
    [vec![2], value.to_le_bytes().to_vec()].concat()
}

fn version(value: u32) -> Vec<u8> {
    [name("version"), u32(value)].concat()
}

/// A profile with one of each kind of value around its flags.
fn body(profile: &str, mode: u32) -> Vec<u8> {
    let blob = [
        vec![6],
        9u32.to_le_bytes().to_vec(),
        vec![7, 8, 9, 10, 11, 12, 4, 0xff, 0],
    ]
    .concat();
    let array = [name("list"), vec![11, 2, 0], u32(1), u32(2), vec![12]].concat();
    let nested = [
        name("data"),
        vec![7],
        string("flags"),
        array,
        vec![9, 3],
        vec![0; 8],
        vec![10, 8],
    ]
    .concat();
    [
        name("profile"),
        vec![7],
        string(profile),
        name("aadfa"),
        blob,
        name("flags"),
        vec![7],
        u32(0),
        u32(mode),
        u32(0),
        vec![8],
        nested,
        vec![0, 5, 1, 6, 7],
        vec![8],
    ]
    .concat()
}

fn sha256(version: u32, body: &[u8]) -> String {
    Sha256::new()
        .chain_update(version.to_le_bytes())
        .chain_update(body)
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[test]
fn each_profile_is_hashed_from_after_its_header_to_the_next() {
    let (one, two, three) = (body("one", 0), body("one//two", 1), body("three", 0));
    // The second names a namespace, the third has no header at all and keeps both.
    let file = [
        version(7),
        one.clone(),
        version(0x0020_0007),
        name("namespace"),
        string("ns"),
        two.clone(),
        three.clone(),
    ]
    .concat();
    let found = profiles(&file).unwrap();
    let facts: Vec<_> = found
        .iter()
        .map(|p| (p.name.as_str(), p.namespace.as_deref(), p.version, p.mode))
        .collect();
    assert_eq!(
        facts,
        [
            ("one", None, 7, BlobMode::Enforce),
            ("one//two", Some("ns"), 0x0020_0007, BlobMode::Complain),
            ("three", Some("ns"), 0x0020_0007, BlobMode::Enforce)
        ]
    );
    assert_eq!(found[0].sha256, sha256(7, &one));
    assert_eq!(found[1].sha256, sha256(0x0020_0007, &two));
    assert_eq!(found[2].sha256, sha256(0x0020_0007, &three));
    assert_ne!(found[0].sha256, sha256(8, &one), "the version is part of it");
    assert_eq!(found[0].sha1.len(), 40);
}

#[test]
fn a_forced_complain_shows() {
    let file = [version(7 | 0x800), body("p", 0)].concat();
    assert_eq!(profiles(&file).unwrap()[0].mode, BlobMode::Complain);
}

#[test]
fn a_name_may_carry_its_namespace() {
    let file = [version(7), body(":ns://p", 0)].concat();
    let found = profiles(&file).unwrap();
    assert_eq!(
        (found[0].name.as_str(), found[0].namespace.as_deref()),
        ("p", Some("ns"))
    );
}

#[rstest]
#[case::headless(body("p", 0), 0, "the header has no version")]
#[case::other(version(7), 15, "a structure named profile was expected")]
#[case::cut(version(7).into_iter().chain(body("p", 0)[..40].to_vec()).collect(), 50, "it ends in the middle of a value")]
#[case::mode(version(7).into_iter().chain(body("p", 9)).collect(), 64, "an unknown profile mode")]
#[case::text(b"apparmor".to_vec(), 0, "the header has no version")]
fn what_is_no_policy_is_an_error_at_its_offset(
    #[case] bytes: Vec<u8>,
    #[case] offset: usize,
    #[case] what: &str,
) {
    let error = profiles(&bytes).unwrap_err();
    assert_eq!(error.what, what);
    assert!(error.offset.abs_diff(offset) <= 8, "{error}");
}

/// A table of 32-bit numbers of an automaton.
fn table(kind: u16, values: &[u32]) -> Vec<u8> {
    let mut out = [kind.to_be_bytes(), 4u16.to_be_bytes(), [0; 2], [0; 2]].concat();
    out.extend((values.len() as u32).to_be_bytes());
    values.iter().for_each(|value| out.extend(value.to_be_bytes()));
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// An automaton that leads from state 1 by 14 and from state 2 by 10, in a policy that begins at `start`.
fn policydb(start: Option<u32>) -> Vec<u8> {
    let mut automaton = [0x1b5e_783du32.to_be_bytes(), 16u32.to_be_bytes()].concat();
    automaton.extend([0; 8]);
    automaton.extend(table(2, &[0, 0, 0]));
    automaton.extend(table(4, &[0, 0, 0]));
    let at = |byte: usize, value: u32, other: usize, another: u32| {
        let mut values = [0; 15];
        (values[byte], values[other]) = (value, another);
        values
    };
    automaton.extend(table(3, &at(14, 1, 10, 2)));
    automaton.extend(table(8, &at(14, 2, 10, 1)));
    let size = (automaton.len() as u32).to_le_bytes().to_vec();
    let begin = start.map(|start| [name("start"), u32(start)].concat());
    let inner = [name("aadfa"), vec![6], size, automaton, begin.unwrap_or_default()].concat();
    [name("policydb"), vec![7], inner, vec![8]].concat()
}

#[rstest]
#[case::from_the_first_state(policydb(None), &[14])]
#[case::from_another(policydb(Some(2)), &[10])]
#[case::no_policy(vec![], &[])]
fn classes_are_what_the_general_policy_says_anything_of(#[case] policydb: Vec<u8>, #[case] classes: &[u8]) {
    let mut body = body("p", 0);
    let end = body.pop().unwrap();
    let file = [version(7), body, policydb, vec![end]].concat();
    let found = profiles(&file).unwrap();
    assert_eq!(found[0].classes.iter().copied().collect::<Vec<_>>(), classes);
}

#[test]
fn nothing_holds_no_profiles() {
    assert_eq!(profiles(&[]), Ok(Vec::new()));
}

proptest! {
    #[test]
    fn a_changed_byte_is_noticed(at in 0usize..200, bit in 0u8..8) {
        let file = [version(7), body("profile-name", 0)].concat();
        let mut changed = file.clone();
        let at = at % file.len();
        changed[at] ^= 1 << bit;
        prop_assert_ne!(profiles(&changed), profiles(&file));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), header in any::<bool>()) {
        let bytes = if header { [version(7), name("profile"), vec![7], string("p"), bytes].concat() } else { bytes };
        let _ = profiles(&bytes);
    }
}
