//! Finds the classes that a compiled profile mediates: those that its policy's automaton covers at all.
//!
//! The kernel makes the same check. If the parser that compiled the profile wrote nothing about a class, the kernel allows
//! everything in that class, even in one that this kernel could mediate. For example, AppArmor 2.13's parser does not know
//! the network rules that Linux has had since 4.17.

use std::collections::BTreeSet;

/// The automaton's first byte for a class of mediation (`AA_CLASS_…` in the kernel).
pub type Class = u8;

const MAGIC: u32 = 0x1B5E_783D;
/// Kinds of tables.
#[cfg(test)]
const ACCEPT: u16 = 1;
const BASE: u16 = 2;
const CHECK: u16 = 3;
const DEFAULT: u16 = 4;
const EQUIVALENCE: u16 = 5;
const NEXT: u16 = 8;
/// A table's header: kind, width, two lengths.
const HEADER: usize = 12;
/// Tables begin at multiples of this.
const ALIGNMENT: usize = 8;
/// A flag in a state's base: the default state is looked up with the same byte.
const ASK_DEFAULT: u32 = 0x8000_0000;
const OFFSET: u32 = 0x00ff_ffff;
/// The state from which no state can be reached.
const NOWHERE: u32 = 0;
/// The start state of an automaton if the profile names no other.
pub(crate) const BEGIN: u32 = 1;

/// The bytes that lead to another state from `start`; `None` if the data is not an automaton.
pub(crate) fn of(automaton: &[u8], start: u32) -> Option<BTreeSet<Class>> {
    let tables = Tables::read(automaton)?;
    let leads = |class: &Class| tables.next(start, *class).is_some_and(|state| state != NOWHERE);
    Some((0..=Class::MAX).filter(leads).collect())
}

#[derive(Default)]
pub(crate) struct Tables {
    #[cfg(test)]
    accept: Vec<u32>,
    base: Vec<u32>,
    check: Vec<u32>,
    default: Vec<u32>,
    equivalence: Vec<u32>,
    next: Vec<u32>,
}

impl Tables {
    pub(crate) fn read(bytes: &[u8]) -> Option<Tables> {
        let u32_at = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u16_at = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        // The kernel also looks for the automaton after some padding.
        let begin = (0..ALIGNMENT).find(|at| u32_at(*at) == Some(MAGIC))?;
        let mut at = begin.checked_add(usize::try_from(u32_at(begin + 4)?).ok()?)?;
        let mut tables = Tables::default();
        while let (Some(kind), Some(width), Some(count)) = (u16_at(at), u16_at(at + 2), u32_at(at + 8)) {
            let (width, count) = (usize::from(width), usize::try_from(count).ok()?);
            if !matches!(width, 1 | 2 | 4) {
                return None;
            }
            let size = width.checked_mul(count)?;
            let data = bytes.get(at + HEADER..(at + HEADER).checked_add(size)?)?;
            let values = data
                .chunks_exact(width)
                .map(|value| value.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
                .collect();
            match kind {
                #[cfg(test)]
                ACCEPT => tables.accept = values,
                BASE => tables.base = values,
                CHECK => tables.check = values,
                DEFAULT => tables.default = values,
                EQUIVALENCE => tables.equivalence = values,
                NEXT => tables.next = values,
                _ => {}
            }
            at += (HEADER + size).next_multiple_of(ALIGNMENT);
        }
        Some(tables)
    }

    /// The permissions of a word that ends in this state.
    #[cfg(test)]
    pub(crate) fn accepted(&self, state: u32) -> u32 {
        let index = usize::try_from(state).unwrap_or(usize::MAX);
        self.accept.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn next(&self, mut state: u32, byte: u8) -> Option<u32> {
        let byte = match self.equivalence.is_empty() {
            true => u32::from(byte),
            false => *self.equivalence.get(usize::from(byte))?,
        };
        // Each turn goes to another state, so more turns than states are a loop.
        for _ in 0..=self.base.len() {
            let index = usize::try_from(state).ok()?;
            let base = *self.base.get(index)?;
            let at = usize::try_from((base & OFFSET) + byte).ok()?;
            if self.check.get(at) == Some(&state) {
                return self.next.get(at).copied();
            }
            state = *self.default.get(index)?;
            if base & ASK_DEFAULT == 0 {
                return Some(state);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kind: u16, values: &[u32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_be_bytes());
        bytes.extend(4u16.to_be_bytes());
        bytes.extend(0u32.to_be_bytes());
        bytes.extend(u32::try_from(values.len()).unwrap().to_be_bytes());
        values.iter().for_each(|value| bytes.extend(value.to_be_bytes()));
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    /// State 1 leads to 2 by byte 14; state 2 looks the same byte up in 1.
    fn automaton() -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(MAGIC.to_be_bytes());
        bytes.extend(16u32.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(table(BASE, &[0, 0, ASK_DEFAULT]));
        bytes.extend(table(DEFAULT, &[0, 0, 1]));
        let mut check = [0; 15];
        check[14] = 1;
        bytes.extend(table(CHECK, &check));
        let mut next = [0; 15];
        next[14] = 2;
        bytes.extend(table(NEXT, &next));
        bytes
    }

    #[test]
    fn what_leads_somewhere_is_mediated_and_nothing_else() {
        assert_eq!(of(&automaton(), BEGIN), Some(BTreeSet::from([14])));
        assert_eq!(of(&automaton(), 2), Some(BTreeSet::from([14])));
        assert_eq!(of(&automaton(), 0), Some(BTreeSet::new()));
    }

    #[test]
    fn what_is_cut_short_is_no_automaton_or_mediates_nothing() {
        let whole = automaton();
        for end in 0..whole.len() {
            assert!(
                of(&whole[..end], BEGIN).is_none_or(|classes| classes.is_empty()),
                "{end}"
            );
        }
    }
}
