//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::reports::Spec;
pub use super::target::{BackendArg, DEFAULT_IMAGE, DEFAULT_SET, EngineArg, TargetArgs};
use crate::exit::EXIT_STATUSES;
use virt_aa_engine::root;
use virt_aa_model::shard::Shard;

/// Decides whether a change to libvirt's AppArmor profiles may ship.
///
/// It boots a distribution's image in a VM (or uses this host, or a container), loads a profile set, performs real
/// operations under enforcement, and checks that each operation worked and that AppArmor denied nothing except what a
/// case says it must deny.
#[derive(Debug, Parser)]
#[command(name = "virt-aa-conform", version, max_term_width = 100, after_help = EXIT_STATUSES)]
pub struct Cli {
    /// Folder with cases/, profiles/ and vm-images/
    ///
    /// Without this option, the first of these is used: the current folder or the nearest folder above it that has all
    /// three; virt-aa-conform/ in $XDG_DATA_HOME (~/.local/share) or in one of $XDG_DATA_DIRS (/usr/local/share,
    /// /usr/share); the data built into the program. `doctor` says which.
    #[arg(long, global = true, env = root::VARIABLE, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Use the cases of this folder instead of cases/, with its fixtures/ if it has that folder
    #[arg(long = "cases", global = true, value_name = "DIR")]
    pub cases_dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run cases under enforcement and print their verdicts
    Run(RunArgs),
    /// Take each permission that a case needs away, and check that the case turns red
    Prove(ProveArgs),
    /// Spoil the evidence of a passing case in every known way, and check the verdicts
    ///
    /// A sabotage makes the evidence of a case worthless: it puts the profile into complain mode, loses an audit record, or
    /// performs the case's operation under another label. Each sabotage of a fixed table (see --list) is applied in a VM to
    /// a case that passes without it. Exit status 0: every sabotage gives the verdict that the table names; 1: one does
    /// not; 2: there is no such sabotage; 4: the machine broke.
    Selftest(SelftestArgs),
    /// Join the JSON reports of all shards of a run
    ///
    /// The exit status is that of `run` over all cases. It is 2 if a shard is missing, given twice, or from another run
    /// (another image, set, program or split). Given the report of a whole run, `merge` converts it to another format.
    Merge(MergeArgs),
    /// Show the report in a bundle of `run --bundle`; with --case, everything that was seen of one case
    ///
    /// `show` checks the hash of every file. It does not judge the evidence again; `verify` does.
    Show(ShowArgs),
    /// Judge the evidence in a bundle again, and compare the verdicts
    ///
    /// This needs neither the image nor any privilege. A bundle is not a signature: to prove where it comes from, sign the
    /// file.
    ///
    /// Exit status 0: every verdict, reason and finding comes out the same, even if the run was red; 1: one differs;
    /// 2: the file is not a bundle, or was changed.
    Verify(VerifyArgs),
    /// Make a Markdown table of JSON reports of `run` and `prove`: one row for each image
    ///
    /// Reports of the same image, set and backend share a row. With --by-backend, the reports are of one image, and the
    /// table has a row for each case whose verdicts differ between backends, with the reason.
    Table(TableArgs),
    /// Print the jobs that a CI system would run: the cases of each image, split into shards
    Plan(PlanArgs),
    /// Write templates for another project's CI, generated from the cases and images
    ///
    /// DIR is the top of that project's tree, or an empty folder. The first lines of each template say how to use it, which
    /// variables it has, with which program it was tried, and what could not be tried.
    Emit(EmitArgs),
    /// List cases
    List(ListArgs),
    /// Check all data files; run nothing
    Check,
    /// Say what this machine can run, what is missing, and what installs it
    ///
    /// Exit status 0: everything for the vm backend is there; 5: something is missing; 4: the program's own files cannot be
    /// read, or --repair failed.
    Doctor {
        /// Undo what a killed run of the host or container backend left behind
        #[arg(long)]
        repair: bool,
    },
    /// Build, list and remove VM images
    #[command(subcommand)]
    Image(ImageCommand),
    /// Open a root shell in the booted image with the profile set loaded
    Shell(ShellArgs),
    /// Explain denials: as sentences with the rule that would allow them, as JSON, or as the skeleton of a case
    ///
    /// Reads the kernel's log, the journal and audit.log, with other lines among the records, and records as people post
    /// them: wrapped over several lines, quoted, in HTML or JSON, with numbers made unreadable. Text that was cut short,
    /// printed by aa-log or `ausearch -i`, or is unreadable for another reason is reported with its line, and the exit
    /// status is 2; everything else is still read. Equal records are reported once with their count; JSON lists each.
    Denials(DenialsArgs),
    /// Hold a machine for test processes
    #[command(hide = true)]
    Keeper(KeeperArgs),
    /// Print the JSON Schema of a data file
    Schema {
        /// Kind of file
        kind: SchemaKind,
    },
    /// Print a completion script: commands, options, and the names of cases, sets and images
    ///
    /// Write it to ~/.local/share/bash-completion/completions/virt-aa-conform for bash, to _virt-aa-conform in a folder of
    /// $fpath for zsh, or to ~/.config/fish/completions/virt-aa-conform.fish for fish. The names are those of the current
    /// data files.
    Completions {
        /// Shell
        shell: Shell,
    },
    /// Print the manual page; with DIR, write the pages of all commands into that folder
    Man {
        /// An existing folder
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Cases: NAME, NAME:VARIANT, NAME@PROFILE, a folder, or a glob over these (default: all)
    #[arg(value_name = "CASE")]
    pub cases: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArgs,
    /// Apply the edits of profiles/known-bad/NAME.yaml to the set
    #[arg(long, value_name = "NAME")]
    pub known_bad: Option<String>,
    /// Run the cases with this set as well, and report only what differs
    ///
    /// Exit status 0: the set that --profiles and --known-bad name is no worse than this base, even if both are red;
    /// 1: it is worse in at least one case; 3: nothing can be said about some case; 4: the machine broke.
    #[arg(long, value_name = "SET", conflicts_with_all = ["shard", "strict", "timings"])]
    pub base: Option<String>,
    /// Write a report: human, json, junit, tap, github, sarif or markdown; may be given several times
    ///
    /// Without FILE, or with `-`, the report goes to standard output in place of the report for people. Report files are
    /// written atomically at the end; a stale file from an earlier run is deleted first. `github` adds annotations to the
    /// report for people, and appends a summary to $GITHUB_STEP_SUMMARY.
    #[arg(long = "report", visible_alias = "format", value_name = "FORMAT[:FILE]")]
    pub reports: Vec<Spec>,
    /// Write everything that the verdicts rest on into this file, for `show` and `verify`
    #[arg(long, value_name = "FILE", conflicts_with = "base")]
    pub bundle: Option<PathBuf>,
    /// Run only the K-th of N parts, which take about the same time; `merge` joins their JSON reports
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
    /// JSON report of an earlier run whose times --shard uses; give every part the same report
    #[arg(long, value_name = "FILE", requires = "shard")]
    pub durations: Option<PathBuf>,
    /// Time limit for the whole run in seconds, not counting the image's build
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
    /// Count skipped and vacuous cases as failures
    #[arg(long)]
    pub strict: bool,
    /// Number of machines that run at the same time (default: one for each processor, as far as the memory suffices; 1 with
    /// the host and container backends)
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub jobs: Option<u8>,
    /// Print how long each part took
    #[arg(long)]
    pub timings: bool,
}

/// Arguments of `prove`.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Cases, as for `run` (default: all)
    #[arg(value_name = "CASE")]
    pub cases: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArgs,
    /// Write a report, as for `run`; SARIF is not available
    #[arg(long = "report", visible_alias = "format", value_name = "FORMAT[:FILE]")]
    pub reports: Vec<Spec>,
    /// Time limit for the whole run in seconds, not counting the image's build
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
    /// Number of machines that run at the same time (default: one for each processor, as far as the memory suffices; 1 with
    /// the host and container backends)
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub jobs: Option<u8>,
}

/// Arguments of `selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Names of sabotages (default: all)
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Image to run on
    #[arg(long, default_value = DEFAULT_IMAGE, value_name = "NAME")]
    pub image: String,
    /// Print the table and run nothing
    #[arg(long)]
    pub list: bool,
    /// Number of machines that run at the same time (default: one for each processor, as far as the memory suffices)
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub jobs: Option<u8>,
    /// Time limit for the whole run in seconds, not counting the image's build
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// JSON reports
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Write a report, as for `run`
    #[arg(long = "report", visible_alias = "format", value_name = "FORMAT[:FILE]")]
    pub reports: Vec<Spec>,
    /// Count skipped and vacuous cases as failures, even if the shards were run without this option
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The bundle
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print everything that was seen of this case, as JSON
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The bundle
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `table`.
#[derive(Debug, Args)]
pub struct TableArgs {
    /// JSON reports
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Compare backends: a row for each case whose verdicts differ
    #[arg(long)]
    pub by_backend: bool,
    /// A row for every case
    #[arg(long, requires = "by_backend")]
    pub every: bool,
    /// Write the table into this file, between the lines `<!-- made by virt-aa-conform table -->` and `<!-- end of the
    /// table -->`
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Cases, as for `run` (default: all)
    #[arg(value_name = "CASE")]
    pub cases: Vec<String>,
    /// Image to run on; may be given several times (default: every image that has cases of its own)
    #[arg(long = "image", value_name = "NAME")]
    pub images: Vec<String>,
    /// Profile set that the jobs test
    #[arg(long, value_name = "SET")]
    pub profiles: Option<String>,
    /// Shards for each image; an image with few cases is not split, because each shard boots a machine
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..), value_name = "N")]
    pub shards: u8,
    /// Output format
    #[arg(long, value_enum, default_value_t = PlanFormat::Json)]
    pub format: PlanFormat,
    /// For GitLab: a file of the repository that the pipeline includes, with `default:` for every job
    #[arg(long, value_name = "FILE")]
    pub include: Option<String>,
}

/// Arguments of `emit`.
#[derive(Debug, Args)]
pub struct EmitArgs {
    /// Kind of template
    #[arg(value_enum, value_name = "KIND")]
    pub kind: EmitKind,
    /// Folder to write into; it is created if it is missing
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Overwrite existing files that differ; without this option nothing is written if there is such a file
    #[arg(long)]
    pub force: bool,
}

/// Who runs a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EmitKind {
    /// debian/tests of a Debian source package
    Autopkgtest,
    /// A plan for each image and a test for each folder of cases
    Tmt,
    /// A file that the pipeline of libvirt's repository includes; `plan` generates a child pipeline
    Gitlab,
    /// A workflow for a repository with libvirt's sources; `plan` generates a matrix
    Github,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Cases, as for `run` (default: all)
    #[arg(value_name = "CASE")]
    pub cases: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub struct ShellArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArgs,
    /// Apply the edits of profiles/known-bad/NAME.yaml to the set
    #[arg(long, value_name = "NAME")]
    pub known_bad: Option<String>,
}

/// Arguments of `keeper`.
#[derive(Debug, Args)]
pub struct KeeperArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArgs,
    /// What program and data must be, by their hash
    #[arg(long)]
    pub key: String,
}

/// Arguments of `denials`.
#[derive(Debug, Args)]
pub struct DenialsArgs {
    /// Files with audit text (default: standard input)
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = DenialsFormat::Human)]
    pub format: DenialsFormat,
    /// Image whose profiles are searched for a rule that already denies or allows the access (default: debian-13 if it is
    /// built, else this machine)
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
}

/// Work on images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build images that are not built yet
    Build {
        /// Images (default: debian-13)
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Continue if the index of the suite is past its valid-until date
        #[arg(long)]
        allow_expired_index: bool,
    },
    /// List the recipes and the images built from them
    List {
        /// Print only names, one per line; untested recipes are named on standard error instead
        #[arg(long)]
        names: bool,
    },
    /// Print the folder of a built image
    Path {
        /// Image
        #[arg(default_value = DEFAULT_IMAGE)]
        name: String,
    },
    /// Remove images whose recipe changed or is gone, the remains of interrupted builds, and saved states that
    /// another version of this program or of QEMU made
    Prune,
}

/// Form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

/// Form of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// The whole plan, for programs
    Json,
    /// A job's `strategy.matrix` for GitHub, on one line
    Github,
    /// A child pipeline for GitLab
    Gitlab,
}

/// Form of `denials`' output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DenialsFormat {
    /// A sentence for each denial, and the rule that would allow it
    Human,
    /// An array of records with the kernel's own keys
    Json,
    /// The skeleton of a case
    Case,
}

/// Data files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// cases/**/*.yaml
    Case,
    /// cases/fixtures/*.yaml
    Fixture,
    /// profiles/*.yaml
    ProfileSet,
    /// profiles/known-bad/*.yaml
    KnownBad,
    /// profiles/known-failures.yaml
    KnownFailures,
    /// What `run --report json` writes
    Report,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give whole seconds, at least 1".into()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
