//! Computes which profiles the build of a libvirt source tree would install. Pure: texts in, texts out.
//!
//! Three layouts are known. `examples/apparmor` (2009 to 2019), and later `src/security/apparmor`, have files as they
//! are installed. From 2020 the latter has `*.in` files, which mark folders and rules that only one generation of
//! AppArmor accepts.

use std::collections::{BTreeMap, BTreeSet};

use virt_aa_model::profile_set::manifest::Dirs;

/// Where the profiles lie in a source tree, newest layout first.
pub const FOLDERS: [&str; 2] = ["src/security/apparmor", "examples/apparmor"];

/// The generations of AppArmor that a source tree distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Before 3.0.
    Two,
    /// 3.0 and later.
    Three,
}

impl Generation {
    /// The generation of a parser package's version, `2.13.6-10` or `1:4.1.0-1`. Anything else counts as the newest.
    pub fn of(version: &str) -> Generation {
        let upstream = version.split_once(':').map_or(version, |(_, upstream)| upstream);
        let major = upstream.split(|c: char| !c.is_ascii_digit()).next();
        match major.and_then(|major| major.parse::<u32>().ok()) {
            Some(0..=2) => Generation::Two,
            _ => Generation::Three,
        }
    }

    /// The number in the marks, as in `APPARMOR_3`.
    fn number(self) -> u8 {
        match self {
            Generation::Two => 2,
            Generation::Three => 3,
        }
    }

    fn other(self) -> Generation {
        match self {
            Generation::Two => Generation::Three,
            Generation::Three => Generation::Two,
        }
    }
}

/// What a build would install below `/etc/apparmor.d`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// Texts by path.
    pub files: BTreeMap<String, String>,
    /// Files of `files` that no image could use as they are, with the reason.
    pub problems: Vec<(String, String)>,
}

/// Where a file of the source is installed.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    /// At the top level, with folders filled in.
    Profile(String),
    /// Included by profiles, or copied for a guest.
    Part(Vec<String>),
}

/// Whether a file of that name is installed at all.
pub fn is_wanted(name: &str) -> bool {
    place(name).is_some()
}

/// Suffixes of the files that editors and patch leave behind.
const LEFT: [&str; 5] = [".orig", ".rej", ".bak", ".swp", ".tmp"];

fn place(name: &str) -> Option<Destination> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !name.chars().all(plain) || LEFT.iter().any(|left| name.ends_with(left)) {
        return None;
    }
    let stem = name.strip_suffix(".in").unwrap_or(name);
    if let Some(profile) = stem.strip_suffix(".local") {
        return Some(Destination::Part(vec![format!("local/{profile}")]));
    }
    if stem.starts_with("usr.") {
        Some(Destination::Profile(stem.to_owned()))
    } else if stem.starts_with("libvirt-") {
        Some(Destination::Part(vec![format!("abstractions/{stem}")]))
    } else if stem == "TEMPLATE" {
        // Its name while QEMU's was the only template. Today's helpers look for today's name.
        Some(Destination::Part(vec![
            "libvirt/TEMPLATE".into(),
            "libvirt/TEMPLATE.qemu".into(),
        ]))
    } else if stem.starts_with("TEMPLATE.") {
        Some(Destination::Part(vec![format!("libvirt/{stem}")]))
    } else {
        None
    }
}

/// Installs the files of the source tree's folder, given as texts by name without folders.
pub fn install(source: &BTreeMap<String, String>, generation: Generation, dirs: &Dirs) -> Installed {
    let mut installed = Installed::default();
    for (name, text) in source {
        let Some(place) = place(name) else { continue };
        let text = if name.ends_with(".in") {
            of_generation(text, generation)
        } else {
            text.clone()
        };
        match place {
            Destination::Profile(path) if name.ends_with(".in") => {
                let (text, unknown) = with_dirs(&text, dirs);
                if let Some(word) = unknown.first() {
                    let problem = format!(
                        "{name}: nothing is known to put in the place of @{word}@; known are @{}@",
                        dirs.by_key().into_keys().collect::<Vec<_>>().join("@, @")
                    );
                    installed.problems.push((path.clone(), problem));
                }
                installed.files.insert(path, text);
            }
            Destination::Profile(path) => drop(installed.files.insert(path, text)),
            Destination::Part(paths) => {
                for path in paths {
                    installed.files.insert(path, text.clone());
                }
            }
        }
    }
    for path in local_includes(&installed.files) {
        installed.files.entry(path).or_default();
    }
    installed
}

/// Removes the rules that are marked for another generation, and the marks. A block without an end continues to the
/// end of the file.
fn of_generation(text: &str, generation: Generation) -> String {
    let mark = |word: &str, of: Generation| format!("@{word}_APPARMOR_{}@", of.number());
    let own = [mark("BEGIN", generation), mark("END", generation)];
    let begin = mark("BEGIN", generation.other());
    let end = mark("END", generation.other());
    let mut inside = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if inside {
            inside = !line.contains(&end);
        } else if line.contains(&begin) {
            inside = true;
        } else if !own.iter().any(|mark| line.contains(mark)) && !line.contains(&end) {
            kept.push_str(line);
        }
    }
    kept
}

/// Replaces `@libexecdir@` and the like. The second value lists the unknown words.
fn with_dirs(text: &str, dirs: &Dirs) -> (String, Vec<String>) {
    let known = dirs.by_key();
    let mut out = String::with_capacity(text.len());
    let mut unknown = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let word = rest[1..]
            .split_once('@')
            .map(|(word, _)| word)
            .filter(|word| is_word(word));
        match word {
            Some(word) => {
                match known.get(word) {
                    Some(dir) => out.push_str(dir),
                    None => {
                        out.push_str(&rest[..word.len() + 2]);
                        unknown.push(word.to_owned());
                    }
                }
                rest = &rest[word.len() + 2..];
            }
            // A variable of AppArmor, such as `@{PROC}`.
            None => {
                out.push('@');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    (out, unknown)
}

fn is_word(text: &str) -> bool {
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !text.is_empty() && text.bytes().all(in_word)
}

/// Files that an administrator may add to a set, and that its profiles include. Packages install empty ones.
fn local_includes(files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in files.values().flat_map(|text| text.lines()) {
        let line = line.trim_start().trim_start_matches('#');
        let named = line
            .strip_prefix("include")
            .and_then(|rest| rest.split_once('<'))
            .and_then(|(_, rest)| rest.split_once('>'));
        if let Some((path, _)) = named
            && let Some(below) = path.strip_prefix("local/")
            && below
                .split('/')
                .all(|part| !part.is_empty() && part != ".." && part != ".")
        {
            found.insert(path.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn dirs() -> Dirs {
        Dirs {
            libexecdir: "/x".into(),
            sbindir: "/s".into(),
            sysconfdir: "/e".into(),
            runstatedir: "/r".into(),
        }
    }

    fn install_all(files: &[(&str, &str)], generation: Generation) -> Installed {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        install(&files.iter().map(owned).collect(), generation, &dirs())
    }

    #[rstest]
    #[case("2.13.6-10", Generation::Two)]
    #[case("1:2.13.6", Generation::Two)]
    #[case("3.0.8-3", Generation::Three)]
    #[case("5.0~alpha", Generation::Three)]
    #[case("unknown", Generation::Three)]
    fn a_parsers_version_tells_its_generation(#[case] version: &str, #[case] want: Generation) {
        assert_eq!(Generation::of(version), want);
    }

    const MARKED: &str = "a\n  @BEGIN_APPARMOR_3@\nthree\n  @END_APPARMOR_3@\nb\n@BEGIN_APPARMOR_2@\ntwo\n@END_APPARMOR_2@\nc\n";

    #[rstest]
    #[case(Generation::Three, MARKED, "a\nthree\nb\nc\n")]
    #[case(Generation::Two, MARKED, "a\nb\ntwo\nc\n")]
    #[case(Generation::Three, "a\n@BEGIN_APPARMOR_2@\nnever ended", "a\n")]
    #[case(Generation::Three, "a\n@END_APPARMOR_2@\nb", "a\nb")]
    fn rules_of_the_other_generation_go(#[case] of: Generation, #[case] text: &str, #[case] want: &str) {
        assert_eq!(of_generation(text, of), want);
    }

    #[test]
    fn folders_are_put_into_profiles_and_into_nothing_else() {
        let text = "@sbindir@/d @{PROC}/1 @sysconfdir@@runstatedir@ a@b.c @libexecdir@";
        let made = install_all(
            &[("usr.d.in", text), ("usr.old", text), ("libvirt-qemu.in", text)],
            Generation::Three,
        );
        assert_eq!(made.files["usr.d"], "/s/d @{PROC}/1 /e/r a@b.c /x");
        assert_eq!(made.files["usr.old"], text);
        assert_eq!(made.files["abstractions/libvirt-qemu"], text);
        assert_eq!(made.problems, []);
    }

    #[test]
    fn a_word_that_nothing_is_known_for_is_told() {
        let made = install_all(&[("usr.d.in", "@bindir@/x")], Generation::Three);
        assert_eq!(made.problems.len(), 1);
        let (file, text) = &made.problems[0];
        assert_eq!(file, "usr.d");
        assert!(
            text.contains("@bindir@; known are @libexecdir@, @runstatedir@"),
            "{text}"
        );
    }

    #[test]
    fn every_layout_goes_to_its_place() {
        let made = install_all(
            &[
                ("Makefile.am", "x"),
                ("meson.build", "x"),
                ("usr.sbin.d.orig", "x"),
                ("usr.sbin.d.in~", "x"),
                ("TEMPLATE", "t"),
                ("TEMPLATE.lxc", "l"),
                ("libvirt-lxc", "a"),
                (
                    "usr.sbin.d",
                    "#include <local/usr.sbin.d>\ninclude if exists <local/abstractions/q>\n",
                ),
                ("usr.lib.h.local", "own\n"),
                (
                    "usr.lib.h.in",
                    "#include <local/usr.lib.h>\ninclude <local/../../x>",
                ),
            ],
            Generation::Two,
        );
        let paths: Vec<&str> = made.files.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "abstractions/libvirt-lxc",
                "libvirt/TEMPLATE",
                "libvirt/TEMPLATE.lxc",
                "libvirt/TEMPLATE.qemu",
                "local/abstractions/q",
                "local/usr.lib.h",
                "local/usr.sbin.d",
                "usr.lib.h",
                "usr.sbin.d",
            ]
        );
        assert_eq!(made.files["local/usr.sbin.d"], "");
        assert_eq!(made.files["local/usr.lib.h"], "own\n");
    }
}
