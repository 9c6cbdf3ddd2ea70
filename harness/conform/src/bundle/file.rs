//! Reads and writes bundle files.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aa_policy::Tree;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::model::{Bundle, CaseFile, FORMAT, Manifest, PolicyFacts};

/// More bytes than any bundle has, so that a small file cannot use up memory.
const MOST_BYTES: u64 = 2 << 30;
/// More files than any bundle has.
const MOST_FILES: usize = 100_000;

const MANIFEST: &str = "manifest.json";
const REPORT: &str = "report.json";
const POLICY: &str = "policy.json";
const SET: &str = "set/";
const CASES: &str = "cases/";

/// Why a bundle cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The bundle.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The content is invalid.
    #[error("{}: {problem}", path.display())]
    Invalid {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// Checks, before anything is run, that a bundle can be written there.
///
/// # Errors
/// If it cannot be written.
pub fn writable(path: &Path) -> Result<(), BundleError> {
    let of_file = |source| BundleError::Io {
        path: path.to_owned(),
        source,
    };
    if path.is_dir() {
        return Err(of_file(io::ErrorKind::IsADirectory.into()));
    }
    tempfile::NamedTempFile::new_in(folder(path)).map_err(of_file)?;
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Writes the whole bundle or nothing.
///
/// # Errors
/// If the file cannot be written.
pub fn write(bundle: &Bundle, path: &Path) -> Result<(), BundleError> {
    let of_file = |source| BundleError::Io {
        path: path.to_owned(),
        source,
    };
    let temporary = tempfile::NamedTempFile::new_in(folder(path)).map_err(of_file)?;
    archive(bundle, temporary.as_file()).map_err(of_file)?;
    // Others may read it, like a report.
    temporary
        .as_file()
        .set_permissions(Permissions::from_mode(0o644))
        .map_err(of_file)?;
    temporary.persist(path).map_err(|error| of_file(error.error))?;
    Ok(())
}

fn archive(bundle: &Bundle, out: impl Write) -> io::Result<()> {
    let mut files = BTreeMap::new();
    let mut put = |name: String, text: Vec<u8>| files.insert(name, text);
    put(REPORT.into(), json(&bundle.report)?);
    put(POLICY.into(), json(&bundle.policy)?);
    for path in bundle.set.paths() {
        let text = bundle.set.bytes(path).unwrap_or_default();
        put(format!("{SET}{path}"), text.to_vec());
    }
    for (number, case) in bundle.cases.iter().enumerate() {
        put(format!("{CASES}{number:04}.json"), json(case)?);
    }
    let manifest = Manifest {
        files: files
            .iter()
            .map(|(name, text)| (name.clone(), hash(text)))
            .collect(),
        ..bundle.manifest.clone()
    };
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    // The manifest comes first in a listing of the archive.
    let all = std::iter::once((MANIFEST.to_owned(), json(&manifest)?)).chain(files);
    for (name, text) in all {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(manifest.made);
        archive.append_data(&mut header, name, text.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()
}

fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(value)?)
}

fn hash(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

/// Reads a bundle and checks every hash.
///
/// # Errors
/// If the file cannot be read, is no bundle, or was changed.
pub fn read(path: &Path) -> Result<Bundle, BundleError> {
    let input = File::open(path).map_err(|source| BundleError::Io {
        path: path.to_owned(),
        source,
    })?;
    unpacked(input)
        .and_then(bundle)
        .map_err(|problem| BundleError::Invalid {
            path: path.to_owned(),
            problem,
        })
}

type Files = BTreeMap<String, Vec<u8>>;

fn unpacked(input: impl Read) -> Result<Files, String> {
    let broken = |error: io::Error| format!("it is not a bundle of `run --bundle`: {error}");
    let mut archive = tar::Archive::new(GzDecoder::new(input).take(MOST_BYTES));
    let mut files = Files::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        if !entry.header().entry_type().is_file() {
            return Err(format!("{name} in it is not a regular file"));
        }
        if files.len() >= MOST_FILES {
            return Err(format!("there are more than {MOST_FILES} files in it"));
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text).map_err(broken)?;
        if files.insert(name.clone(), text).is_some() {
            return Err(format!("{name} is in it twice"));
        }
    }
    Ok(files)
}

fn bundle(mut files: Files) -> Result<Bundle, String> {
    let manifest: Manifest = take(&mut files, MANIFEST)?;
    if manifest.format != FORMAT {
        return Err(format!(
            "it has format {}, and this program reads format {FORMAT}: use the program of version {}",
            manifest.format, manifest.program_version
        ));
    }
    for (name, wanted) in &manifest.files {
        let text = files
            .get(name)
            .ok_or_else(|| format!("{name} is missing in it"))?;
        if hash(text) != *wanted {
            return Err(format!(
                "{name} in it is not as it was written: its SHA-256 is another one"
            ));
        }
    }
    if let Some(name) = files.keys().find(|name| !manifest.files.contains_key(*name)) {
        return Err(format!("{name} was put into it: the manifest does not have it"));
    }
    let report = take(&mut files, REPORT)?;
    let policy: PolicyFacts = take(&mut files, POLICY)?;
    let mut set = Tree::new();
    let mut cases: Vec<CaseFile> = Vec::new();
    for dir in &policy.set_dirs {
        set.insert_dir(dir)
            .map_err(|error| format!("{POLICY} in it: {error}"))?;
    }
    for (name, text) in files {
        if let Some(path) = name.strip_prefix(SET) {
            set.insert(path, text)
                .map_err(|error| format!("{name} in it: {error}"))?;
        } else if name.starts_with(CASES) {
            cases.push(parsed(&name, &text)?);
        } else {
            return Err(format!("{name} in it is unknown"));
        }
    }
    Ok(Bundle {
        manifest,
        report,
        policy,
        set,
        cases,
    })
}

fn take<T: DeserializeOwned>(files: &mut Files, name: &str) -> Result<T, String> {
    let text = files
        .remove(name)
        .ok_or_else(|| format!("{name} is missing in it"))?;
    parsed(name, &text)
}

fn parsed<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| format!("{name} in it: {error}"))
}
