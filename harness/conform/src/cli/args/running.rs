//! The options of the commands that run cases.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use virt_aa_model::shard::Shard;

use super::super::reports::Spec;
use super::{DEFAULT_IMAGE, TargetArgs};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Cases: NAME, NAME:VARIANT, a whole name as the report prints it, a folder, or a glob over these (default: all)
    ///
    /// The report prints whole names such as packet-raw:all@libvirtd. A folder is a folder below cases/, such as network.
    /// A glob has * and ?, and may begin with the folder: 'network/*'.
    #[arg(value_name = "CASE")]
    pub cases: Vec<String>,
    /// Choose the slow cases too, which start guests; without this option they are chosen only by name
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArgs,
    /// Put a deliberate error into the profile set: the edits in profiles/known-bad/NAME.yaml
    #[arg(long, value_name = "NAME")]
    pub known_bad: Option<String>,
    /// Run the cases with this set as well, and report only what differs
    ///
    /// Exit status 0: the set that --profiles and --known-bad name is no worse than this base, even if both are red;
    /// 1: it is worse in at least one case; 3: at least one case could not be compared, because its evidence is incomplete
    /// with one of the sets; 4: virt-aa-conform itself or a virtual machine failed.
    #[arg(long, value_name = "SET", conflicts_with_all = ["shard", "strict", "timings"])]
    pub base: Option<String>,
    /// Write a report: human, json, junit, tap, github, sarif or markdown; may be given several times
    ///
    /// Without this option, the report has the format `human` and goes to standard output. A report without FILE, or with
    /// `-`, replaces it there. Report files are written atomically at the end; a stale file from an earlier run is deleted
    /// first. `github` adds annotations to the `human` report, and appends a summary to $GITHUB_STEP_SUMMARY.
    #[arg(long = "report", visible_alias = "format", value_name = "FORMAT[:FILE]")]
    pub reports: Vec<Spec>,
    /// Write everything that the verdicts rest on into this file (a bundle), for `show` and `verify`
    #[arg(long, value_name = "FILE", conflicts_with = "base")]
    pub bundle: Option<PathBuf>,
    /// Run only the K-th of N shards; all take about the same time, and `merge` joins their JSON reports
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
    /// JSON report of an earlier run, from which --shard takes the duration of each case; give all shards the same file
    #[arg(long, value_name = "FILE", requires = "shard")]
    pub durations: Option<PathBuf>,
    /// Time limit for the whole run in seconds, not counting the image's build
    ///
    /// Cases that have not ended by then get the verdict error, and the exit status is 4.
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
    /// Count the verdicts skip and vacuous as failures
    #[arg(long)]
    pub strict: bool,
    /// Number of virtual machines that run at the same time (default: one for each processor of the host, as far as its
    /// memory suffices; 1 with the host and container backends)
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub jobs: Option<u8>,
    /// Print how long the boot, the compilation of the profiles and the cases took
    #[arg(long)]
    pub timings: bool,
    /// After the run, wait for changes of the cases or profiles, and run the cases that each change affects, until Ctrl-C
    ///
    /// A case is affected if its file, its fixtures, its known failures, or what the parser makes of its profiles has
    /// changed. The folders cases/ and profiles/ are watched, and the one that --profiles names.
    #[arg(long, conflicts_with_all = ["base", "bundle", "shard"])]
    pub watch: bool,
}

/// Arguments of `prove`.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Cases, as for `run` (default: all)
    #[arg(value_name = "CASE")]
    pub cases: Vec<String>,
    /// Choose the slow cases too, which start guests; without this option they are chosen only by name
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArgs,
    /// Write a report, as for `run`; SARIF is not available
    #[arg(long = "report", visible_alias = "format", value_name = "FORMAT[:FILE]")]
    pub reports: Vec<Spec>,
    /// Time limit for the whole run in seconds, not counting the image's build
    ///
    /// Guards that are not proven by then have the outcome `inconclusive`.
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
    /// Number of virtual machines that run at the same time (default: one for each processor of the host, as far as its
    /// memory suffices; 1 with the host and container backends)
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub jobs: Option<u8>,
}

/// Arguments of `selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Names of sabotages (default: all)
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Image to run on, one of those that `image list` prints
    #[arg(long, default_value = DEFAULT_IMAGE, value_name = "NAME")]
    pub image: String,
    /// Print the table and run nothing
    #[arg(long)]
    pub list: bool,
    /// Number of virtual machines that run at the same time (default: one for each processor of the host, as far as its
    /// memory suffices)
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub jobs: Option<u8>,
    /// Time limit for the whole run in seconds, counting the image's build
    ///
    /// A sabotage that the limit cuts short counts as one that does not give its verdict.
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give whole seconds, at least 1".into()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
    }
}
