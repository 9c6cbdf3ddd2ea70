//! Everything that a run needs, with the machine booting while the policy is compiled.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aa_policy::{CompileError, Parser};

use crate::backend::VmConfig;
use crate::data::Data;
use crate::image::Image;
use crate::profile_set::alike::{self, AlikeError};
use crate::profile_set::assemble::{SetError, SetUnderTest};
use crate::profile_set::compiled::{CompileSetError, CompiledSet};
use crate::session::{Session, SessionError};
use crate::verdict::features::Features;
use crate::verdict::policy::Policy;

/// The kernel's features, kept beside the image once it has booted.
const FEATURES: &str = "features";

/// Why nothing can be run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A name.
    #[error("no profile set `{name}`; there are: {}", known.join(", "))]
    NoSet {
        /// As asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A known-bad set of another set.
    #[error("the known-bad set `{bad}` is an edit of `{of}`, not of `{set}`")]
    OtherSet {
        /// The known-bad set.
        bad: String,
        /// What it edits.
        of: String,
        /// The set asked for.
        set: String,
    },
    /// The set.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The image's parser.
    #[error(transparent)]
    Parser(#[from] CompileError),
    /// Its compilation.
    #[error(transparent)]
    Compile(#[from] CompileSetError),
    /// The machine.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// This machine's compilation is not the image's.
    #[error(transparent)]
    Alike(#[from] AlikeError),
    /// The machine's kernel has no AppArmor.
    #[error("the image's kernel runs without AppArmor; its command line or its configuration lacks it")]
    NoAppArmor,
    /// The cache.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// How long each part of the preparation took; they overlap.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    /// From QEMU's start to the agent's greeting.
    pub boot: Duration,
    /// Reading, editing and compiling the set.
    pub compile: Duration,
    /// All of it.
    pub whole: Duration,
}

/// A set ready to be loaded.
pub struct Candidate {
    /// The set.
    pub set: SetUnderTest,
    /// What was compiled from it.
    pub compiled: CompiledSet,
    /// What verdicts are judged by.
    pub policy: Policy,
}

/// What a run needs besides the machine.
pub struct Prepared {
    /// The image.
    pub image: Image,
    /// The set under test.
    pub base: Candidate,
    /// The image's parser, with its kernel's features.
    pub parser: Parser,
    /// The kernel's features.
    pub kernel: Features,
    /// Where the time went.
    pub timings: Timings,
}

/// The set by its name, edited if a known-bad set is asked for.
fn assemble(
    data: &Data,
    image: &Image,
    set: &str,
    known_bad: Option<&str>,
) -> Result<SetUnderTest, PrepareError> {
    let unknown = |name: &str, known: Vec<String>| PrepareError::NoSet {
        name: name.into(),
        known,
    };
    let manifest = data
        .sets
        .manifests
        .get(set)
        .ok_or_else(|| unknown(set, data.sets.manifests.keys().cloned().collect()))?;
    let assembled = SetUnderTest::assemble(manifest, &image.tree)?;
    let Some(bad) = known_bad else {
        return Ok(assembled);
    };
    let edits = data
        .sets
        .known_bad
        .get(bad)
        .ok_or_else(|| unknown(bad, data.sets.known_bad.keys().cloned().collect()))?;
    if edits.of != set {
        return Err(PrepareError::OtherSet {
            bad: bad.into(),
            of: edits.of.clone(),
            set: set.into(),
        });
    }
    Ok(assembled.edited(&edits.edits)?)
}

/// Boot the image and compile the set, side by side where the kernel's features are known from an earlier boot.
pub fn prepare(
    data: &Data,
    image: &Image,
    set: &str,
    known_bad: Option<&str>,
    config: &VmConfig,
) -> Result<(Prepared, Session), PrepareError> {
    let started = Instant::now();
    let features = image.dir.join(FEATURES);
    thread::scope(|scope| {
        let compiling = scope.spawn(|| {
            features
                .exists()
                .then(|| compile(data, image, set, known_bad, &features))
        });
        let session = Session::start(image, config);
        let early = compiling.join().ok().flatten();
        let mut session = session?;
        if !session.facts.apparmor {
            return Err(PrepareError::NoAppArmor);
        }
        let mut prepared = match early {
            Some(early) => early?,
            None => {
                save_features(&features, &session.features()?)?;
                compile(data, image, set, known_bad, &features)?
            }
        };
        if known_bad.is_none() {
            alike::check(
                &mut session,
                &image.dir,
                &prepared.base.set,
                &prepared.base.compiled,
            )?;
        }
        prepared.timings.boot = session.boot_time();
        prepared.timings.whole = started.elapsed();
        Ok((prepared, session))
    })
}

fn save_features(path: &Path, text: &str) -> Result<(), PrepareError> {
    // Another run may be reading it: it appears whole or not at all.
    let temporary = path.with_extension(format!("{}", std::process::id()));
    let saved = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    saved.map_err(|source| PrepareError::Io {
        path: path.into(),
        source,
    })
}

fn compile(
    data: &Data,
    image: &Image,
    set: &str,
    known_bad: Option<&str>,
    features: &Path,
) -> Result<Prepared, PrepareError> {
    let started = Instant::now();
    let text = std::fs::read_to_string(features).map_err(|source| PrepareError::Io {
        path: features.into(),
        source,
    })?;
    let kernel = Features::parse(&text);
    let parser = Parser::from_tree(&image.tree)?.with_features(features);
    let good = assemble(data, image, set, None)?;
    let set = assemble(data, image, set, known_bad)?;
    let compiled = CompiledSet::compile(&set, &parser, None)?;
    let policy = compiled.for_verdict(&good, &kernel);
    let timings = Timings {
        compile: started.elapsed(),
        ..Timings::default()
    };
    Ok(Prepared {
        image: image.clone(),
        base: Candidate {
            set,
            compiled,
            policy,
        },
        parser,
        kernel,
        timings,
    })
}

impl Prepared {
    /// An edited set, compiled where it differs from the base.
    pub fn candidate(&self, set: SetUnderTest) -> Result<Candidate, CompileSetError> {
        let compiled = CompiledSet::compile(&set, &self.parser, Some((&self.base.set, &self.base.compiled)))?;
        let policy = compiled.for_verdict(&self.base.set, &self.kernel);
        Ok(Candidate {
            set,
            compiled,
            policy,
        })
    }
}
