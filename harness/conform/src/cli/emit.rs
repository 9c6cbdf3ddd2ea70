//! `emit`: templates for other projects' CI.

use std::collections::BTreeMap;

use super::args::{EmitArgs, EmitKind};
use super::failure::Failure;
use super::output;
use crate::emit::facts::Facts;
use crate::emit::write::{Outcome, WriteError, write};
use crate::emit::{autopkgtest, github, gitlab, tmt};
use crate::exit;
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;

/// Write the templates and print what was written.
pub fn emit(root: &Root, args: &EmitArgs) -> Result<u8, Failure> {
    let data = setup::data(root)?;
    let store = setup::store(root)?;
    let mut recipes = BTreeMap::new();
    for name in store.names().map_err(setup::of_image)? {
        let recipe = store.recipe(&name).map_err(setup::of_image)?;
        recipes.insert(name, recipe);
    }
    let facts = Facts::of(&data, &recipes);
    let files = match args.kind {
        EmitKind::Autopkgtest => autopkgtest::files(&facts),
        EmitKind::Tmt => tmt::files(&facts),
        EmitKind::Gitlab => gitlab::files(&facts),
        EmitKind::Github => github::files(&facts),
    };
    let told = write(&args.dir, &files, args.force).map_err(|error| match error {
        WriteError::Differ(_) => Failure::usage(error),
        WriteError::Access { .. } => Failure::broken(error),
    })?;
    let lines = told.iter().map(|(path, outcome)| {
        let outcome = match outcome {
            Outcome::Written => "written",
            Outcome::Unchanged => "unchanged",
        };
        format!("{outcome:<10} {}\n", path.display())
    });
    output::print(&lines.collect::<String>())?;
    Ok(exit::OK)
}
