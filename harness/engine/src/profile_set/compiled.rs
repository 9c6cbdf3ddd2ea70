//! A set that the image's own parser has compiled on this machine, with several files in parallel.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use aa_policy::blob::{self, BlobError, BlobMode};
use aa_policy::{CompileError, Parser, PolicyFile, TreeError};
use virt_aa_probe::protocol;

use super::assemble::SetUnderTest;
use virt_aa_model::profile_set::Unusable;
use virt_aa_model::verdict::features::Features;
use virt_aa_model::verdict::policy::{Declared, Policy};

/// Why a set cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileSetError {
    /// The parser failed.
    #[error(transparent)]
    Parser(#[from] CompileError),
    /// A temporary folder cannot be written.
    #[error("cannot write the policy out: {0}")]
    Io(#[from] io::Error),
    /// The tree cannot be written.
    #[error("cannot write the policy out: {0}")]
    Tree(#[from] TreeError),
    /// The parser's output cannot be read.
    #[error("{file}: the parser's output cannot be read: {source}")]
    Blob {
        /// The policy file.
        file: String,
        /// What is wrong.
        source: BlobError,
    },
    /// The parser and this program disagree on what a file declares.
    #[error("{file}: declares {declared:?}, and the parser says {names:?}; please report this as a bug")]
    Names {
        /// The policy file.
        file: String,
        /// The names that this program finds.
        declared: Vec<String>,
        /// The names that the parser reports.
        names: Vec<String>,
    },
}

/// One compiled file.
#[derive(Debug, Clone)]
pub struct CompiledFile {
    /// The policy for the kernel.
    pub policy: protocol::Policy,
    /// Its profiles.
    pub declared: BTreeMap<String, Declared>,
    /// The parser's warnings.
    pub warnings: Vec<String>,
}

/// A compiled set, by file.
#[derive(Debug, Clone, Default)]
pub struct CompiledSet {
    /// The compiled files by name.
    pub files: BTreeMap<String, CompiledFile>,
}

impl CompiledSet {
    /// Compiles every file of a set. `base` is a set that was compiled before, with its result. Files that are the
    /// same in it are not compiled again.
    pub fn compile(
        set: &SetUnderTest,
        parser: &Parser,
        base: Option<(&SetUnderTest, &CompiledSet)>,
    ) -> Result<CompiledSet, CompileSetError> {
        let mut compiled = CompiledSet::default();
        for (file, result) in compile_each(set, parser, base)? {
            compiled.files.insert(file, result?);
        }
        Ok(compiled)
    }

    /// Like [`CompiledSet::compile`], for a set with files that the parser may refuse. Those are left out of the set,
    /// with the parser's message.
    pub fn compile_what_can_be(
        set: &mut SetUnderTest,
        parser: &Parser,
        base: Option<(&SetUnderTest, &CompiledSet)>,
    ) -> Result<CompiledSet, CompileSetError> {
        let dir = tempfile::tempdir()?;
        set.loaded_tree().write_to(dir.path())?;
        for unusable in &mut set.unusable {
            // The parser usually refuses what this program cannot read, and its message is the one that people know.
            if let Err(error @ CompileError::Policy { .. }) = parser.compile(dir.path(), &unusable.file, &[])
                && set.tree.contains(&unusable.file)
            {
                unusable.message = error.to_string();
            }
        }
        let mut compiled = CompiledSet::default();
        let mut refused = Vec::new();
        for (file, result) in compile_each(set, parser, base)? {
            match result {
                Ok(one) => drop(compiled.files.insert(file, one)),
                Err(CompileSetError::Parser(
                    error @ (CompileError::Policy { .. } | CompileError::Nothing { .. }),
                )) => {
                    let message = error.to_string();
                    refused.push(Unusable { file, message });
                }
                Err(error) => return Err(error),
            }
        }
        set.leave_out(refused);
        Ok(compiled)
    }
    /// The policies that the agent loads.
    pub fn policies(&self) -> Vec<protocol::Policy> {
        self.files.values().map(|file| file.policy.clone()).collect()
    }

    /// What the verdict needs. The deny rules are those of `base`, so that a rule that was added to take an access
    /// away does not excuse its own denial.
    pub fn for_verdict(
        &self,
        (base, run): (&SetUnderTest, &SetUnderTest),
        kernel: &Features,
        namespace: Option<&str>,
    ) -> Policy {
        Policy {
            namespace: namespace.map(str::to_string),
            declared: self
                .files
                .values()
                .flat_map(|file| file.declared.clone())
                .collect(),
            warnings: self
                .files
                .values()
                .flat_map(|file| file.warnings.clone())
                .collect(),
            files: base.files.clone(),
            files_run: run.files.clone(),
            kernel: kernel.clone(),
        }
    }
}

/// Each file with its result.
type Results = Vec<(String, Result<CompiledFile, CompileSetError>)>;

fn compile_each(
    set: &SetUnderTest,
    parser: &Parser,
    base: Option<(&SetUnderTest, &CompiledSet)>,
) -> Result<Results, CompileSetError> {
    let dir = tempfile::tempdir()?;
    set.loaded_tree().write_to(dir.path())?;
    let mut results = Vec::new();
    let mut wanted: Vec<&PolicyFile> = Vec::new();
    for file in &set.files {
        let same = base.and_then(|(of, base)| {
            unchanged(file, set, of)
                .then(|| base.files.get(&file.file))
                .flatten()
        });
        match same {
            Some(same) => results.push((file.file.clone(), Ok(same.clone()))),
            None => wanted.push(file),
        }
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(&mut results);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism()
            .map_or(1, usize::from)
            .min(wanted.len())
        {
            scope.spawn(|| {
                while let Some(file) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = compile_file(file, parser, dir.path());
                    done.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((file.file.clone(), result));
                }
            });
        }
    });
    Ok(results)
}

/// Whether a file and all that it includes are the same in both sets.
fn unchanged(file: &PolicyFile, set: &SetUnderTest, of: &SetUnderTest) -> bool {
    of.files
        .iter()
        .any(|other| other.file == file.file && other.files == file.files)
        && file
            .files
            .iter()
            .all(|path| set.tree.get(path) == of.tree.get(path))
}

fn compile_file(
    file: &PolicyFile,
    parser: &Parser,
    dir: &std::path::Path,
) -> Result<CompiledFile, CompileSetError> {
    let compiled = parser.compile(dir, &file.file, &[])?;
    let blobs = blob::profiles(&compiled.binary).map_err(|source| CompileSetError::Blob {
        file: file.file.clone(),
        source,
    })?;
    // The parser's own `--names` does not expand variables.
    let declared = file.declared_names();
    let mut names: Vec<String> = blobs.iter().map(|blob| blob.name.clone()).collect();
    names.sort();
    if names != declared {
        return Err(CompileSetError::Names {
            file: file.file.clone(),
            declared,
            names,
        });
    }
    let profiles = blobs.into_iter().map(|blob| {
        let hashes = BTreeMap::from([
            ("sha1".to_string(), blob.sha1),
            ("sha256".to_string(), blob.sha256),
        ]);
        (
            blob.name,
            Declared {
                hashes,
                enforce: blob.mode == BlobMode::Enforce,
                classes: blob.classes,
            },
        )
    });
    Ok(CompiledFile {
        declared: profiles.collect(),
        warnings: compiled.warnings,
        policy: protocol::Policy {
            name: file.file.clone(),
            binary: compiled.binary,
        },
    })
}
