//! A recipe as its file has it: it may extend another one.

use std::path::Path as FilePath;

use serde::Deserialize;
use virt_aa_model::yaml::document::Document;
use virt_aa_model::yaml::error::DataError;
use virt_aa_model::yaml::node::Part;
use virt_aa_model::yaml::path::Path;
use virt_aa_model::yaml::{source, suggest};

use super::recipe::{Filesystem, Recipe, RecipeError, Source, names};
use super::tree::From;

/// The keys of a recipe's file. If it extends another recipe, lists are appended and all else replaces the other's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    extends: Option<String>,
    /// Entries of the other recipe's lists that are left out.
    #[serde(default)]
    omit: Vec<String>,
    suite: Option<String>,
    /// An existing root file system, in place of a suite and its packages.
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
    /// Nobody has run the cases on it yet. Recipes that extend it do not inherit this.
    #[serde(default)]
    untested: bool,
}

/// Reads the recipe of that name, and those that it extends.
pub fn read(dir: &FilePath, name: &str) -> Result<Recipe, RecipeError> {
    let known = names(dir)?;
    let is_known = |name: &String| known.contains(name);
    if !is_known(&name.to_owned()) {
        return Err(RecipeError::Unknown {
            name: name.to_owned(),
            help: suggest::help(name, known.iter().map(String::as_str)),
        });
    }
    let mut chain = vec![name.to_owned()];
    let (mut whole, top) = file(dir, name)?;
    let mut extending = top.clone();
    while let Some(base) = whole.extends.take() {
        let at = |problem: String| at(&extending, &Path::root().key("extends"), problem);
        chain.push(base.clone());
        if chain.iter().filter(|earlier| **earlier == base).count() > 1 {
            let chain = chain.join(" -> ");
            return Err(at(format!("these recipes extend each other: {chain}")).into());
        }
        if !is_known(&base) {
            let error = at(format!("unknown image `{base}`"));
            let help = suggest::help(&base, known.iter().map(String::as_str));
            return Err(match help {
                Some(help) => error.with_help(help),
                None => error,
            }
            .into());
        }
        let (other, document) = file(dir, &base)?;
        whole = whole
            .over(other)
            .map_err(|(path, problem)| self::at(&extending, &path, problem))?;
        extending = document;
    }
    let recipe = whole.recipe();
    Ok(recipe.map_err(|(path, problem)| at(&top, &path, problem))?)
}

/// Reads one file, and checks each of its values by itself.
fn file(dir: &FilePath, name: &str) -> Result<(RecipeFile, Document), DataError> {
    let path = dir.join(format!("{name}.yaml"));
    let shown = source::shown(&path, dir.parent().unwrap_or(dir));
    let document = Document::read_single(&path, shown)?;
    let recipe: RecipeFile = document.read()?;
    match recipe.problem() {
        Some((path, problem)) => Err(at(&document, &path, problem)),
        None => Ok((recipe, document)),
    }
}

fn at(document: &Document, path: &Path, problem: String) -> DataError {
    DataError::at(document.place(path, Part::Value), problem)
}

/// What is wrong, and with which value of the file.
type Problem = (Path, String);

impl RecipeFile {
    /// Finds what the types cannot rule out. The values become arguments of tools, so the check is strict.
    fn problem(&self) -> Option<Problem> {
        const LEAST_MIB: u64 = 64;
        let key = |key: &str| Path::root().key(key);
        let word = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_alphanumeric())
                && s.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
        };
        let first = |list: &[String], at: Path, what: &str, is_right: &dyn Fn(&str) -> bool| {
            let index = list.iter().position(|entry| !is_right(entry))?;
            Some((at.index(index), format!("`{}` {what}", list[index])))
        };
        let feature = |f: &str| word(f.strip_prefix('^').unwrap_or(f));
        if let Some(suite) = self.suite.as_ref().filter(|suite| !word(suite)) {
            return Some((key("suite"), format!("`{suite}` is not the name of a suite")));
        }
        if let Some(from) = &self.from {
            match from.clone().given() {
                Err(problem) => return Some((key("from"), problem)),
                Ok(given) if given.path().as_os_str().is_empty() => {
                    return Some((key("from"), "the path is empty".into()));
                }
                Ok(_) => {}
            }
        }
        for (name, file) in [("kernel", &self.kernel), ("hypervisor", &self.hypervisor)] {
            if let Some(file) = file.as_ref().filter(|file| file.contains('/')) {
                let problem = format!("`{file}` names a file in /boot, without a `/`");
                return Some((key(name), problem));
            }
        }
        let is_path = |path: &str| path.starts_with('/') && !path.contains('\n');
        first(
            &self.packages,
            key("packages"),
            "is not the name of a package",
            &word,
        )
        .or_else(|| {
            first(
                &self.modules,
                key("modules"),
                "is not the name of a module",
                &word,
            )
        })
        .or_else(|| first(&self.exclude, key("exclude"), "must begin with `/`", &is_path))
        .or_else(|| {
            let filesystem = self.filesystem.as_ref()?;
            let own = key("filesystem");
            first(
                &filesystem.features,
                own.key("features"),
                "is not the name of a feature",
                &feature,
            )
            .or_else(|| {
                let size = filesystem.size_mib;
                let problem = format!("{size} is less than {LEAST_MIB}");
                (size < LEAST_MIB).then(|| (own.key("size_mib"), problem))
            })
        })
    }

    /// Merges this recipe over the one that it extends.
    fn over(self, base: RecipeFile) -> Result<RecipeFile, Problem> {
        let listed = |entry: &String| {
            [&base.packages, &base.exclude, &base.modules]
                .iter()
                .any(|list| list.contains(entry))
        };
        if let Some(index) = self.omit.iter().position(|entry| !listed(entry)) {
            let problem = format!("`{}` is in no list of the extended recipe", self.omit[index]);
            return Err((Path::root().key("omit").index(index), problem));
        }
        let both = |first: Vec<String>, second: Vec<String>| {
            let kept = first.into_iter().filter(|entry| !self.omit.contains(entry));
            kept.chain(second).collect()
        };
        // `suite` and `from` replace each other, and a given tree already has its packages.
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

    /// The complete recipe, which extends nothing any more.
    fn recipe(self) -> Result<Recipe, Problem> {
        let key = |key: &str| Path::root().key(key);
        if let Some(entry) = self.omit.first() {
            let problem = format!("`{entry}` cannot be omitted, because the recipe extends nothing");
            return Err((key("omit").index(0), problem));
        }
        let missing = |name: &str| (Path::root(), format!("`{name}` is missing"));
        let source = match (self.suite, self.from) {
            (Some(suite), None) => Source::Suite(suite),
            (None, Some(from)) => Source::From(from.given().map_err(|problem| (key("from"), problem))?),
            (None, None) => return Err(missing("suite")),
            (Some(_), Some(_)) => {
                let problem = "either `suite` or `from` must stand here, not both";
                return Err((key("from"), problem.into()));
            }
        };
        if matches!(source, Source::From(_)) && !self.packages.is_empty() {
            let problem = "no packages can be installed into a given root file system";
            return Err((key("packages"), problem.into()));
        }
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
    use std::fs;

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
        let unknown = read_of(
            &[("base", BASE), ("over", "extends: base\nomit: [ext5]\n")],
            "over",
        )
        .unwrap_err();
        assert!(
            unknown
                .to_string()
                .contains("over.yaml:2:8: `ext5` is in no list"),
            "{unknown}"
        );
        let alone = read_of(&[("base", &format!("{BASE}omit: [ext4]\n"))], "base").unwrap_err();
        assert!(alone.to_string().contains("cannot be omitted"), "{alone}");
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
        // An error is reported in the file that has the value, not in the one that extends it.
        let bad = read_of(&[("base", &BASE.replace("ext4", "-x")), ("over", over)], "over");
        let text = bad.unwrap_err().to_string();
        assert!(
            text.contains("base.yaml:4:11: `-x` is not the name of a module"),
            "{text}"
        );
        // A recipe that extends an untested one does not become untested by that.
        let tested = [("base", BASE), ("over", over), ("top", "extends: over\n")];
        assert!(!read_of(&tested, "top").unwrap().untested);
    }

    #[test]
    fn recipes_that_extend_each_other_and_strangers_are_told() {
        let circle = read_of(&[("a", "extends: b"), ("b", "extends: a")], "a").unwrap_err();
        assert!(
            circle
                .to_string()
                .ends_with("b.yaml:1:10: these recipes extend each other: a -> b -> a"),
            "{circle}"
        );
        let stranger = read_of(&[("base", BASE), ("a", "extends: bsae")], "a").unwrap_err();
        assert!(
            stranger
                .to_string()
                .contains("a.yaml:1:10: unknown image `bsae` (did you mean `base`?)"),
            "{stranger}"
        );
    }
}
