//! Conformance tests of libvirt's AppArmor profiles.
pub mod backend;
pub mod case;
pub mod data;
pub mod denial;
pub mod fixture;
pub mod image;
pub mod known;
pub mod prepare;
pub mod profile_set;
pub mod proofs;
pub mod runner;
pub mod schema;
pub mod session;
pub mod tools;
pub mod verdict;
pub mod yaml;
