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
/// Cases boot a profile set in a VM, run the real operations under enforcement, and assert that no denial occurs.
#[derive(Debug, Parser)]
#[command(name = "virt-aa-conform", version, max_term_width = 100, after_help = EXIT_STATUSES)]
pub struct Cli {
    /// Folder with cases/, profiles/ and vm-images/
    ///
    /// Without it the first of these that there is: this folder or the nearest one above that has all three;
    /// virt-aa-conform/ in $XDG_DATA_HOME (~/.local/share) or in one of $XDG_DATA_DIRS (/usr/local/share, /usr/share);
    /// what is built into the program. `doctor` says which.
    #[arg(long, global = true, env = root::VARIABLE, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Folder with cases that take the place of all others; fixtures from its fixtures/, if it has that
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
    /// Take each guarded access away and see that its case turns red
    Prove(ProveArgs),
    /// Spoil the evidence of a passing case in every known way, and see that no verdict is green
    ///
    /// Each sabotage of the table is done for real, in a VM, to a case that passes without it: a profile in complain
    /// mode, a record that is lost, an act outside the label. Exit status 0: each gives the verdict that it must give;
    /// 1: one does not; 2: there is no such sabotage; 4: the machine broke.
    Selftest(SelftestArgs),
    /// Join the JSON reports of every shard of a run into one
    ///
    /// Exit status as of `run`, over all cases; 2 where a shard is missing, doubled, or of another run: other image,
    /// set, program or split. The report of a whole run is taken too, to have it in another form.
    Merge(MergeArgs),
    /// Show what a bundle of `run --bundle` says, and with --case all that was seen of one case
    ///
    /// Every file in it is compared with its hash; nothing is judged.
    Show(ShowArgs),
    /// Judge the evidence in a bundle again, and compare with the verdicts that it says
    ///
    /// Needs neither the image nor any privilege. A bundle is no signature: who wants to know where it comes from signs
    /// the file.
    ///
    /// Exit status 0: each verdict, reason and finding comes out the same, also where the run was red; 1: one does not;
    /// 2: the file is no bundle, or not as it was written.
    Verify(VerifyArgs),
    /// Put JSON reports of `run` and `prove` into one table, as Markdown: images by groups of cases
    ///
    /// Reports of one image, set and backend make one row. With --by-backend, of one image: cases by backends, and why
    /// their verdicts differ.
    Table(TableArgs),
    /// Print what would run, as jobs for a CI system: the cases that belong on each image, in shards
    Plan(PlanArgs),
    /// Write templates for another project's CI, from the cases' and images' own data
    ///
    /// DIR is the top of that project's tree, or an empty folder to look at them in. The first lines of each say how it
    /// is used, which variables a site has, by which program it was tried, and what could not be.
    Emit(EmitArgs),
    /// List cases
    List(ListArgs),
    /// Check every data file without running anything
    Check,
    /// Say what this machine can run, what is missing and what installs it
    ///
    /// Exit status 0: everything for the vm backend is there; 4: something is missing, or could not be undone.
    Doctor {
        /// Undo what a run of the host or container backend left behind that was killed
        #[arg(long)]
        repair: bool,
    },
    /// Build, list and remove VM images
    #[command(subcommand)]
    Image(ImageCommand),
    /// Open a root shell in the booted image with the profile set loaded
    Shell(ShellArgs),
    /// Turn audit text into records, sentences with the rule that would allow them, or the skeleton of a case
    ///
    /// Takes what the kernel's log, the journal or audit.log holds, other lines included, of any length, and what people
    /// make of it: wrapped over lines, quoted, in HTML or JSON, with numbers made unreadable. What is cut short, printed
    /// by aa-log or `ausearch -i`, or not read for another reason is told with its line, and makes exit status 2; the
    /// rest is read all the same. Equal records are told once, with their count; as JSON, each.
    Denials(DenialsArgs),
    /// Hold a machine for test processes
    #[command(hide = true)]
    Keeper(KeeperArgs),
    /// Print the JSON Schema of a data file
    Schema {
        /// Which file's
        kind: SchemaKind,
    },
    /// Print what makes a shell complete commands, options, and the names of cases, sets and images
    ///
    /// bash: to virt-aa-conform in ~/.local/share/bash-completion/completions/. zsh: to _virt-aa-conform in a folder
    /// of $fpath. fish: to virt-aa-conform.fish in ~/.config/fish/completions/. The names are those of the data files
    /// at hand.
    Completions {
        /// Shell
        shell: Shell,
    },
    /// Print the manual page, or write it and one for each command into a folder
    Man {
        /// Folder, which must exist
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
    /// Edit the set as profiles/known-bad/NAME.yaml says
    #[arg(long, value_name = "NAME")]
    pub known_bad: Option<String>,
    /// Run the cases with this set too, and report only where the other differs from it
    ///
    /// A case that broke, one that was mended, one that must be denied and no longer is. Exit status 1 if the set that
    /// --profiles and --known-bad name is worse in any of them, 0 if it is no worse, even where both are red.
    #[arg(long, value_name = "SET", conflicts_with_all = ["shard", "strict", "timings"])]
    pub base: Option<String>,
    /// A report and its file: human, json, junit, tap, github, sarif or markdown; may be given several times
    ///
    /// Without FILE, or with `-`, it goes to standard output, which otherwise has the report for people. A file
    /// appears whole when all is done; one of an earlier run is removed at once. `github` is the report for people
    /// with annotations, and appends a summary to $GITHUB_STEP_SUMMARY.
    #[arg(long = "report", visible_alias = "format", value_name = "FORMAT[:FILE]")]
    pub reports: Vec<Spec>,
    /// Write all that the verdicts rest on into this file, for `show` and `verify`
    #[arg(long, value_name = "FILE", conflicts_with = "base")]
    pub bundle: Option<PathBuf>,
    /// Only the K-th of N parts, split evenly by time; `merge` joins their JSON reports
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
    /// JSON report of an earlier run whose times --shard goes by; the same for every part
    #[arg(long, value_name = "FILE", requires = "shard")]
    pub durations: Option<PathBuf>,
    /// Seconds for the whole run, the image's build left out
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
    /// A skipped case is a failure
    #[arg(long)]
    pub strict: bool,
    /// Machines side by side
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub jobs: u8,
    /// Print where the time went
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
    /// A report and its file, as for `run`; SARIF is none of the formats
    #[arg(long = "report", visible_alias = "format", value_name = "FORMAT[:FILE]")]
    pub reports: Vec<Spec>,
    /// Seconds for the whole run, the image's build left out
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
    /// Machines side by side
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub jobs: u8,
}

/// Arguments of `selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Sabotages, by name (default: all)
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Image to run on
    #[arg(long, default_value = DEFAULT_IMAGE, value_name = "NAME")]
    pub image: String,
    /// Print the table without doing anything
    #[arg(long)]
    pub list: bool,
    /// Machines side by side
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub jobs: u8,
    /// Seconds for all of it, the image's build left out
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// JSON reports
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// A report and its file, as for `run`
    #[arg(long = "report", visible_alias = "format", value_name = "FORMAT[:FILE]")]
    pub reports: Vec<Spec>,
    /// A skipped or vacuous case is a failure, also where the shards were run without this
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The bundle
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print all that was seen of this case, as JSON
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
    /// Cases by backends, a line for each case whose verdicts differ
    #[arg(long)]
    pub by_backend: bool,
    /// A line for every case
    #[arg(long, requires = "by_backend")]
    pub every: bool,
    /// Put it into this file, between the lines `<!-- made by virt-aa-conform table -->` and `<!-- end of the table -->`
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Cases, as for `run` (default: all)
    #[arg(value_name = "CASE")]
    pub cases: Vec<String>,
    /// Image to run on; may be given several times (default: every one that has cases of its own)
    #[arg(long = "image", value_name = "NAME")]
    pub images: Vec<String>,
    /// Profile set that the runs are to test
    #[arg(long, value_name = "SET")]
    pub profiles: Option<String>,
    /// Shards for each image; one with few cases is not split, since each shard boots a machine
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..), value_name = "N")]
    pub shards: u8,
    /// Form of the plan
    #[arg(long, value_enum, default_value_t = PlanFormat::Json)]
    pub format: PlanFormat,
    /// Of a GitLab pipeline: a file of the repository that it includes, with `default:` for every job
    #[arg(long, value_name = "FILE")]
    pub include: Option<String>,
}

/// Arguments of `emit`.
#[derive(Debug, Args)]
pub struct EmitArgs {
    /// For whom
    #[arg(value_enum, value_name = "KIND")]
    pub kind: EmitKind,
    /// Folder to write into; it is made where it is missing
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Overwrite files that are other than what is written; without it, one such file and nothing is written
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
    /// A file that the pipeline of libvirt's repository includes; it has `plan` make a child pipeline
    Gitlab,
    /// A workflow of a repository with libvirt's sources; it has `plan` make a matrix
    Github,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Cases, as for `run` (default: all)
    #[arg(value_name = "CASE")]
    pub cases: Vec<String>,
    /// Form of the list
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub struct ShellArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArgs,
    /// Edit the set as profiles/known-bad/NAME.yaml says
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
    /// Files with audit text; standard input where none is named
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = DenialsFormat::Human)]
    pub format: DenialsFormat,
    /// Image whose profiles say what denies or allows it already (default: debian-13 if it is built, else this
    /// machine's own profiles)
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
        /// Go on with a suite's index that is past its valid-until date
        #[arg(long)]
        allow_expired_index: bool,
    },
    /// List the recipes and what is built of them
    List {
        /// Only names, one a line, for scripts; those that are untested are named on standard error instead
        #[arg(long)]
        names: bool,
    },
    /// Print the folder of a built image
    Path {
        /// Image
        #[arg(default_value = DEFAULT_IMAGE)]
        name: String,
    },
    /// Remove images whose recipe changed or is gone, and what interrupted builds left
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
    /// Everything, for programs
    Json,
    /// A job's `strategy.matrix` for GitHub, on one line
    Github,
    /// A child pipeline for GitLab
    Gitlab,
}

/// Form of `denials`' output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DenialsFormat {
    /// One sentence for each, and the rule that would allow it
    Human,
    /// An array of records, keys as the kernel names them
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
