//! What a case may refer to outside of its file.

use std::collections::{BTreeMap, BTreeSet};

/// Names that cases use and others declare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownNames {
    /// Fixtures, each with its facts.
    pub fixtures: BTreeMap<String, BTreeSet<String>>,
    /// Roles, each with the profiles that have it in any profile set.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// Users that a subject may be.
    pub users: BTreeSet<String>,
}

/// Keys of `{set.…}`.
pub const SET_KEYS: [&str; 4] = ["libexecdir", "runstatedir", "sbindir", "sysconfdir"];
