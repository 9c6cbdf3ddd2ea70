//! Hashes of programs: of this one, which is also the agent, and of one that stands in for it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::file_identity::FileIdentity;

/// This program.
pub const OWN: &str = "/proc/self/exe";

/// The hash of a program's file, which is read only once.
pub fn of(program: &Path) -> io::Result<String> {
    static KNOWN: Mutex<BTreeMap<FileIdentity, String>> = Mutex::new(BTreeMap::new());
    let identity = FileIdentity::of(&File::open(program)?.metadata()?);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(hash) = known.get(&identity) {
        return Ok(hash.clone());
    }
    let hash = hex::encode(Sha256::digest(fs::read(program)?));
    known.insert(identity, hash.clone());
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_what_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        assert!(of(&file).is_err());
        fs::write(&file, "one").unwrap();
        let one = of(&file).unwrap();
        assert_eq!(one, hex::encode(Sha256::digest("one")));
        assert_eq!(one, of(&file).unwrap());
        fs::write(&file, "three").unwrap();
        assert_ne!(one, of(&file).unwrap());
        let own = hex::encode(Sha256::digest(fs::read(OWN).unwrap()));
        assert_eq!(own, of(Path::new(OWN)).unwrap());
    }
}
