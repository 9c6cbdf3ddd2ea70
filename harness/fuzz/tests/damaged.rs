//! A fixed number of damaged inputs for each reader: good ones with parts taken out, doubled, mixed and replaced.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use virt_aa_fuzz::TARGETS;

/// So many damaged inputs each reader gets.
const INPUTS: u32 = 3000;

/// Bytes that mean something to one reader or another.
const WORDS: [&[u8]; 22] = [
    b"\"",
    b"=",
    b"\n",
    b" ",
    b"\0",
    b"\\",
    b"'",
    b"`",
    b"{",
    b"}",
    b",",
    b"@{",
    b"apparmor=\"DENIED\"",
    b"audit(1.001:2):",
    b"include <top>\n",
    b"- ",
    b": ",
    b"&a ",
    b"*a",
    b"\xff\xff\xff\xff",
    b"\xf0\x9f",
    b"&quot;",
];

#[derive(Debug, Clone)]
enum Damage {
    Cut(f64, f64),
    Double(f64, f64),
    Word(f64, usize),
    Byte(f64, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0.0..1.0, 0.0..0.3).prop_map(|(at, length)| Damage::Cut(at, length)),
        (0.0..1.0, 0.0..0.3).prop_map(|(at, length)| Damage::Double(at, length)),
        (0.0..1.0, 0..WORDS.len()).prop_map(|(at, word)| Damage::Word(at, word)),
        (0.0..1.0, any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
    ]
}

fn place(text: &[u8], part: f64) -> usize {
    // In range by its two bounds, and a lost fraction does not matter.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let at = (text.len() as f64 * part) as usize;
    at.min(text.len())
}

fn damaged(mut text: Vec<u8>, all: &[Damage]) -> Vec<u8> {
    for damage in all {
        match damage {
            Damage::Cut(at, length) => {
                let (from, to) = (place(&text, *at), place(&text, at + length));
                text.drain(from..to);
            }
            Damage::Double(at, length) => {
                let (from, to) = (place(&text, *at), place(&text, at + length));
                let part = text[from..to].to_vec();
                text.splice(to..to, part);
            }
            Damage::Word(at, word) => {
                let at = place(&text, *at);
                text.splice(at..at, WORDS[*word].iter().copied());
            }
            Damage::Byte(at, byte) => {
                let at = place(&text, *at);
                if let Some(place) = text.get_mut(at) {
                    *place = *byte;
                }
            }
        }
    }
    text
}

fn files(dir: &Path, end: &str, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the project's own folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, end, into);
        } else if path.extension().is_some_and(|found| found == end) {
            into.push(path);
        }
    }
}

/// Good inputs of a reader.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    match target {
        "audit_text" => files(
            &project.join("harness/conform/tests/golden/denials"),
            "in",
            &mut paths,
        ),
        "case_text" => files(&project.join("cases"), "yaml", &mut paths),
        "recipe_text" => files(&project.join("vm-images"), "yaml", &mut paths),
        _ => {}
    }
    let mut seeds: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| std::fs::read(path).expect("a file"))
        .collect();
    match target {
        "profile_text" => seeds.extend(PROFILES.map(|text| text.as_bytes().to_vec())),
        "frames" => seeds.extend(FRAMES.map(|text| text.as_bytes().to_vec())),
        "compiled_policy" => seeds.push(COMPILED.to_vec()),
        _ => {}
    }
    seeds
}

const PROFILES: [&str; 3] = [
    "abi <abi/4.0>,\ninclude <abstractions/base>\n@{A}=/a /b{c,d}\n@{A}+=\"/e f\"\nalias /x -> /y,\nprofile p @{A}/bin/* flags=(complain) {\n  audit deny owner @{A}/** rwk,\n  /bin/x Px -> q,\n  capability kill chown,\n  network inet stream,\n  signal (send, receive) set=(term) peer=p//*,\n  ptrace read peer=a,\n  unix type=stream peer=(label=x addr=@y),\n  dbus send bus=system path=/o peer=(name=n),\n  mount fstype=tmpfs options=(rw, nosuid) none -> /m/,\n  set rlimit nofile <= 10,\n  change_profile /bin/x -> q,\n  ^hat { /h r, }\n  profile child { file, }\n}\n",
    "profile q { if exists <x> { /a r, } include if exists <y> link subset /a -> /b, priority=3 deny /c w, userns create, io_uring sqpoll, mqueue type=posix /q, all, }",
    "/usr/bin/{a,b[c-d]?}* (attach_disconnected) {\n  #include <abstractions/base>\n  \"/with space/*\" rw,\n  owner {\n    /block r,\n  }\n}\n",
];

const FRAMES: [&str; 4] = [
    r#"{"Unattributed":null}"#,
    r#"{"Run":{"run":{"program":"/bin/true","args":["a"],"stdin":""},"timeout_ms":10}}"#,
    r#"{"Error":"no such thing"}"#,
    r#"[[[[{"a":1e999,"b":"\ud800"}]]]]"#,
];

const COMPILED: &[u8] = b"\x04\x08\x00version\x00\x02\x07\x00\x00\x00\x04\x08\x00profile\x00\x07\x05\x02\x00p\x00\x04\x06\x00flags\x00\x07\x02\x00\x00\x00\x00\x02\x00\x00\x00\x00\x02\x00\x00\x00\x00\x08\x02\x00\x00\x00\x00\x02\x00\x00\x00\x00\x02\x00\x00\x00\x00\x02\x00\x00\x00\x00\x04\x07\x00caps64\x00\x07\x02\x00\x00\x00\x00\x08\x08";

fn every_damaged_input_has_its_answer(name: &str) {
    let target = TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target")
        .1;
    let seeds = seeds(name);
    assert!(!seeds.is_empty());
    let config = ProptestConfig {
        cases: INPUTS,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let strategy = (0..seeds.len(), proptest::collection::vec(damage(), 0..8));
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    runner
        .run(&strategy, |(seed, damages)| {
            target(&damaged(seeds[seed].clone(), &damages));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

macro_rules! each {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            every_damaged_input_has_its_answer(stringify!($name));
        })*

        #[test]
        fn no_reader_is_left_out() {
            let mut tried = vec![$(stringify!($name)),*];
            tried.sort_unstable();
            assert_eq!(TARGETS.map(|(name, _)| name).to_vec(), tried);
        }
    };
}

each!(audit_text case_text compiled_policy frames profile_text recipe_text);
