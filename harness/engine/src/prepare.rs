//! Everything that a run needs. The machine boots while the policy is compiled.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aa_policy::{CompileError, Parser};

use crate::backend::Backend;
use crate::image::Image;
use crate::profile_set::alike::{self, AlikeError};
use crate::profile_set::assemble::{SetError, SetUnderTest};
use crate::profile_set::compiled::{CompileSetError, CompiledSet};
use crate::profile_set::open::{GivenDirs, OpenError, open};
use crate::profile_set::programs::{self, Programs};
use crate::profile_set::spec::SetSpec;
use crate::proof_store::{self, ProofStore};
use crate::session::{Session, SessionError};
use crate::state;
use virt_aa_model::data::Data;
use virt_aa_model::profile_set::Unusable;
use virt_aa_model::verdict::features::Features;
use virt_aa_model::verdict::policy::Policy;

/// The file of the kernel's features, beside a booted image. For another kernel its name ends with the release.
const FEATURES: &str = "features";

/// The file of the image's programs, likewise.
const PROGRAMS: &str = "programs";

/// Time to list the programs, under emulation.
const PROGRAMS_TIMEOUT: Duration = Duration::from_secs(60);

/// The requested set.
#[derive(Debug, Clone)]
pub struct SetRequest {
    /// The set.
    pub spec: SetSpec,
    /// Folders given for the set.
    pub dirs: GivenDirs,
    /// The known-bad edit to apply.
    pub known_bad: Option<String>,
}

impl SetRequest {
    /// A set without edits.
    pub fn plain(set: &str) -> SetRequest {
        SetRequest {
            spec: SetSpec::parse(set),
            dirs: GivenDirs::new(),
            known_bad: None,
        }
    }
}

/// Why nothing can be run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// There is no set of that name.
    #[error("no profile set `{name}`; there are: {}", known.join(", "))]
    NoSet {
        /// The requested name.
        name: String,
        /// The existing names.
        known: Vec<String>,
    },
    /// The known-bad set is an edit of another set.
    #[error("the known-bad set `{bad}` is an edit of `{of}`, not of `{set}`")]
    OtherSet {
        /// The known-bad set.
        bad: String,
        /// What it edits.
        of: String,
        /// The requested set.
        set: String,
    },
    /// The set cannot be put together.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The set cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The machine did not list its programs.
    #[error("cannot list the machine's programs: {0}")]
    Programs(String),
    /// No profile of the set can be used.
    #[error("the image's parser refuses every profile of the set: {}", told(.0))]
    NothingUsable(Vec<Unusable>),
    /// The image's parser cannot be used.
    #[error(transparent)]
    Parser(#[from] CompileError),
    /// The set cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileSetError),
    /// The machine failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// This machine does not compile as the image does.
    #[error(transparent)]
    Alike(#[from] AlikeError),
    /// The machine's kernel has no AppArmor.
    #[error("the kernel runs without AppArmor; its command line or its configuration lacks it")]
    NoAppArmor,
    /// The cache cannot be read or written.
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
    /// The whole preparation.
    pub whole: Duration,
}

/// A set ready to be loaded.
pub struct Candidate {
    /// The set.
    pub set: SetUnderTest,
    /// What was compiled from it.
    pub compiled: CompiledSet,
    /// The policy for the verdict.
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
    /// Its release, as `uname -r` reports it.
    pub kernel_release: String,
    /// The policy namespace of the set; `None` if the set has the whole kernel.
    pub namespace: Option<String>,
    /// The image's programs.
    pub programs: Programs,
    /// How long each part took.
    pub timings: Timings,
}

/// The requested set without and with the known-bad edit. Both are the same if no edit is requested.
fn assemble(
    data: &Data,
    image: &Image,
    wanted: &SetRequest,
    programs: &Programs,
) -> Result<(SetUnderTest, SetUnderTest), PrepareError> {
    let unknown = |name: &str, known: Vec<String>| PrepareError::NoSet {
        name: name.into(),
        known,
    };
    let set = &wanted.spec.name;
    let manifest = data
        .sets
        .manifests
        .get(set)
        .ok_or_else(|| unknown(set, data.sets.manifests.keys().cloned().collect()))?;
    let good = open(manifest, &wanted.spec, &wanted.dirs, image, programs)?;
    let Some(bad) = &wanted.known_bad else {
        return Ok((good.clone(), good));
    };
    let edits = data
        .sets
        .known_bad
        .get(bad)
        .ok_or_else(|| unknown(bad, data.sets.known_bad.keys().cloned().collect()))?;
    if edits.of != *set && manifest.like.as_ref() != Some(&edits.of) {
        return Err(PrepareError::OtherSet {
            bad: bad.clone(),
            of: edits.of.clone(),
            set: set.clone(),
        });
    }
    let edited = good.edited(&edits.edits)?;
    Ok((good, edited))
}

/// Starts the machine and compiles the set, in parallel if an earlier boot saved the features and programs.
pub fn prepare(
    data: &Data,
    image: &Image,
    wanted: &SetRequest,
    backend: &Backend,
) -> Result<(Prepared, Session), PrepareError> {
    let started = Instant::now();
    if let Some(namespace) = backend.namespace() {
        return prepare_local(data, image, wanted, backend, namespace);
    }
    let (features, programs) = (image.dir.join(FEATURES), image.dir.join(PROGRAMS));
    let ground = CompileInputs {
        features: &features,
        programs: &programs,
        kernel_release: &image.facts.kernel_release,
        namespace: None,
    };
    thread::scope(|scope| {
        let compiling = scope.spawn(|| {
            (features.exists() && programs.exists()).then(|| compile(data, image, wanted, &ground))
        });
        let session = state::start(image, backend);
        let early = compiling.join().ok().flatten();
        let mut session = session?;
        if !session.facts.apparmor {
            return Err(PrepareError::NoAppArmor);
        }
        let mut prepared = match early {
            Some(early) => early?,
            None => {
                save(&features, &session.features()?)?;
                save(&programs, &list_programs(&mut session)?)?;
                compile(data, image, wanted, &ground)?
            }
        };
        if wanted.known_bad.is_none() {
            prepared.check_alike(&mut session, &prepared.base)?;
        }
        prepared.timings.boot = session.boot_time();
        prepared.timings.whole = started.elapsed();
        Ok((prepared, session))
    })
}

/// Prepares a run on the host's kernel, which starts at once. Features and programs are read anew each time.
fn prepare_local(
    data: &Data,
    image: &Image,
    wanted: &SetRequest,
    backend: &Backend,
    namespace: &str,
) -> Result<(Prepared, Session), PrepareError> {
    let started = Instant::now();
    let mut session = Session::start(image, backend)?;
    if !session.facts.apparmor {
        return Err(PrepareError::NoAppArmor);
    }
    let kernel_release = session.facts.kernel.clone();
    let features = image.dir.join(format!("{FEATURES}-{kernel_release}"));
    let programs = image.dir.join(format!("{PROGRAMS}-{}", backend.name()));
    save(&features, &session.features()?)?;
    save(&programs, &list_programs(&mut session)?)?;
    let ground = CompileInputs {
        features: &features,
        programs: &programs,
        kernel_release: &kernel_release,
        namespace: Some(namespace),
    };
    let mut prepared = compile(data, image, wanted, &ground)?;
    if wanted.known_bad.is_none() {
        prepared.check_alike(&mut session, &prepared.base)?;
    }
    prepared.timings.boot = session.boot_time();
    prepared.timings.whole = started.elapsed();
    Ok((prepared, session))
}

/// What a set is compiled for.
struct CompileInputs<'a> {
    features: &'a Path,
    programs: &'a Path,
    kernel_release: &'a str,
    namespace: Option<&'a str>,
}

fn list_programs(session: &mut Session) -> Result<String, PrepareError> {
    let ran = session.run(&["/bin/sh", "-c", programs::SCRIPT], PROGRAMS_TIMEOUT)?;
    if ran.exit != Some(0) || ran.stdout.is_empty() {
        let said = String::from_utf8_lossy(&ran.stderr).trim().to_string();
        return Err(PrepareError::Programs(said));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}

fn save(path: &Path, text: &str) -> Result<(), PrepareError> {
    // Another run may be reading the file, so it is replaced atomically.
    let temporary = path.with_extension(format!("{}", std::process::id()));
    let saved = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    saved.map_err(|source| PrepareError::Io {
        path: path.into(),
        source,
    })
}

fn read(path: &Path) -> Result<String, PrepareError> {
    std::fs::read_to_string(path).map_err(|source| PrepareError::Io {
        path: path.into(),
        source,
    })
}

fn compile(
    data: &Data,
    image: &Image,
    wanted: &SetRequest,
    ground: &CompileInputs<'_>,
) -> Result<Prepared, PrepareError> {
    let started = Instant::now();
    let kernel = Features::parse(&read(ground.features)?);
    let programs = Programs::parse(&read(ground.programs)?);
    let parser = Parser::from_tree(&image.tree)?.with_features(ground.features);
    let base = candidate(data, image, wanted, &programs, &parser, &kernel, ground.namespace)?;
    let timings = Timings {
        compile: started.elapsed(),
        ..Timings::default()
    };
    Ok(Prepared {
        image: image.clone(),
        base,
        parser,
        kernel,
        kernel_release: ground.kernel_release.into(),
        namespace: ground.namespace.map(str::to_string),
        programs,
        timings,
    })
}

fn candidate(
    data: &Data,
    image: &Image,
    wanted: &SetRequest,
    programs: &Programs,
    parser: &Parser,
    kernel: &Features,
    namespace: Option<&str>,
) -> Result<Candidate, PrepareError> {
    let (mut good, mut set) = assemble(data, image, wanted, programs)?;
    // Only our own machines tell the kernel what to log. Elsewhere the set itself asks for it.
    good.audited = namespace.is_some();
    set.audited = namespace.is_some();
    let compiled = if set.manifest.from.is_given() && wanted.known_bad.is_none() {
        CompiledSet::compile_what_can_be(&mut set, parser, None)?
    } else {
        CompiledSet::compile(&set, parser, None)?
    };
    if set.roles().is_empty() {
        return Err(PrepareError::NothingUsable(set.unusable));
    }
    let policy = compiled.for_verdict((&good, &set), kernel, namespace);
    Ok(Candidate {
        set,
        compiled,
        policy,
    })
}

/// One line for each file.
fn told(unusable: &[Unusable]) -> String {
    let lines = unusable
        .iter()
        .map(|unusable| format!("\n  {}: {}", unusable.file, unusable.message));
    lines.collect()
}

impl Prepared {
    /// Another set on the same image, for comparison with the base.
    pub fn other(&self, data: &Data, wanted: &SetRequest) -> Result<Candidate, PrepareError> {
        candidate(
            data,
            &self.image,
            wanted,
            &self.programs,
            &self.parser,
            &self.kernel,
            self.namespace.as_deref(),
        )
    }

    /// The proofs of a set, by its hash. Proofs are stored per kernel release.
    pub fn proofs(&self, data: &Data, set_hash: &str) -> ProofStore {
        let kernel = self.namespace.as_ref().map(|_| self.kernel_release.as_str());
        ProofStore::open(
            &self.image.dir,
            set_hash,
            kernel,
            proof_store::ProofBasis::of(data),
        )
    }

    /// Checks that the machine compiles the set as this program did. A comparison loads the set.
    pub fn check_alike(&self, session: &mut Session, candidate: &Candidate) -> Result<(), AlikeError> {
        alike::check(session, &self.image.dir, &candidate.set, &candidate.compiled)
    }

    /// An edited set. Only the files that differ from the base are compiled.
    pub fn candidate(&self, set: SetUnderTest) -> Result<Candidate, CompileSetError> {
        let compiled = CompiledSet::compile(&set, &self.parser, Some((&self.base.set, &self.base.compiled)))?;
        let policy = compiled.for_verdict((&self.base.set, &set), &self.kernel, self.namespace.as_deref());
        Ok(Candidate {
            set,
            compiled,
            policy,
        })
    }
}
