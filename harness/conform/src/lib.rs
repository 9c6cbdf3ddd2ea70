//! Conformance tests of libvirt's AppArmor profiles.
pub mod backend;
pub mod case;
pub mod data;
pub mod denial;
pub mod fixture;
pub mod image;
pub mod known;
pub mod profile_set;
pub mod schema;
pub mod tools;
pub mod verdict;
pub mod yaml;
