//! What a parser compiled: the profiles in it, or an error.
use aa_policy::blob::profiles;

/// Reads a compiled policy. Panics where that does not end as it should.
pub fn compiled_policy(bytes: &[u8]) {
    if let Err(error) = profiles(bytes) {
        assert!(!error.to_string().is_empty());
    }
}
