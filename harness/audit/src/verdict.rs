//! The word of the `apparmor=` key.

use std::fmt;

/// AppArmor's verdict on an event: the word of the `apparmor=` key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// `DENIED`: the access was refused.
    Denied,
    /// `ALLOWED`: complain mode allowed what enforce mode would refuse.
    Allowed,
    /// `AUDIT`: the access was granted, and the policy asks for a record.
    Audit,
    /// `STATUS`: the policy itself changed.
    Status,
    /// `KILLED`: the access was refused and the process killed for it.
    Killed,
    /// `ERROR`: AppArmor itself failed.
    Error,
    /// `HINT`: a hint to the tool that learns a profile.
    Hint,
}

impl Verdict {
    /// Every verdict, in the order of the enum.
    pub const ALL: [Self; 7] = [
        Self::Denied,
        Self::Allowed,
        Self::Audit,
        Self::Status,
        Self::Killed,
        Self::Error,
        Self::Hint,
    ];

    /// The kernel's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Denied => "DENIED",
            Self::Allowed => "ALLOWED",
            Self::Audit => "AUDIT",
            Self::Status => "STATUS",
            Self::Killed => "KILLED",
            Self::Error => "ERROR",
            Self::Hint => "HINT",
        }
    }

    /// Whether this verdict means that nothing was refused, nor would be in enforce mode.
    #[must_use]
    pub const fn is_clean(self) -> bool {
        matches!(self, Self::Status | Self::Audit | Self::Hint)
    }

    pub(crate) fn from_word(word: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|verdict| verdict.word().as_bytes() == word)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
