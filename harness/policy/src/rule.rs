//! Types for parsed policy: rules, profiles and policy files.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use crate::glob::Glob;
use crate::source::Location;

/// A glob as written, and with its variables expanded.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    expanded: Expanded,
    glob: OnceLock<Glob>,
}

#[derive(Clone, PartialEq, Eq)]
enum Expanded {
    /// A glob, checked when the pattern was made.
    Glob(String),
    /// A literal text, in which no character is special.
    Literal(String),
}

impl Pattern {
    /// Makes a pattern from a glob that was already checked.
    pub(crate) fn glob(text: String, expanded: String) -> Self {
        Self {
            text,
            expanded: Expanded::Glob(expanded),
            glob: OnceLock::new(),
        }
    }

    /// The pattern that matches only this text.
    pub fn literal(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            expanded: Expanded::Literal(text.to_owned()),
            glob: OnceLock::new(),
        }
    }

    /// The text as written in the rule, with variables not expanded and without quotes.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text with its variables expanded.
    pub fn expanded(&self) -> &str {
        match &self.expanded {
            Expanded::Glob(text) | Expanded::Literal(text) => text,
        }
    }

    pub(crate) fn compiled(&self) -> &Glob {
        self.glob.get_or_init(|| match &self.expanded {
            Expanded::Literal(text) => Glob::literal(text.as_bytes()),
            // The glob was checked before. If it is invalid after all, the pattern matches nothing.
            Expanded::Glob(text) => Glob::new(text.as_bytes()).unwrap_or_else(|_| Glob::any_of([])),
        })
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.compiled().is_match(text.as_bytes())
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match (&self.expanded, &other.expanded) {
            (Expanded::Literal(a), Expanded::Literal(b)) => a == b,
            (Expanded::Literal(text), Expanded::Glob(_)) => other.matches(text),
            (Expanded::Glob(_), Expanded::Literal(text)) => self.matches(text),
            (Expanded::Glob(a), Expanded::Glob(b)) => a == b || self.compiled().overlaps(other.compiled()),
        }
    }

    pub(crate) fn within(&self, other: &Self) -> bool {
        match (&self.expanded, &other.expanded) {
            (Expanded::Literal(text), _) => other.matches(text),
            (Expanded::Glob(a), Expanded::Glob(b)) if a == b => true,
            (Expanded::Glob(_), _) => self.compiled().within(other.compiled()),
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.expanded == other.expanded
    }
}

impl Eq for Pattern {}

/// The qualifiers before a rule or before a block around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qualifiers {
    /// `audit`: log the accesses that the rule covers.
    pub audit: bool,
    /// `deny`: the rule denies the accesses, even if other rules grant them.
    pub deny: bool,
    /// `prompt`: a user-space program decides.
    pub prompt: bool,
    /// Whose objects the rule covers.
    pub owner: Owner,
    /// `priority=`; a rule of higher priority overrides a `deny` rule of lower priority.
    pub priority: i32,
}

/// Whose objects a file rule covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Objects of any user.
    #[default]
    Any,
    /// `owner`: objects of the process's own user.
    Own,
    /// `other`: objects of another user.
    Other,
}

/// File permissions as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Perms(pub(crate) u32);

impl Perms {
    /// `r`
    pub const READ: Self = Self(1);
    /// The part of `w` that `a` does not include.
    pub const WRITE: Self = Self(2);
    /// `a`; `w` includes it.
    pub const APPEND: Self = Self(4);
    /// `l`
    pub const LINK: Self = Self(8);
    /// `k`
    pub const LOCK: Self = Self(16);
    /// `m`
    pub const MMAP: Self = Self(32);
    /// `x` in any of its forms.
    pub const EXEC: Self = Self(64);
    /// All of the above.
    pub const ALL: Self = Self(127);

    /// Reads the letters of a rule, with exec in any form. Returns `None` if a letter is not a permission.
    pub fn of_rule(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::default(), |all, letter| {
            Some(all.and(match letter.to_ascii_lowercase() {
                'r' => Self::READ,
                'w' => Self(Self::WRITE.0 | Self::APPEND.0),
                'a' => Self::APPEND,
                'l' => Self::LINK,
                'k' => Self::LOCK,
                'm' => Self::MMAP,
                'x' => Self::EXEC,
                'p' | 'i' | 'u' | 'c' => Self::default(),
                _ => return None,
            }))
        })
    }

    /// Reads the letters of an audit record. `c` and `d` (create and delete) are writes, and each letter stands for one
    /// access. Returns `None` for any other letter.
    pub fn of_record(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::default(), |all, letter| {
            Some(all.and(match letter {
                // Old kernels put a colon between the owner's letters and the others'.
                ':' => Self::default(),
                'r' => Self::READ,
                'w' | 'c' | 'd' => Self::WRITE,
                'a' => Self::APPEND,
                'l' => Self::LINK,
                'k' => Self::LOCK,
                'm' => Self::MMAP,
                'x' => Self::EXEC,
                _ => return None,
            }))
        })
    }

    /// The union of both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this set contains all permissions of `other`.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The letters in the order in which rules usually have them. A write alone is `w`, because no rule grants less.
    pub fn letters(self) -> String {
        let letters = [
            (Self::READ, 'r'),
            (Self::WRITE, 'w'),
            (Self::APPEND, 'a'),
            (Self::MMAP, 'm'),
            (Self::LOCK, 'k'),
            (Self::LINK, 'l'),
            (Self::EXEC, 'x'),
        ];
        let has = |(bit, letter): &(Self, char)| {
            self.contains(*bit) && !(*letter == 'a' && self.contains(Self::WRITE))
        };
        letters
            .iter()
            .filter(|pair| has(pair))
            .map(|(_, letter)| letter)
            .collect()
    }
}

/// How a program is executed, and in which profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The letters as written: `ix`, `PUx`, `Cx`…; `x` in a deny rule.
    pub mode: String,
    /// The profile named after `->`.
    pub target: Option<String>,
    /// Whether the environment is scrubbed, by an upper-case letter or the word `safe`.
    pub scrub: bool,
}

/// A rule of a class whose rules consist of accesses and conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditional {
    /// The accesses by their canonical names (`read` in a signal rule is `receive`), sorted; empty means all.
    pub access: Vec<String>,
    /// Conditions on the process's own side: each key with its allowed values.
    pub own: BTreeMap<String, Vec<Pattern>>,
    /// Conditions on the other side, `peer=(…)`. The label of `peer=NAME` is stored as `label`.
    pub peer: BTreeMap<String, Vec<Pattern>>,
}

/// One network rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The accesses, sorted; empty means all.
    pub access: Vec<String>,
    /// The address family: `inet`, `packet`…; `None` means all.
    pub domain: Option<String>,
    /// The socket type: `stream`, `raw`…; `None` means all.
    pub sock_type: Option<String>,
    /// The protocol, if the rule names one: `tcp`, `udp`, `icmp`.
    pub protocol: Option<String>,
    /// Conditions (addresses and ports), as written.
    pub conditions: Conditional,
}

/// The kinds of mount rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountOp {
    /// `mount`
    Mount,
    /// `remount`
    Remount,
    /// `umount`
    Umount,
    /// `pivot_root`
    PivotRoot,
}

/// One mount rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which operation.
    pub op: MountOp,
    /// Option lists, each `options=(…)` (exactly these) or `options in (…)` (some of these).
    pub options: Vec<MountOptions>,
    /// The `fstype=` conditions, each as a pattern of the allowed types.
    pub fstype: Vec<Pattern>,
    /// The device or source; for pivot_root the old root.
    pub source: Option<Pattern>,
    /// The mount point; for pivot_root the new root.
    pub target: Option<Pattern>,
}

/// One list of mount options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// Whether the mount must have exactly these options (`=`) or any of them (`in`).
    pub exact: bool,
    /// The options, sorted.
    pub names: Vec<String>,
}

/// What a rule covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// A path and permissions. The bare `file,` is the path `/{**,}`.
    File {
        /// Which paths.
        path: Pattern,
        /// The permissions on them.
        perms: Perms,
        /// How they are executed, if the rule allows that.
        exec: Option<Exec>,
        /// For links, what they may point to.
        link_target: Option<Pattern>,
    },
    /// Capabilities by name, in lower case; empty means all.
    Capability(Vec<String>),
    /// Sockets by kind.
    Network(Network),
    /// Signals.
    Signal(Conditional),
    /// Process tracing.
    Ptrace(Conditional),
    /// UNIX sockets.
    Unix(Conditional),
    /// D-Bus messages.
    Dbus(Conditional),
    /// Message queues.
    Mqueue(Conditional),
    /// User namespaces.
    Userns(Conditional),
    /// io_uring.
    IoUring(Conditional),
    /// Mounts.
    Mount(Mount),
    /// Changes of the process's own profile.
    ChangeProfile {
        /// The program whose exec makes the change; `None` means an immediate change or any exec.
        exec: Option<Pattern>,
        /// The profiles; `None` means all.
        target: Option<Pattern>,
    },
    /// `set rlimit`: a limit, not an access.
    Rlimit {
        /// Which limit.
        name: String,
        /// Its value as written, including the unit.
        value: String,
    },
    /// `all,`
    All,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What it covers.
    pub kind: RuleKind,
    /// Its qualifiers, including those of blocks around it.
    pub qualifiers: Qualifiers,
    /// The rule as written, with runs of white space reduced to one space, and with its closing comma.
    pub text: String,
    /// Where it begins.
    pub location: Location,
    /// The include directives that lead to it, outermost first.
    pub includes: Vec<Location>,
    /// Its byte range in its file, including the closing comma.
    pub(crate) span: Range<usize>,
}

impl Rule {
    /// Whether it grants access; `deny` rules and limits do not.
    pub fn allows(&self) -> bool {
        !self.qualifiers.deny && !matches!(self.kind, RuleKind::Rlimit { .. })
    }

    /// Whether it lets a process, or a program that it starts, come under another profile.
    pub fn changes_profile(&self) -> bool {
        let changes = match &self.kind {
            RuleKind::File { exec, .. } => exec
                .as_ref()
                .is_some_and(|exec| exec.target.is_some() || exec.mode.contains(['p', 'P', 'c', 'C'])),
            RuleKind::ChangeProfile { .. } | RuleKind::All => true,
            _ => false,
        };
        changes && self.allows()
    }
}

/// One profile, hat or child.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The full name, with variables expanded: children are `parent//child`, profiles of a namespace
    /// `:namespace://name`.
    pub name: String,
    /// The programs it attaches to, if it names any.
    pub attachment: Option<Pattern>,
    /// Its flags as written: `complain`, `attach_disconnected`…
    pub flags: Vec<String>,
    /// Whether it is a hat.
    pub hat: bool,
    /// Its own rules in the order they are read, including those of included files but not those of children.
    pub rules: Vec<Rule>,
    /// Rules that the parser adds: copies for aliases, and write access to the files through which a process changes
    /// its profile. Each has the location and the text of the rule or hat that it comes from.
    pub implied: Vec<Rule>,
    /// Its hats and child profiles.
    pub children: Vec<Profile>,
    /// Where it begins.
    pub location: Location,
    /// Where its closing brace is.
    pub end: Location,
    pub(crate) end_offset: usize,
}

/// A policy file with everything it includes.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFile {
    /// The file, relative to the tree's base.
    pub file: String,
    /// Its top-level profiles, in order.
    pub profiles: Vec<Profile>,
    /// Its variables, with their values as written, in order.
    pub variables: BTreeMap<String, Vec<String>>,
    /// Its boolean variables.
    pub booleans: BTreeMap<String, bool>,
    /// The features it was written for (`abi <…>`), if it names them.
    pub abi: Option<String>,
    /// Path aliases, from and to.
    pub aliases: Vec<(String, String)>,
    /// All files that were read for it, including itself, sorted.
    pub files: Vec<String>,
}

impl Profile {
    /// All its rules: its own, and those that the parser adds.
    pub fn all_rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().chain(&self.implied)
    }
}

impl PolicyFile {
    /// The full names of all profiles, hats and children, sorted. The compiled policy has the same names.
    pub fn declared_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut todo: Vec<&Profile> = self.profiles.iter().collect();
        while let Some(profile) = todo.pop() {
            names.push(profile.name.clone());
            todo.extend(&profile.children);
        }
        names.sort();
        names
    }

    /// Finds the profile with this full name at any depth.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        let mut todo: Vec<&Profile> = self.profiles.iter().collect();
        while let Some(profile) = todo.pop() {
            if profile.name == name {
                return Some(profile);
            }
            todo.extend(&profile.children);
        }
        None
    }
}
