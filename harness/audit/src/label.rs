//! Labels and profile names: namespaces, stacks, children.

use crate::record::Record;

/// One profile of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Component<'a> {
    /// The policy namespace below the root one, as `NAME` or `NAME//NESTED`; `None` for the root namespace.
    pub namespace: Option<&'a str>,
    /// The profile's name after those of its parents: `libvirtd//qemu_bridge_helper`.
    pub profile: &'a str,
}

impl<'a> Component<'a> {
    /// The outermost profile's name: `libvirtd` of `libvirtd//qemu_bridge_helper`.
    #[must_use]
    pub fn root(&self) -> &'a str {
        self.profile
            .split_once("//")
            .map_or(self.profile, |(root, _)| root)
    }

    /// The names of the child below the outermost profile: `qemu_bridge_helper` of `libvirtd//qemu_bridge_helper`.
    #[must_use]
    pub fn child(&self) -> Option<&'a str> {
        self.profile.split_once("//").map(|(_, child)| child)
    }

    /// Reads a profile name of the form `profile`, `:NAME:profile` or `:NAME://profile`.
    fn new(name: &'a str) -> Self {
        if let Some((namespace, profile)) = name.strip_prefix(':').and_then(|rest| rest.split_once(':')) {
            let profile = profile.strip_prefix("//").unwrap_or(profile);
            return Self {
                namespace: Some(namespace),
                profile,
            };
        }
        Self {
            namespace: None,
            profile: name,
        }
    }
}

/// The profiles of a label, as in a record's `profile`, `label`, `peer` or `target`. A stack (`a//&:NAME:b`) has
/// several.
pub fn components(label: &str) -> impl Iterator<Item = Component<'_>> {
    label.split("//&").map(Component::new)
}

impl Record {
    /// The profiles that confine the subject, from `profile` (or `label`) and `namespace`; empty if the record names
    /// none.
    #[must_use]
    pub fn subject(&self) -> Vec<Component<'_>> {
        let Some(label) = self.profile.as_deref().or(self.label.as_deref()) else {
            return Vec::new();
        };
        let outer = self
            .namespace
            .as_deref()
            .and_then(|namespace| match namespace.strip_prefix("root//") {
                Some(below) => Some(below),
                None => (namespace != "root").then_some(namespace),
            });
        components(label)
            .map(|component| Component {
                namespace: component.namespace.or(outer),
                ..component
            })
            .collect()
    }
}
