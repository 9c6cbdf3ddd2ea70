//! Which cases share a boot. A case runs on an image whose machine has the features that its fixtures need.

use std::collections::BTreeSet;

use crate::image::Recipe;
use virt_aa_model::case::loaded::Loaded;
use virt_aa_model::data::Data;
use virt_aa_model::fixture::MachineFeature;

/// Features that a machine has or a case needs.
pub type Features = BTreeSet<MachineFeature>;

/// What every machine has.
const COMMON: [MachineFeature; 2] = [MachineFeature::PciFunctions, MachineFeature::Iommu];

/// The features of an image's machine.
pub fn of_recipe(recipe: &Recipe) -> Features {
    let xen = recipe.hypervisor.as_ref().map(|_| MachineFeature::Xen);
    COMMON.into_iter().chain(xen).collect()
}

/// The features that a case needs.
pub fn of_case(data: &Data, loaded: &Loaded) -> Features {
    let fixtures = loaded
        .case
        .needs
        .iter()
        .filter_map(|name| data.fixtures.get(name));
    fixtures.flat_map(|fixture| fixture.machine.clone()).collect()
}

/// Where a case belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// On this image.
    Here,
    /// It can run here, but also on plainer images, where it costs less.
    Plainer,
    /// This image's machine lacks a feature that the case needs.
    Lacking(MachineFeature),
}

/// Where a case that needs `asked` belongs, seen from a machine that has `had`.
pub fn place(asked: &Features, had: &Features) -> Placement {
    if let Some(lacking) = asked.difference(had).next() {
        return Placement::Lacking(*lacking);
    }
    let special = had.iter().filter(|feature| !COMMON.contains(feature));
    if special.clone().count() > 0 && !special.clone().any(|feature| asked.contains(feature)) {
        return Placement::Plainer;
    }
    Placement::Here
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    use MachineFeature::{Iommu, PciFunctions, Xen};

    #[rstest]
    #[case::plain_case_on_a_plain_image(&[], &[PciFunctions, Iommu], Placement::Here)]
    #[case::common_feature(&[Iommu], &[PciFunctions, Iommu], Placement::Here)]
    #[case::xen_case_on_a_plain_image(&[Xen], &[PciFunctions, Iommu], Placement::Lacking(Xen))]
    #[case::xen_case_on_a_xen_image(&[Xen, PciFunctions], &[PciFunctions, Iommu, Xen], Placement::Here)]
    #[case::plain_case_on_a_xen_image(&[PciFunctions], &[PciFunctions, Iommu, Xen], Placement::Plainer)]
    fn a_case_belongs_in_one_place(
        #[case] asked: &[MachineFeature],
        #[case] had: &[MachineFeature],
        #[case] expected: Placement,
    ) {
        let set = |features: &[MachineFeature]| features.iter().copied().collect::<Features>();
        assert_eq!(place(&set(asked), &set(had)), expected);
    }
}
