//! `image`: build, list, find and remove images.

use super::args::ImageCommand;
use super::exit;
use super::failure::Failure;
use super::output;
use super::setup;
use crate::image;
use crate::root::Root;

const MIB: u64 = 1024 * 1024;

/// Do what is asked for.
pub fn image(root: &Root, command: &ImageCommand) -> Result<u8, Failure> {
    match command {
        ImageCommand::Build {
            names,
            allow_expired_index,
        } => build(root, names, *allow_expired_index)?,
        ImageCommand::List => {
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
            let pruned = image::prune(&setup::store(root)?).map_err(setup::of_image)?;
            let mut text: String = pruned
                .removed
                .iter()
                .map(|dir| format!("removed {}\n", dir.display()))
                .collect();
            text += &format!("{} MiB freed\n", pruned.bytes / MIB);
            output::print(&text)?;
        }
    }
    Ok(exit::OK)
}

fn build(root: &Root, names: &[String], allow_expired_index: bool) -> Result<(), Failure> {
    let default = [image::DEFAULT.to_owned()];
    let names = if names.is_empty() { &default } else { names };
    // A misspelt name is told before the first of them takes its minute.
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
