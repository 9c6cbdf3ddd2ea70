//! AppArmor's globs as small automata: matching, and whether two globs overlap or one lies within the other.
//!
//! No step backtracks, so the time for a hostile glob is proportional to its size. Sizes are bounded.

use std::collections::{HashMap, HashSet};

mod text;

pub use text::escape;
pub(crate) use text::escape_name;

/// The largest accepted glob, in bytes, after variables are expanded.
pub(crate) const MAX_GLOB: usize = 32 << 10;

/// The maximum nesting of braces, as in the parser.
const MAX_DEPTH: usize = 50;

/// How many pairs of states a comparison of two globs may visit before it gives the conservative answer.
const MAX_PAIRS: usize = 200_000;

/// Why a text is not a glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// A `{` without its `}`.
    #[error("a `{{` is never closed")]
    OpenBrace,
    /// A `}` without its `{`.
    #[error("a `}}` closes nothing: write `\\}}` for the character itself")]
    CloseBrace,
    /// Braces with a single alternative.
    #[error("braces hold a single alternative: give two, parted by a comma, or leave the braces out")]
    Single,
    /// A `[` without its `]`.
    #[error("a `[` is never closed")]
    OpenClass,
    /// A `]` without its `[`.
    #[error("a `]` closes nothing: write `\\]` for the character itself")]
    CloseClass,
    /// A backslash at the end.
    #[error("a backslash ends the glob and escapes nothing")]
    Escape,
    /// Too deeply nested.
    #[error("braces are nested more than {MAX_DEPTH} deep")]
    Depth,
    /// Too long.
    #[error("it is longer than {MAX_GLOB} bytes once its variables are put in")]
    Size,
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes([u64; 4]);

impl Bytes {
    fn one(byte: u8) -> Self {
        let mut set = Self::default();
        set.add(byte);
        set
    }

    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    /// All bytes except these and the zero byte.
    fn but(bytes: &[u8]) -> Self {
        let mut not = Self::one(0);
        for byte in bytes {
            not.add(*byte);
        }
        not.complement()
    }

    fn complement(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }
}

enum Node {
    One(Bytes),
    Many(Bytes),
    Seq(Vec<Node>),
    Alt(Vec<Node>),
}

#[derive(Clone, Debug)]
enum State {
    Byte(Bytes, u32),
    Split(Vec<u32>),
    End,
}

/// A compiled glob.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    states: Vec<State>,
    start: u32,
}

impl Glob {
    /// Reads a glob whose variables are already expanded.
    pub(crate) fn new(text: &[u8]) -> Result<Self, GlobError> {
        let tree = text::read(text)?;
        let mut glob = Self {
            states: vec![State::End],
            start: 0,
        };
        glob.start = glob.build(&tree, 0);
        Ok(glob)
    }

    /// Checks whether a text is a glob, without compiling it.
    pub(crate) fn check(text: &[u8]) -> Result<(), GlobError> {
        text::read(text).map(drop)
    }

    /// The glob that matches only this text.
    pub(crate) fn literal(text: &[u8]) -> Self {
        let mut glob = Self {
            states: vec![State::End],
            start: 0,
        };
        for byte in text.iter().rev() {
            glob.start = glob.push(State::Byte(Bytes::one(*byte), glob.start));
        }
        glob
    }

    /// The glob that matches whatever any of these matches. Without globs it matches nothing.
    pub(crate) fn any_of<'g>(globs: impl IntoIterator<Item = &'g Self>) -> Self {
        let mut all = Self {
            states: vec![State::End],
            start: 0,
        };
        let mut starts = Vec::new();
        for glob in globs {
            let base = all.states.len() as u32;
            all.states.extend(glob.states.iter().map(|state| match state {
                State::Byte(set, next) => State::Byte(*set, next + base),
                State::Split(next) => State::Split(next.iter().map(|next| next + base).collect()),
                State::End => State::End,
            }));
            starts.push(glob.start + base);
        }
        all.start = all.push(State::Split(starts));
        all
    }

    fn push(&mut self, state: State) -> u32 {
        self.states.push(state);
        (self.states.len() - 1) as u32
    }

    fn build(&mut self, node: &Node, next: u32) -> u32 {
        match node {
            Node::One(set) => self.push(State::Byte(*set, next)),
            Node::Many(set) => {
                let split = self.push(State::Split(Vec::new()));
                let byte = self.push(State::Byte(*set, split));
                self.states[split as usize] = State::Split(vec![byte, next]);
                split
            }
            Node::Seq(nodes) => nodes.iter().rev().fold(next, |next, node| self.build(node, next)),
            Node::Alt(nodes) => {
                let starts = nodes.iter().map(|node| self.build(node, next)).collect();
                self.push(State::Split(starts))
            }
        }
    }

    fn ends(&self, states: &[u32]) -> bool {
        states
            .iter()
            .any(|at| matches!(self.states[*at as usize], State::End))
    }

    /// Whether the whole text matches.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        let mut walk = Walk::new(self);
        let mut at = walk.closure([self.start]);
        for byte in text {
            if at.is_empty() {
                return false;
            }
            at = walk.step(&at, *byte);
        }
        self.ends(&at)
    }

    /// Whether some text matches both globs. If they are too large to compare, the answer is yes.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (mut here, mut there) = (Walk::new(self), Walk::new(other));
        let mut seen = HashSet::new();
        let mut todo: Vec<(u32, u32)> = Vec::new();
        let mut push = |todo: &mut Vec<(u32, u32)>, a: u32, b: u32| {
            let others = there.closure([b]);
            for a in here.closure([a]) {
                todo.extend(others.iter().map(|b| (a, *b)));
            }
        };
        push(&mut todo, self.start, other.start);
        while let Some((a, b)) = todo.pop() {
            if !seen.insert((a, b)) {
                continue;
            }
            if seen.len() + todo.len() > MAX_PAIRS {
                return true;
            }
            match (&self.states[a as usize], &other.states[b as usize]) {
                (State::End, State::End) => return true,
                (State::Byte(set, next), State::Byte(others, other_next)) if set.meets(others) => {
                    push(&mut todo, *next, *other_next);
                }
                _ => {}
            }
        }
        false
    }

    /// Whether every text that matches this glob matches the other too. If they are too large to compare, the answer is
    /// no.
    pub(crate) fn within(&self, other: &Self) -> bool {
        let (mut here, mut there) = (Walk::new(self), Walk::new(other));
        // Pairs of a state of this glob and the set of states of the other glob that the same text leads to.
        let mut sets = Sets::default();
        let first = sets.id(there.closure([other.start]));
        let mut todo: Vec<(u32, usize)> = here
            .closure([self.start])
            .into_iter()
            .map(|at| (at, first))
            .collect();
        let mut seen = HashSet::new();
        let mut work = 0;
        while let Some((a, set)) = todo.pop() {
            if !seen.insert((a, set)) {
                continue;
            }
            let states = sets.by_id[set].clone();
            work += 1 + states.len();
            if work + todo.len() > MAX_PAIRS {
                return false;
            }
            match &self.states[a as usize] {
                State::End if !other.ends(&states) => return false,
                State::End | State::Split(_) => {}
                State::Byte(bytes, next) => {
                    let next = here.closure([*next]);
                    // Bytes that the other glob treats alike lead to the same set, so one of each kind is enough.
                    let mut kinds = HashSet::new();
                    for byte in (0..=255).filter(|byte| bytes.has(*byte)) {
                        let kind: Vec<bool> = states
                            .iter()
                            .map(|at| matches!(&other.states[*at as usize], State::Byte(set, _) if set.has(byte)))
                            .collect();
                        work += states.len() / 64;
                        if kinds.insert(kind) {
                            work += states.len();
                            let set = sets.id(there.step(&states, byte));
                            todo.extend(next.iter().map(|at| (*at, set)));
                        }
                    }
                }
            }
        }
        true
    }
}

/// Numbers for sets of states.
#[derive(Default)]
struct Sets {
    ids: HashMap<Vec<u32>, usize>,
    by_id: Vec<Vec<u32>>,
}

impl Sets {
    fn id(&mut self, set: Vec<u32>) -> usize {
        if let Some(id) = self.ids.get(&set) {
            return *id;
        }
        self.by_id.push(set.clone());
        self.ids.insert(set, self.by_id.len() - 1);
        self.by_id.len() - 1
    }
}

/// Steps through a glob. It marks the states that it visits, so that a step visits none twice.
struct Walk<'g> {
    glob: &'g Glob,
    marks: Vec<u32>,
    round: u32,
}

impl<'g> Walk<'g> {
    fn new(glob: &'g Glob) -> Self {
        Self {
            glob,
            marks: vec![0; glob.states.len()],
            round: 0,
        }
    }

    /// The sorted byte and end states that can be reached from these without reading a byte.
    fn closure(&mut self, from: impl IntoIterator<Item = u32>) -> Vec<u32> {
        self.round += 1;
        let mut todo: Vec<u32> = from.into_iter().collect();
        let mut out = Vec::new();
        while let Some(at) = todo.pop() {
            let mark = &mut self.marks[at as usize];
            if *mark == self.round {
                continue;
            }
            *mark = self.round;
            match &self.glob.states[at as usize] {
                State::Split(next) => todo.extend(next),
                State::Byte(..) | State::End => out.push(at),
            }
        }
        out.sort_unstable();
        out
    }

    fn step(&mut self, from: &[u32], byte: u8) -> Vec<u32> {
        let glob = self.glob;
        self.closure(from.iter().filter_map(|at| match &glob.states[*at as usize] {
            State::Byte(set, next) if set.has(byte) => Some(*next),
            _ => None,
        }))
    }
}
