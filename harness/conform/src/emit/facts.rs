//! The facts about cases and images that templates use.

use std::collections::BTreeMap;

use virt_aa_engine::image::{Recipe, Source};
use virt_aa_engine::placement::{Placement, of_case, of_recipe, place};
use virt_aa_engine::tools;
use virt_aa_model::data::Data;

/// The facts for all templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The images that have cases, by name.
    pub images: Vec<ImageFacts>,
    /// The folders of cases, by name, without those that belong on no image.
    pub groups: Vec<GroupFacts>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// The recipe's name.
    pub name: String,
    /// The suite of the distribution; `None` if the recipe has a given root file system.
    pub suite: Option<String>,
    /// Whether it boots an ordinary installation of a distribution, without a hypervisor below it.
    pub plain: bool,
    /// How many cases belong on it.
    pub cases: usize,
}

/// One folder of cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFacts {
    /// The folder's name.
    pub name: String,
    /// How many cases are in it.
    pub cases: usize,
    /// Images that some of them belong on.
    pub images: Vec<String>,
}

impl Facts {
    /// The facts of all cases, and of recipes by their name.
    pub fn of(data: &Data, recipes: &BTreeMap<String, Recipe>) -> Facts {
        let mut groups: BTreeMap<&str, GroupFacts> = BTreeMap::new();
        for loaded in &data.cases {
            let group = groups.entry(&loaded.group).or_insert_with(|| GroupFacts {
                name: loaded.group.clone(),
                cases: 0,
                images: Vec::new(),
            });
            group.cases += 1;
        }
        let mut images = Vec::new();
        // No other project's CI should be the first to try an image.
        for (name, recipe) in recipes.iter().filter(|(_, recipe)| !recipe.untested) {
            let had = of_recipe(recipe);
            let here = data
                .cases
                .iter()
                .filter(|loaded| place(&of_case(data, loaded), &had) == Placement::Here);
            let mut cases = 0;
            for loaded in here {
                cases += 1;
                if let Some(group) = groups.get_mut(loaded.group.as_str())
                    && group.images.last() != Some(name)
                {
                    group.images.push(name.clone());
                }
            }
            if cases > 0 {
                images.push(ImageFacts {
                    name: name.clone(),
                    suite: match &recipe.source {
                        Source::Suite(suite) => Some(suite.clone()),
                        Source::From(_) => None,
                    },
                    plain: recipe.hypervisor.is_none(),
                    cases,
                });
            }
        }
        let groups = groups.into_values().filter(|group| !group.images.is_empty());
        Facts {
            images,
            groups: groups.collect(),
        }
    }

    /// The names of all images.
    pub(super) fn image_names(&self) -> Vec<&str> {
        self.images.iter().map(|image| image.name.as_str()).collect()
    }
}

/// Debian packages that a run of a source tree's revision needs.
pub(super) fn packages_with_git() -> Vec<&'static str> {
    tools::packages(&[tools::ALL, &[tools::GIT]].concat())
}
