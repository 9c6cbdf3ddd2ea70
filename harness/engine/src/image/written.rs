//! A recipe as it is written: it may extend another one.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::recipe::{Filesystem, Recipe, RecipeError, Source, names, nearest};
use super::tree::From;

/// The keys of a recipe's file. In one that extends another, lists are added to and all else is put in place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    extends: Option<String>,
    /// Entries of the other's lists that are left out.
    #[serde(default)]
    omit: Vec<String>,
    suite: Option<String>,
    /// A root file system that is given, in place of a suite and its packages.
    from: Option<From>,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    kernel: Option<String>,
    hypervisor: Option<String>,
    #[serde(default)]
    modules: Vec<String>,
    filesystem: Option<Filesystem>,
    /// Nobody has run the cases on it yet. It is not handed on to who extends it.
    #[serde(default)]
    untested: bool,
}

/// Reads the recipe of that name, and those that it extends.
pub fn read(dir: &Path, name: &str) -> Result<Recipe, RecipeError> {
    let path = dir.join(format!("{name}.yaml"));
    let mut chain = vec![name.to_owned()];
    let mut whole = file(dir, name)?;
    while let Some(base) = whole.extends.take() {
        chain.push(base.clone());
        if chain.iter().filter(|known| **known == base).count() > 1 {
            return Err(RecipeError::Circle { path, chain });
        }
        let invalid = |problem| RecipeError::Invalid {
            path: path.clone(),
            problem,
        };
        whole = whole.over(file(dir, &base)?).map_err(invalid)?;
    }
    whole
        .recipe()
        .map_err(|problem| RecipeError::Invalid { path, problem })
}

fn file(dir: &Path, name: &str) -> Result<RecipeFile, RecipeError> {
    let known = names(dir)?;
    if !known.iter().any(|n| n == name) {
        return Err(RecipeError::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, &known),
            known,
        });
    }
    let path = dir.join(format!("{name}.yaml"));
    let text = fs::read_to_string(&path).map_err(|source| RecipeError::Read {
        path: path.clone(),
        source,
    })?;
    serde_yaml::from_str(&text).map_err(|source| RecipeError::Parse { path, source })
}

impl RecipeFile {
    fn over(self, base: RecipeFile) -> Result<RecipeFile, String> {
        let listed = |entry: &String| {
            [&base.packages, &base.exclude, &base.modules]
                .iter()
                .any(|list| list.contains(entry))
        };
        if let Some(entry) = self.omit.iter().find(|entry| !listed(entry)) {
            return Err(format!("omit: `{entry}` is in no list of what is extended"));
        }
        let both = |first: Vec<String>, second: Vec<String>| {
            let kept = first.into_iter().filter(|entry| !self.omit.contains(entry));
            kept.chain(second).collect()
        };
        // One of the two takes the place of the other, and what is given has its packages already.
        let (suite, from, packages) = match (self.suite, self.from) {
            (None, None) => (base.suite, base.from, both(base.packages, self.packages)),
            (suite, None) => (suite, None, both(base.packages, self.packages)),
            (suite, from) => (suite, from, self.packages),
        };
        Ok(RecipeFile {
            extends: base.extends,
            omit: base.omit,
            suite,
            from,
            packages,
            exclude: both(base.exclude, self.exclude),
            kernel: self.kernel.or(base.kernel),
            hypervisor: self.hypervisor.or(base.hypervisor),
            modules: both(base.modules, self.modules),
            filesystem: self.filesystem.or(base.filesystem),
            untested: self.untested,
        })
    }

    fn recipe(self) -> Result<Recipe, String> {
        if let Some(entry) = self.omit.first() {
            return Err(format!(
                "omit: `{entry}` is left out of nothing, since nothing is extended"
            ));
        }
        let missing = |key: &str| format!("`{key}` is missing");
        let source = match (self.suite, self.from) {
            (Some(suite), None) => Source::Suite(suite),
            (None, Some(from)) => Source::From(from.given()?),
            (None, None) => return Err(missing("suite")),
            (Some(_), Some(_)) => return Err("either `suite` or `from` must stand here, not both".into()),
        };
        Ok(Recipe {
            source,
            packages: self.packages,
            exclude: self.exclude,
            kernel: self.kernel.ok_or_else(|| missing("kernel"))?,
            hypervisor: self.hypervisor,
            modules: self.modules,
            filesystem: self.filesystem.ok_or_else(|| missing("filesystem"))?,
            untested: self.untested,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "suite: trixie\npackages: [apparmor]\nkernel: vmlinuz-*\nmodules: [ext4]\nfilesystem: {size_mib: 900}\n";

    fn read_of(files: &[(&str, &str)], name: &str) -> Result<Recipe, RecipeError> {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            fs::write(dir.path().join(format!("{file}.yaml")), text).unwrap();
        }
        read(dir.path(), name)
    }

    #[test]
    fn lists_are_added_to_and_the_rest_is_put_in_place() {
        let over = "extends: base\npackages: [xen]\nhypervisor: xen-*.gz\nfilesystem: {size_mib: 1200}\n";
        let recipe = read_of(&[("base", BASE), ("over", over)], "over").unwrap();
        assert_eq!(recipe.packages, ["apparmor", "xen"]);
        assert_eq!(
            (recipe.source, recipe.filesystem.size_mib),
            (Source::Suite("trixie".into()), 1200)
        );
        assert_eq!(recipe.hypervisor.as_deref(), Some("xen-*.gz"));
    }

    #[test]
    fn entries_of_the_other_are_left_out_and_nothing_else() {
        let over = "extends: base\nomit: [ext4]\nmodules: [xfs]\n";
        let recipe = read_of(&[("base", BASE), ("over", over)], "over").unwrap();
        assert_eq!(
            (recipe.modules, recipe.packages),
            (vec!["xfs".to_owned()], vec!["apparmor".to_owned()])
        );
        let stray = read_of(
            &[("base", BASE), ("over", "extends: base\nomit: [ext5]\n")],
            "over",
        )
        .unwrap_err();
        assert!(stray.to_string().contains("`ext5` is in no list"), "{stray}");
        let alone = read_of(&[("base", &format!("{BASE}omit: [ext4]\n"))], "base").unwrap_err();
        assert!(alone.to_string().contains("left out of nothing"), "{alone}");
    }

    #[test]
    fn a_given_tree_takes_the_place_of_suite_and_packages() {
        let over = "extends: base\nfrom: {dir: /srv/tree}\nuntested: true\n";
        let recipe = read_of(&[("base", BASE), ("over", over)], "over").unwrap();
        let given = crate::image::tree::Given::Dir("/srv/tree".into());
        assert_eq!(recipe.source, Source::From(given));
        assert_eq!(
            (recipe.packages, recipe.modules),
            (vec![], vec!["ext4".to_owned()])
        );
        assert!(recipe.untested);
        // Whoever extends an untested recipe is another one.
        let tested = [("base", BASE), ("over", over), ("top", "extends: over\n")];
        assert!(!read_of(&tested, "top").unwrap().untested);
    }

    #[test]
    fn recipes_that_extend_each_other_and_strangers_are_told() {
        let circle = read_of(&[("a", "extends: b"), ("b", "extends: a")], "a").unwrap_err();
        assert!(circle.to_string().ends_with("a -> b -> a"), "{circle}");
        let stranger = read_of(&[("base", BASE), ("a", "extends: bsae")], "a").unwrap_err();
        assert!(
            stranger.to_string().contains("did you mean `base`?"),
            "{stranger}"
        );
    }
}
