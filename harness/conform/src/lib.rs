//! Conformance tests of libvirt's AppArmor profiles.
pub mod case;
