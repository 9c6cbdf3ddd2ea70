//! The command line.

mod running;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::running::{ProveArgs, RunArgs, SelftestArgs};
use super::reports::Spec;
pub use super::target::{BackendArg, DEFAULT_IMAGE, DEFAULT_SET, EngineArg, TargetArgs};
use crate::exit::{EXIT_STATUSES, VERDICTS};
use virt_aa_engine::root;

/// Decides whether a change to libvirt's AppArmor profiles may ship.
///
/// It boots a distribution's image in a virtual machine (or uses this host, or a container), loads a profile set, performs
/// real operations under enforcement, and checks that each operation worked and that AppArmor denied nothing except what a
/// case says it must deny. A case is a file that describes such operations.
#[derive(Debug, Parser)]
#[command(name = "virt-aa-conform", version, max_term_width = 100, after_help = EXIT_STATUSES)]
pub struct Cli {
    /// Folder with the data files: cases/, profiles/ and vm-images/
    ///
    /// Without this option, the first of these is used: the current folder or the nearest folder above it that has all
    /// three; virt-aa-conform/ in $XDG_DATA_HOME (~/.local/share) or in one of $XDG_DATA_DIRS (/usr/local/share,
    /// /usr/share); the data built into the program. `doctor` says which.
    #[arg(long, global = true, env = root::VARIABLE, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Read the cases from this folder instead of from cases/
    ///
    /// A fixture is a file with a script that sets up what cases need, such as a network bridge. If the folder contains
    /// fixtures/, the fixtures are read from there, else from cases/fixtures/.
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
    ///
    /// A case may have several variants. Each of them runs once under each profile with the role that the case names.
    #[command(after_help = VERDICTS)]
    Run(RunArgs),
    /// Take away each permission that a case needs, one at a time, and check that the case then turns red because of it
    ///
    /// Such a permission is a guard of the case, and the profile set without it is a mutant. If the case turns red because
    /// of the denial that the guard names, the outcome is `killed`: the guard is proven. `run` prints how many guards of a
    /// case are proven with this image and profile set.
    ///
    /// Outcomes that count as failures (exit status 1): survived (the case does not turn red), red by another denial, no
    /// such rule, does not compile, same binary as the base, base not green, inconclusive. Outcomes that count neither as
    /// success nor as failure: class not mediated, not applicable, no edit mends it.
    Prove(ProveArgs),
    /// Spoil the evidence of a passing case in every known way, and check the verdicts
    ///
    /// A sabotage makes the evidence of a case worthless. For example, it puts the profile into complain mode, drops an
    /// audit record, or performs the operation under another label. `selftest` has a fixed table of sabotages (see --list).
    /// It applies each of them, in a virtual machine, to a case that passes without it.
    ///
    /// Exit status 0: every sabotage gives the verdict that the table names; 1: at least one does not; 2: there is no such
    /// sabotage; 4: virt-aa-conform itself or a virtual machine failed.
    Selftest(SelftestArgs),
    /// Join the JSON reports of all shards of a run
    ///
    /// The exit status is that of `run` over all cases. It is 2 if a shard is missing, is given twice, or is from another
    /// run: for example with another image, profile set, version of virt-aa-conform or number of shards. Given the report
    /// of a whole run, `merge` converts it to another format.
    Merge(MergeArgs),
    /// Show the report in a bundle; with --case, everything that was recorded about one run of a case
    ///
    /// A bundle is the file that `run --bundle` writes. `show` checks the hash of every file in it. It does not judge the
    /// evidence again; `verify` does.
    Show(ShowArgs),
    /// Judge the evidence in a bundle again, and compare the verdicts
    ///
    /// A bundle is the file that `run --bundle` writes. `verify` needs neither the image nor any privilege. A bundle is not
    /// a signature: to prove where it comes from, sign the file.
    ///
    /// `verify` compares the verdict, the reason and the findings of each case with the report. A finding is one thing that
    /// is wrong with a case, such as a denial. Exit status 0: all are the same, even if the run was red; 1: at least one
    /// differs, or the bundle contradicts itself or proves nothing; 2: the file is not a bundle, or was changed.
    Verify(VerifyArgs),
    /// Make a Markdown table of JSON reports of `run` and `prove`: one row for each image, profile set and backend
    ///
    /// With --by-backend, all reports must be of the same image. The table then has a row for each case whose verdicts
    /// differ between the backends, with the reasons.
    Table(TableArgs),
    /// Print the jobs that a CI system would run: the cases of each image, split into shards
    Plan(PlanArgs),
    /// Write templates for another project's CI, generated from the cases and images
    ///
    /// DIR is the top of that project's tree, or any other folder from which you copy the files. The first lines of each
    /// template say how to use it, which variables it has, with which program it was tried, and what could not be tried.
    Emit(EmitArgs),
    /// List cases
    List(ListArgs),
    /// Check all data files; run nothing
    ///
    /// The data files are the cases, fixtures, profile sets, known-bad sets, known failures and image recipes.
    Check,
    /// Say what this host can run, what is missing, and what installs it
    ///
    /// Exit status 0: everything for the vm backend is there; 5: something is missing; 4: the program's own files cannot be
    /// read, or --repair failed.
    Doctor {
        /// Undo what a killed run of the host or container backend left behind
        #[arg(long)]
        repair: bool,
    },
    /// Build, list and remove images for virtual machines
    ///
    /// A recipe, a file in vm-images/, says how to build an image and from which packages. The image has the name of its
    /// recipe.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Start a virtual machine with the image, load the profile set, and open a root shell in it
    ///
    /// When the shell ends, the virtual machine ends. There is no shell with the host and container backends.
    Shell(ShellArgs),
    /// Explain denials: as sentences with the rule that would allow them, as JSON, or as skeletons of cases
    ///
    /// The input is text from the kernel's log, the journal or audit.log (lines without a record are ignored), or records
    /// as people post them: wrapped over several lines, quoted, in HTML or JSON, or with redacted numbers.
    ///
    /// A record that cannot be read is reported with its line number: for example, because it is cut short, or because
    /// aa-log or `ausearch -i` reformatted it. The rest is still read, and the exit status is 2. Equal records are printed
    /// once, with their count; --format json prints each of them.
    Denials(DenialsArgs),
    /// Hold a machine for test processes
    #[command(hide = true)]
    Keeper(KeeperArgs),
    /// Print the JSON Schema of a kind of data file, or of the JSON report
    Schema {
        /// Kind of file
        kind: SchemaKind,
    },
    /// Print a script by which a shell completes commands, options, and names from the data files
    ///
    /// Write it to ~/.local/share/bash-completion/completions/virt-aa-conform for bash, to _virt-aa-conform in a folder of
    /// $fpath for zsh, or to ~/.config/fish/completions/virt-aa-conform.fish for fish.
    ///
    /// The script contains the names of cases, profile sets, known-bad sets and images as they are now. Print it again
    /// after a change of the data files.
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

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// JSON reports
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Write a report, as for `run`
    #[arg(long = "report", visible_alias = "format", value_name = "FORMAT[:FILE]")]
    pub reports: Vec<Spec>,
    /// Count the verdicts skip and vacuous as failures, even if the shards were run without this option
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The bundle
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print everything that was recorded about this run, as JSON; CASE is its whole name in the report, such as
    /// packet-raw:all@libvirtd
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
    /// With --by-backend: a row for every case, also where the verdicts agree
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
    /// Choose the slow cases too, which start guests; without this option they are chosen only by name
    #[arg(long)]
    pub all: bool,
    /// Image to run on; may be given several times (default: those that `image list --names` prints)
    ///
    /// An image has no job if none of the cases belongs on it. For example, only cases that need Xen belong on an image
    /// with Xen.
    #[arg(long = "image", value_name = "NAME")]
    pub images: Vec<String>,
    /// Profile set that the jobs test
    #[arg(long, value_name = "SET")]
    pub profiles: Option<String>,
    /// Shards for each image; an image with few cases has fewer, because each shard starts its own virtual machine
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..), value_name = "N")]
    pub shards: u8,
    /// Output format
    #[arg(long, value_enum, default_value_t = PlanFormat::Json)]
    pub format: PlanFormat,
    /// For GitLab: file in the repository for the child pipeline to include
    ///
    /// Put settings for all jobs there, under GitLab's keyword `default:`.
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
    /// The folder debian/tests, for Debian's source package of libvirt
    Autopkgtest,
    /// A tmt plan for each image, and a tmt test for each folder of cases
    Tmt,
    /// Files for the pipeline of libvirt's repository; one of its jobs runs `virt-aa-conform plan` to generate a child
    /// pipeline
    Gitlab,
    /// A workflow for a repository with libvirt's sources; one of its jobs runs `virt-aa-conform plan` to generate a matrix
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
    /// Put a deliberate error into the profile set: the edits in profiles/known-bad/NAME.yaml
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
    /// built, else this host)
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
}

/// Work on images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build the named images, except those that are already built
    Build {
        /// Images, by the names of their recipes (default: debian-13)
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Continue if the package index of the suite is past its valid-until date
        #[arg(long)]
        allow_expired_index: bool,
    },
    /// List the recipes and the images built from them
    List {
        /// Print only the names of the tested recipes, one per line; those marked as untested go to standard error
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
    /// another version of virt-aa-conform or of QEMU made
    ///
    /// A saved state is the state of a booted virtual machine, from which later runs start instead of booting.
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
    /// One skeleton of a case for each access that was refused; fill in the places marked FILL IN
    Case,
}

/// Data files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// cases/**/*.yaml, except cases/fixtures/
    Case,
    /// cases/fixtures/*.yaml
    Fixture,
    /// profiles/*.yaml, except known-failures.yaml: where a set's profiles come from, and which roles they have
    ProfileSet,
    /// profiles/known-bad/*.yaml: edits that put a deliberate error into a set
    KnownBad,
    /// profiles/known-failures.yaml
    KnownFailures,
    /// The JSON report, which `run --report json` writes
    Report,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
