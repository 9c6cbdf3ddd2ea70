//! Reads and changes AppArmor policy. This crate parses profile text into rules with their locations. It adds or removes a
//! given permission, whichever rules grant it. It compiles the result with the parser of a given root file system, and
//! computes the hashes that the kernel reports for the compiled policy.
//!
//! Start with [`Tree::read`] and [`parse`]; [`without`] and [`with_rule`] make edited trees; [`Parser::from_tree`] and
//! [`Parser::compile`] turn them into what the kernel loads; [`blob::profiles`] reads the result.
//!
//! ```
//! use aa_policy::{Access, Request, Tree, deny_covers, grants, parse, rule_for, without};
//!
//! let mut tree = Tree::new();
//! tree.insert("p", "profile p {\n  capability kill ipc_lock,\n}\n")?;
//! let policy = parse(&tree, "p")?;
//! let asked = Request::Capability { name: "ipc_lock".into() };
//! assert_eq!(grants(&policy, "p", &asked)[0].location.to_string(), "p:2:3");
//! assert_eq!(rule_for(&asked).as_deref(), Some("capability ipc_lock,"));
//!
//! let edited = without(&tree, "p", "p", &Access::Capability("ipc_lock".into()))?;
//! let policy = parse(&edited.tree, "p")?;
//! // The rule grants another capability as well, so it stays, and a `deny` takes this one away.
//! assert_eq!(deny_covers(&policy, "p", &asked).unwrap().to_string(), "p:3:3");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audited;
pub mod blob;
mod classes;
#[cfg(feature = "compile")]
mod compile;
mod condition;
mod edit;
mod error;
#[cfg(test)]
#[cfg(feature = "compile")]
mod every_rule;
mod glob;
mod parse;
#[cfg(test)]
#[cfg(feature = "compile")]
mod proposals;
mod relate;
mod request;
mod rule;
#[cfg(feature = "compile")]
mod run;
mod scan;
mod source;
mod tree;
mod vars;

pub use audited::audited;
pub use classes::Class;
#[cfg(feature = "compile")]
pub use compile::{CompileError, Compiled, Parser, resolve_inside};
pub use edit::{Access, EditError, Edited, with_rule, without};
pub use error::{PolicyError, PolicyErrorKind};
pub use glob::{GlobError, escape};
pub use parse::parse;
pub use request::{Request, deny_covers, file_rule, grants, insertion_point, rule_for};
pub use rule::{
    Conditional, Exec, Mount, MountOp, MountOptions, Network, Owner, Pattern, Perms, PolicyFile, Profile,
    Qualifiers, Rule, RuleKind,
};
pub use source::Location;
pub use tree::{Tree, TreeError};
