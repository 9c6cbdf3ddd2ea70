//! `plan`: lists what would run, for a CI system that spreads it over machines.

use std::collections::BTreeSet;

use super::args::{PlanArgs, PlanFormat};
use super::failure::Failure;
use super::image::tested;
use super::output;
use super::select::{all_roles, select};
use crate::ci_jobs::{self, Group};
use crate::exit;
use virt_aa_engine::placement::{Placement, of_case, of_recipe, place};
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;

/// Print the jobs. Neither builds an image nor needs one.
pub fn plan(root: &Root, args: &PlanArgs) -> Result<u8, Failure> {
    let data = setup::data(root)?;
    let mut selection = select(&data, &all_roles(&data), &args.cases)?;
    if args.cases.is_empty() && !args.all {
        selection.retain_quick();
    }
    let variants = selection
        .variants
        .iter()
        .map(|variant| variant.loaded.case.name.as_str());
    let chosen: BTreeSet<&str> = variants
        .chain(
            selection
                .skipped
                .iter()
                .map(|(variant, _)| variant.loaded.case.name.as_str()),
        )
        .collect();
    let store = setup::store(root)?;
    let images = if args.images.is_empty() {
        tested(&store)?
    } else {
        args.images.clone()
    };
    let mut groups: Vec<Group> = Vec::new();
    for image in images {
        let had = of_recipe(&store.recipe(&image).map_err(setup::of_image)?);
        let cases = data.cases.iter().filter(|loaded| {
            chosen.contains(loaded.case.name.as_str())
                && place(&of_case(&data, loaded), &had) == Placement::Here
        });
        groups.push(Group {
            cases: cases.map(|loaded| loaded.case.name.clone()).collect(),
            image,
        });
    }
    let jobs = ci_jobs::jobs(&groups, usize::from(args.shards), &more(args));
    if jobs.is_empty() {
        return Err(Failure::usage(
            "no chosen case belongs on a chosen image, so nothing would run",
        ));
    }
    let text = match args.format {
        PlanFormat::Json => ci_jobs::as_json(&jobs).map_err(Failure::broken)?,
        PlanFormat::Github => ci_jobs::as_github(&jobs).map_err(Failure::broken)?,
        PlanFormat::Gitlab => ci_jobs::as_gitlab(&jobs, args.include.as_deref()).map_err(Failure::broken)?,
    };
    output::print(&text)?;
    Ok(exit::OK)
}

/// The arguments of each run besides its image and shard.
fn more(args: &PlanArgs) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(set) = &args.profiles {
        words.extend(["--profiles".to_string(), set.clone()]);
    }
    if args.all {
        words.push("--all".into());
    }
    words.extend(args.cases.iter().cloned());
    words
}
