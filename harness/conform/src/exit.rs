//! Exit statuses: documented here, in `--help` and in README.md.

use virt_aa_model::profile_set::Unusable;
use virt_aa_model::report::model::Report;
use virt_aa_model::verdict::judge::Verdict;

/// Everything that was asked for holds.
pub const OK: u8 = 0;
/// A case is red, or a guard is not killed.
pub const RED: u8 = 1;
/// The command line or a data file is wrong.
pub const USAGE: u8 = 2;
/// Evidence is incomplete: nothing is red, but something is not proven green.
pub const INCONCLUSIVE: u8 = 3;
/// virt-aa-conform itself, the image or the virtual machine failed.
pub const BROKEN: u8 = 4;

/// This host lacks something that can be added. Only `doctor` returns this.
pub const MISSING: u8 = 5;

/// For `--help`.
pub const EXIT_STATUSES: &str = "Exit status:
  0    everything asked for holds; run: every case passes or is a known
       failure (without --strict, also vacuous and skip)
  1    run, merge: a case is red: fail or unexpected-pass (with --strict, also
       vacuous and skip);
       run, prove: AppArmor's parser refuses a profile of the set under test;
       run --base: the set is worse than the base;
       prove: the outcome of a guard is a failure, such as survived;
       selftest: a sabotage gives another verdict than expected;
       verify: a verdict, its reason or a finding comes out differently
  2    the command line or a data file is wrong;
       denials: some input could not be read;
       merge: a shard is missing, is given twice, or is from another run;
       show, verify: the file is not a bundle, or was changed
  3    run, merge: nothing is red, but a verdict is inconclusive, or there is
       none, because no case belongs on the image;
       run --base: a case could not be compared;
       prove: there was no guard to prove
  4    virt-aa-conform itself, the image or the virtual machine failed;
       doctor: the program's own files cannot be read, or --repair failed
  5    doctor: the host lacks something
  130  interrupted (143: terminated); every child process has been ended

If several apply, 4 takes precedence over 1, and 1 over 3.";

/// For `run --help`.
pub const VERDICTS: &str = "Verdicts:
  pass             the case holds, and the evidence is complete
  known-failure    the case fails exactly as profiles/known-failures.yaml says
  vacuous          the kernel or the profile does not mediate what the case is
                   about, so a pass would mean nothing
  skip             the image or the host cannot provide what the case needs
  fail             red: AppArmor denied a step that it must allow, or allowed a
                   step that it must deny, or a step did not have its effect
  unexpected-pass  red: a known failure no longer occurs
  inconclusive     the evidence is incomplete
  error            virt-aa-conform itself or the virtual machine failed, or the
                   time limit was over";

/// The exit status of a run.
pub fn of_verdicts(verdicts: impl Iterator<Item = Verdict>, strict: bool) -> u8 {
    let of = |verdict| match verdict {
        Verdict::Pass | Verdict::KnownFailure => OK,
        Verdict::Vacuous | Verdict::Skip if !strict => OK,
        Verdict::Fail | Verdict::UnexpectedPass | Verdict::Vacuous | Verdict::Skip => RED,
        Verdict::Inconclusive => INCONCLUSIVE,
        Verdict::Error => BROKEN,
    };
    // If nothing was run, nothing is shown.
    worst(verdicts.map(of)).unwrap_or(INCONCLUSIVE)
}

/// The worst wins: broken, then red, then inconclusive.
pub fn worst(statuses: impl Iterator<Item = u8>) -> Option<u8> {
    let order = [OK, INCONCLUSIVE, RED, BROKEN];
    let rank = |status: &u8| order.iter().position(|known| known == status);
    statuses.max_by_key(rank)
}

/// A file of the set that could not be loaded was not tested, so the run is not green.
pub fn of_unusable(unusable: &[Unusable]) -> u8 {
    if unusable.is_empty() { OK } else { RED }
}

/// The exit status of a run, by its report.
pub fn of_report(report: &Report) -> u8 {
    let verdicts = of_verdicts(report.cases.iter().map(|case| case.verdict), report.strict);
    let unusable = of_unusable(&report.run.profile_set.unusable);
    worst([verdicts, unusable].into_iter()).unwrap_or(INCONCLUSIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_file_that_was_not_tested_is_not_green() {
        let unusable = Unusable {
            file: "f".into(),
            message: "m".into(),
        };
        assert_eq!(of_unusable(&[]), OK);
        assert_eq!(worst([OK, of_unusable(&[unusable])].into_iter()), Some(RED));
    }

    #[rstest]
    #[case::green(&[Verdict::Pass, Verdict::KnownFailure, Verdict::Skip], false, OK)]
    #[case::strict(&[Verdict::Pass, Verdict::Skip], true, RED)]
    #[case::red_before_inconclusive(&[Verdict::Inconclusive, Verdict::Fail], false, RED)]
    #[case::inconclusive_is_not_green(&[Verdict::Inconclusive, Verdict::Pass], false, INCONCLUSIVE)]
    #[case::gone_bug(&[Verdict::UnexpectedPass], false, RED)]
    #[case::nothing_shows_nothing(&[], false, INCONCLUSIVE)]
    #[case::broken_before_all(&[Verdict::Fail, Verdict::Error], false, BROKEN)]
    fn the_worst_verdict_makes_the_status(
        #[case] verdicts: &[Verdict],
        #[case] strict: bool,
        #[case] status: u8,
    ) {
        assert_eq!(of_verdicts(verdicts.iter().copied(), strict), status);
    }
}
