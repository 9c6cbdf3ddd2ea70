//! `check`: reads and checks every data file; runs nothing.

use super::failure::{Failure, coloured_errors};
use super::output;
use crate::exit;
use crate::report::human::count;
use virt_aa_engine::image::{ImageError, RecipeError};
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;
use virt_aa_model::data;
use virt_aa_model::yaml::error::DataError;

/// Check the data files.
pub fn check(root: &Root) -> Result<u8, Failure> {
    let (recipes, mut errors) = recipes(root)?;
    match data::read(&root.dir, root.cases.as_deref()) {
        Ok(data) if errors.is_empty() => {
            let counts = [
                (data.cases.len(), "case"),
                (data.fixtures.len(), "fixture"),
                (data.sets.manifests.len(), "profile set"),
                (data.sets.known_bad.len(), "known-bad set"),
                (data.known.0.len(), "known failure"),
                (recipes, "image recipe"),
            ];
            let counts = counts.map(|(number, what)| count(number, what));
            output::print(&format!("{}: all well\n", counts.join(", ")))?;
            Ok(exit::OK)
        }
        Ok(_) => Err(Failure::data(&errors, coloured_errors())),
        Err(mut found) => {
            errors.append(&mut found);
            errors.sort_by(DataError::order);
            Err(Failure::data(&errors, coloured_errors()))
        }
    }
}

/// How many recipes are valid, and the errors of the others.
fn recipes(root: &Root) -> Result<(usize, Vec<DataError>), Failure> {
    let store = setup::store(root)?;
    let mut right = 0;
    let mut errors = Vec::new();
    for name in store.names().map_err(setup::of_image)? {
        match store.recipe(&name) {
            Ok(_) => right += 1,
            Err(ImageError::Recipe(RecipeError::Data(error))) => errors.push(*error),
            Err(other) => return Err(setup::of_image(other).into()),
        }
    }
    // An error in a recipe that others extend is reported once.
    errors.sort_by(DataError::order);
    errors.dedup();
    Ok((right, errors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const RECIPE: &str =
        "suite: trixie\npackages: [one]\nkernel: k\nmodules: []\nfilesystem: {size_mib: 900}\n";

    fn root(recipe: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["cases", "cases/fixtures", "profiles", "vm-images"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("vm-images/one.yaml"), recipe).unwrap();
        dir
    }

    #[test]
    fn a_right_recipe_is_counted() {
        let dir = root(RECIPE);
        let (right, errors) = recipes(&Root::at(dir.path())).unwrap();
        assert_eq!((right, errors), (1, vec![]));
    }

    #[rstest::rstest]
    #[case::key("suite: trixie\npackagse: [one]\n", "vm-images/one.yaml:2:1: ")]
    #[case::rule(&RECIPE.replace("[one]", "['--evil']"), "vm-images/one.yaml:2:12: `--evil` is not the name of a package")]
    fn a_wrong_recipe_is_named_with_its_place(#[case] recipe: &str, #[case] start: &str) {
        let dir = root(recipe);
        let (right, errors) = recipes(&Root::at(dir.path())).unwrap();
        assert_eq!(right, 0);
        let text = errors[0].to_string();
        assert!(text.starts_with(start), "{text}");
    }
}
