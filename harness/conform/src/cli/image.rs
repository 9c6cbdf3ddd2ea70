//! `image`: build, list, find and remove images.

use super::args::ImageCommand;
use super::failure::Failure;
use super::output;
use crate::exit;
use virt_aa_engine::image::{self, Store};
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;
use virt_aa_engine::state;

const MIB: u64 = 1024 * 1024;

/// Run the subcommand.
pub fn image(root: &Root, command: &ImageCommand) -> Result<u8, Failure> {
    match command {
        ImageCommand::Build {
            names,
            allow_expired_index,
        } => build(root, names, *allow_expired_index)?,
        ImageCommand::List { names: true } => output::print(
            &tested(&setup::store(root)?)?
                .iter()
                .map(|name| format!("{name}\n"))
                .collect::<String>(),
        )?,
        ImageCommand::List { names: false } => {
            let rows = image::list(&setup::store(root)?).map_err(setup::of_image)?;
            output::print(&rows.iter().map(|row| format!("{row}\n")).collect::<String>())?;
        }
        ImageCommand::Path { name } => {
            let found = image::find(&setup::store(root)?, name).map_err(setup::of_image)?;
            let Some(found) = found else {
                return Err(Failure::broken(format!(
                    "image {name} is not built; build it with: virt-aa-conform image build {name}"
                )));
            };
            output::print(&format!("{}\n", found.dir.display()))?;
        }
        ImageCommand::Prune => {
            let store = setup::store(root)?;
            let pruned = image::prune(&store).map_err(setup::of_image)?;
            let states = state::prune(store.images_dir());
            let bytes = pruned.bytes + states.iter().map(|state| state.bytes).sum::<u64>();
            let removed = pruned.removed.iter().chain(states.iter().map(|state| &state.dir));
            let mut text: String = removed
                .map(|dir| format!("removed {}\n", dir.display()))
                .collect();
            text += &format!("{} MiB freed\n", bytes / MIB);
            output::print(&text)?;
        }
    }
    Ok(exit::OK)
}

/// The images on which the cases have been run. The others are named on standard error.
pub fn tested(store: &Store) -> Result<Vec<String>, Failure> {
    let mut tested = Vec::new();
    let mut untested = Vec::new();
    for name in store.names().map_err(setup::of_image)? {
        let recipe = store.recipe(&name).map_err(setup::of_image)?;
        if recipe.untested {
            &mut untested
        } else {
            &mut tested
        }
        .push(name);
    }
    if !untested.is_empty() {
        eprintln!(
            "left out, because nobody has run the cases on them yet: {}",
            untested.join(", ")
        );
    }
    Ok(tested)
}

fn build(root: &Root, names: &[String], allow_expired_index: bool) -> Result<(), Failure> {
    let default = [image::DEFAULT.to_owned()];
    let names = if names.is_empty() { &default } else { names };
    // A misspelt name is reported before the first build takes its minute.
    let store = setup::store(root)?;
    for name in names {
        store.recipe(name).map_err(setup::of_image)?;
    }
    for name in names {
        let built = setup::image(root, name, allow_expired_index)?;
        output::print(&format!("{name}: {}\n", built.dir.display()))?;
    }
    Ok(())
}
