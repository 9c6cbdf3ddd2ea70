//! `show` and `verify`: print a bundle, and check it.

use super::args::{ShowArgs, VerifyArgs};
use super::failure::Failure;
use super::output::{self, printable};
use crate::bundle::{self, Bundle};
use crate::exit;
use crate::report::human::{self, Paint};

/// Print the report in a bundle, or all evidence of one case.
pub fn show(args: &ShowArgs) -> Result<u8, Failure> {
    let bundle = bundle::read(&args.file).map_err(Failure::usage)?;
    let text = match &args.case {
        None => human::report(&bundle.report, Paint(false)),
        Some(id) => {
            let case = bundle.cases.iter().find(|case| case.id == *id).ok_or_else(|| {
                Failure::usage(format!(
                    "there is no evidence of a case {id} in the bundle; it has: {}",
                    ids(&bundle)
                ))
            })?;
            serde_json::to_string_pretty(case).map_err(Failure::broken)? + "\n"
        }
    };
    output::print(&printable_lines(&text))?;
    Ok(exit::OK)
}

/// Makes text printable, since a bundle may come from anybody.
fn printable_lines(text: &str) -> String {
    text.lines().map(|line| printable(line) + "\n").collect()
}

fn ids(bundle: &Bundle) -> String {
    let ids: Vec<&str> = bundle.cases.iter().map(|case| case.id.as_str()).collect();
    ids.join(", ")
}

/// Judge the cases again, and print what differs.
pub fn verify(args: &VerifyArgs) -> Result<u8, Failure> {
    let bundle = bundle::read(&args.file).map_err(Failure::usage)?;
    let checked = bundle::verify(&bundle);
    let mut text = format!(
        "{}\n{} judged again, {} without evidence\n",
        human::heading(&bundle.report.run),
        human::count(checked.judged, "case"),
        checked.without_evidence.len()
    );
    for case in &checked.without_evidence {
        text += &format!("without evidence: {case}\n");
    }
    for difference in &checked.differences {
        let case = difference.case.as_deref().map(|case| format!("{case}: "));
        text += &format!("differs: {}{}\n", case.unwrap_or_default(), difference.text);
    }
    let holds = checked.differences.is_empty();
    text += if holds {
        "the bundle holds: every verdict comes out the same\n"
    } else {
        "the bundle does not hold\n"
    };
    text += &format!("the run: {}\n", human::summary(&bundle.report));
    output::print(&printable_lines(&text))?;
    Ok(if holds { exit::OK } else { exit::RED })
}
