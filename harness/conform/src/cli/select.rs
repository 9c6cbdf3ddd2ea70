//! Chooses the variants that a command line asks for.

use super::elsewhere;
use super::failure::Failure;
use crate::report::human::count;
use virt_aa_engine::image::{Recipe, Store};
use virt_aa_engine::placement::{self, Placement};
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;
use virt_aa_engine::target::{BackendName, Target};
use virt_aa_model::case::expand::{Roles, Variant, expand};
use virt_aa_model::data::Data;
use virt_aa_model::fixture::MachineFeature;
use virt_aa_model::yaml::suggest;

/// The chosen variants, and the skipped ones with the reason.
pub struct Selection {
    /// The variants to run, in the order of their files.
    pub variants: Vec<Variant>,
    /// Skipped variants with the reason, including an entry for each case that this set has no profile for.
    pub skipped: Vec<(Variant, String)>,
}

impl Selection {
    /// The names of all variants, the skipped ones last.
    pub fn ids(&self) -> Vec<String> {
        let skipped = self.skipped.iter().map(|(variant, _)| variant);
        let all = self.variants.iter().chain(skipped);
        all.map(|variant| variant.id.clone()).collect()
    }

    /// Leaves out the slow cases.
    pub fn retain_quick(&mut self) {
        let is_quick = |variant: &Variant| !variant.loaded.case.slow;
        self.variants.retain(is_quick);
        self.skipped.retain(|(variant, _)| is_quick(variant));
    }

    /// Leaves out the slow cases. Returns a line about them, if there are any.
    pub fn leave_slow(&mut self) -> Option<String> {
        let whole = self.variants.len();
        self.retain_quick();
        let left = whole - self.variants.len();
        let runs = count(left, "more run");
        (left > 0).then(|| format!("{runs} of slow cases; --all runs them, too"))
    }
}

/// Choose by patterns. Without patterns, everything is chosen. A pattern that matches nothing is an error.
pub fn select(data: &Data, roles: &Roles, patterns: &[String]) -> Result<Selection, Failure> {
    let mut all = Vec::new();
    let mut skipped = Vec::new();
    for loaded in &data.cases {
        match expand(loaded, roles) {
            Ok(mut variants) => all.append(&mut variants),
            Err(none) => skipped.push((Variant::without_profiles(loaded), none.to_string())),
        }
    }
    if all.is_empty() && skipped.is_empty() {
        return Err(Failure::usage("cases/ contains no cases"));
    }
    for pattern in patterns {
        let found = all.iter().any(|variant| variant.matches(pattern))
            || skipped.iter().any(|(variant, _)| variant.matches(pattern));
        if !found {
            let names = data.cases.iter().map(|loaded| loaded.case.name.as_str());
            let near = suggest::help(pattern, names)
                .unwrap_or_else(|| "`virt-aa-conform list` shows them all".into());
            return Err(Failure::usage(format!("no case matches `{pattern}`; {near}")));
        }
    }
    let wanted = |matches: &dyn Fn(&str) -> bool| {
        patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern))
    };
    all.retain(|variant| wanted(&|pattern| variant.matches(pattern)));
    skipped.retain(|(variant, _)| wanted(&|pattern| variant.matches(pattern)));
    Ok(Selection {
        variants: all,
        skipped,
    })
}

/// Leave to other images the cases that belong there, and to the vm backend those that need a machine of ours. If
/// nothing was named, returns a line about what is left to which image. A named case runs wherever it can, and is
/// skipped with the reason if it cannot.
pub fn leave_to_others(
    selection: &mut Selection,
    data: &Data,
    root: &Root,
    target: &Target,
    named: bool,
) -> Result<Option<String>, Failure> {
    if target.backend != BackendName::Vm {
        elsewhere::skip(selection, data, target.allow_host_daemon);
        return Ok(None);
    }
    let store = &setup::store(root)?;
    let recipe = store.recipe(&target.image).map_err(setup::of_image)?;
    let had = placement::of_recipe(&recipe);
    let homes: std::collections::BTreeMap<&str, Placement> = data
        .cases
        .iter()
        .map(|loaded| {
            (
                loaded.case.name.as_str(),
                placement::place(&placement::of_case(data, loaded), &had),
            )
        })
        .collect();
    let home = |case: &str| homes.get(case).copied().unwrap_or(Placement::Here);
    if named {
        let mut stay = Vec::new();
        for variant in std::mem::take(&mut selection.variants) {
            match home(&variant.loaded.case.name) {
                Placement::Here | Placement::Plainer => stay.push(variant),
                Placement::Lacking(feature) => {
                    let reason = match other_image(store, &recipe, feature)? {
                        Some(other) => format!("{}; run it with --image {other}", feature.lack()),
                        None => feature.lack().to_owned(),
                    };
                    selection.skipped.push((variant, reason));
                }
            }
        }
        selection.variants = stay;
        return Ok(None);
    }
    let whole = selection.variants.len();
    selection
        .variants
        .retain(|variant| home(&variant.loaded.case.name) == Placement::Here);
    selection
        .skipped
        .retain(|(variant, _)| home(&variant.loaded.case.name) == Placement::Here);
    let left = whole - selection.variants.len();
    let lacking = homes.values().find_map(|home| match home {
        Placement::Lacking(feature) => Some(*feature),
        _ => None,
    });
    if left == 0 {
        return Ok(None);
    }
    let runs = count(left, "more run");
    Ok(match lacking {
        None => Some(format!("{runs} on a plain image: virt-aa-conform run")),
        Some(feature) => other_image(store, &recipe, feature)?.map(|other| {
            format!(
                "{runs} on {}: virt-aa-conform run --image {other}",
                thing(feature)
            )
        }),
    })
}

/// An image whose machine has the feature, preferably of the same suite.
fn other_image(store: &Store, like: &Recipe, feature: MachineFeature) -> Result<Option<String>, Failure> {
    let mut found = None;
    for name in store.names().map_err(setup::of_image)? {
        let recipe = store.recipe(&name).map_err(setup::of_image)?;
        if !placement::of_recipe(&recipe).contains(&feature) {
            continue;
        }
        if recipe.untested {
            continue;
        }
        if recipe.source == like.source {
            return Ok(Some(name));
        }
        found.get_or_insert(name);
    }
    Ok(found)
}

fn thing(feature: MachineFeature) -> &'static str {
    match feature {
        MachineFeature::PciFunctions => "an image with PCI devices of several functions",
        MachineFeature::Iommu => "an image with an IOMMU",
        MachineFeature::Xen => "a Xen image",
    }
}

/// The roles of all sets, each with all the profiles that any set has for it.
pub fn all_roles(data: &Data) -> Roles {
    let mut all = Roles::new();
    for manifest in data.sets.manifests.values() {
        for (role, profiles) in manifest.roles(|_| true) {
            let known = all.entry(role).or_default();
            for profile in profiles {
                if !known.contains(&profile) {
                    known.push(profile);
                }
            }
        }
    }
    all
}
