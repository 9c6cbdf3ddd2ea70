//! Checks that this machine compiles as the image would. Once for each image and set the image's parser compiles the
//! same files inside the booted image. The results must be equal byte for byte.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::assemble::SetUnderTest;
use super::compiled::CompiledSet;
use crate::session::{Session, SessionError};
use virt_aa_model::profile_set::POLICY_DIR;

/// A large profile takes some seconds under emulation.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Why the results could not be compared, or differ.
#[derive(Debug, thiserror::Error)]
pub enum AlikeError {
    /// The machine failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The parser in the machine failed.
    #[error("the image's parser did not compile {POLICY_DIR}/{file} in the machine: {text}")]
    Parser {
        /// The file.
        file: String,
        /// The parser's message.
        text: String,
    },
    /// The results differ.
    #[error(
        "{POLICY_DIR}/{file} compiled on this machine is not what the image compiles it to, so no verdict could be \
         believed; please report this with the image's name"
    )]
    Differs {
        /// The file.
        file: String,
    },
}

/// Compares, unless that was done before for this image and set. A comparison loads the set.
pub fn check(
    session: &mut Session,
    image: &Path,
    set: &SetUnderTest,
    compiled: &CompiledSet,
) -> Result<(), AlikeError> {
    let mark = image.join(format!("compiled-alike-{}", &set.loaded_tree().hash()[..16]));
    if mark.exists() {
        return Ok(());
    }
    session.load(compiled.policies(), set.overlay())?;
    for (file, here) in &compiled.files {
        let script = format!(
            "set -o pipefail; apparmor_parser --skip-kernel-load --skip-cache --stdout '{POLICY_DIR}/{file}' | sha256sum"
        );
        let there = session.run(&["/bin/bash", "-c", &script], TIMEOUT)?;
        let text = String::from_utf8_lossy(&there.stdout);
        if there.exit != Some(0) {
            let text = String::from_utf8_lossy(&there.stderr).trim().to_string();
            return Err(AlikeError::Parser {
                file: file.clone(),
                text,
            });
        }
        let digest = hex::encode(Sha256::digest(&here.policy.binary));
        if text.split_whitespace().next() != Some(digest.as_str()) {
            return Err(AlikeError::Differs { file: file.clone() });
        }
    }
    // Without the mark the next run compares again, which only costs time.
    let _ = fs::write(&mark, "");
    Ok(())
}
