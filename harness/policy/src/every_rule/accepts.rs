//! The words that a compiled profile accepts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::blob::automata;
use crate::classes::Tables;
use crate::{Perms, Rule, RuleKind};

/// Bits of the file automaton, from exec to mmap, for the owner and for others.
const FILE: u32 = 0x7f | 0x7f << 14;
/// The bit for mmap.
const MMAP: u32 = 0x40;
/// The bit for link.
const LINK: u32 = 0x10;
/// The file automaton's bits for changes of the profile.
const CHANGE: u32 = 0xc000_0000;
/// The bit for a change at exec.
const ON_EXEC: u32 = 0x4000_0000;
/// The general automaton's bit for a word that is only a class: the class is mediated.
const MEDIATED: u32 = 4;
/// The maximum length of a word that says that a class is mediated.
const CLASS: usize = 3;
/// How many words to look for per rule.
const WORDS: usize = 12;
/// How many states to visit for them.
const STATES: usize = 4000;

/// A word of one of the automata and the permissions that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    kind: Kind,
    /// The word.
    pub bytes: Vec<u8>,
    /// The granted permission bits.
    pub bits: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    General,
    Capability,
}

impl fmt::Display for Word {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Word { kind, bytes, bits } = self;
        write!(out, "{kind:?} {:?} {bits:#x}", String::from_utf8_lossy(bytes))
    }
}

/// What a profile grants.
pub struct Grants {
    file: Option<Tables>,
    general: Option<(Tables, u32)>,
    capabilities: u64,
}

/// The grants of each profile of a compiled file.
pub fn grants(binary: &[u8]) -> BTreeMap<String, Grants> {
    let all = automata(binary).unwrap().into_iter();
    all.map(|(name, raw)| {
        let grants = Grants {
            file: raw.file.and_then(Tables::read),
            general: raw
                .general
                .and_then(|(bytes, start)| Some((Tables::read(bytes)?, start))),
            capabilities: raw.capabilities,
        };
        (name, grants)
    })
    .collect()
}

impl Grants {
    /// The granted bits of a word.
    pub fn has(&self, word: &Word) -> u32 {
        let accepted = match word.kind {
            Kind::File => self.file.as_ref().map(|tables| accepted(tables, 1, &word.bytes)),
            Kind::General => {
                let general = self.general.as_ref();
                general.map(|(tables, start)| accepted(tables, *start, &word.bytes))
            }
            Kind::Capability => {
                let has = |bit: &u8| self.capabilities & 1 << bit != 0;
                Some(u32::from(word.bytes.iter().all(has)))
            }
        };
        accepted.unwrap_or_default() & word.bits
    }

    /// Some of the words that a profile with only this rule grants.
    pub fn words(&self, rule: &Rule) -> Vec<Word> {
        let mut words = Vec::new();
        let bits = match &rule.kind {
            RuleKind::File { perms, .. } if perms.contains(Perms::MMAP) => FILE,
            // An exec that keeps the profile implies `m`, which is not an access of the rule itself.
            RuleKind::File { .. } => FILE & !(MMAP | MMAP << 14),
            RuleKind::ChangeProfile { .. } => CHANGE,
            RuleKind::All => FILE | CHANGE,
            _ => 0,
        };
        if let Some(tables) = &self.file {
            words.extend(shortest(tables, 1, bits, Kind::File));
        }
        if let Some((tables, start)) = &self.general
            && !matches!(rule.kind, RuleKind::File { .. } | RuleKind::ChangeProfile { .. })
        {
            words.extend(shortest(tables, *start, u32::MAX, Kind::General));
        }
        let bits = (0..64).filter(|bit| self.capabilities & 1 << bit != 0);
        words.extend(bits.map(|bit| Word {
            kind: Kind::Capability,
            bytes: vec![bit],
            bits: 1,
        }));
        words
    }
}

fn accepted(tables: &Tables, start: u32, word: &[u8]) -> u32 {
    let end = word
        .iter()
        .try_fold(start, |state, byte| tables.next(state, *byte));
    end.map_or(0, |state| tables.accepted(state))
}

/// Searches breadth first, so that the words are the shortest; one for each accepting state.
fn shortest(tables: &Tables, start: u32, bits: u32, kind: Kind) -> Vec<Word> {
    let mut words = Vec::new();
    let mut known = BTreeSet::from([0, start]);
    let mut next = VecDeque::from([(start, Vec::new())]);
    while let Some((state, bytes)) = next.pop_front() {
        let mut granted = tables.accepted(state) & bits;
        // A zero byte is followed by the peer or the link target, which decides whether the whole access is granted.
        let goes_on = tables.next(state, 0).is_some_and(|to| to != 0);
        match kind {
            Kind::File if goes_on => granted &= !(LINK | LINK << 14 | ON_EXEC),
            Kind::General if goes_on => granted = 0,
            Kind::General if bytes.len() <= CLASS => granted &= !MEDIATED,
            _ => {}
        }
        if granted != 0 {
            words.push(Word {
                kind,
                bytes: bytes.clone(),
                bits: granted,
            });
        }
        if words.len() >= WORDS || known.len() > STATES {
            break;
        }
        // Letters come first, so that the words are readable.
        let bytes_of = (b'a'..=b'z').chain(0..=u8::MAX);
        for byte in bytes_of {
            // A word that is only a class may end in the same state as a word of another class.
            let is_class = kind == Kind::General && bytes.len() < CLASS;
            let is_new = |to: &u32| if is_class { *to != 0 } else { known.insert(*to) };
            let Some(to) = tables.next(state, byte).filter(is_new) else {
                continue;
            };
            let mut longer = bytes.clone();
            longer.push(byte);
            next.push_back((to, longer));
        }
    }
    words
}
