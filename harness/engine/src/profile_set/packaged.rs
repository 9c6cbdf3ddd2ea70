//! Compares profiles of a given set with those of the image's packages. The known failures of the packaged set hold for
//! profiles that are the same.

use aa_policy::{PolicyFile, Tree};

use super::assemble::SetUnderTest;

/// The name of the set that an image's packages install.
pub const PACKAGED: &str = "packaged";

impl SetUnderTest {
    /// The names of the sets whose known failures apply to the profiles with these labels. These are the set's own name
    /// and, if every profile is word for word the packaged one, the packaged set's.
    pub fn known_as<'l>(&self, mut labels: impl Iterator<Item = &'l str>) -> Vec<&str> {
        let mut names = vec![self.manifest.name.as_str()];
        let is_packaged = |label| self.file_of(label).is_some_and(|file| self.is_packaged(file));
        if self.manifest.name != PACKAGED && labels.all(is_packaged) {
            names.push(PACKAGED);
        }
        names
    }

    fn is_packaged(&self, file: &PolicyFile) -> bool {
        file.files.iter().all(|path| {
            // A guest's profile is generated from its template, so the templates are compared.
            let made = self
                .manifest
                .profiles
                .iter()
                .find(|profile| path.strip_prefix("libvirt/") == Some(profile.name.as_str()));
            let path = made.and_then(|profile| profile.template.as_ref()).unwrap_or(path);
            let is_made = *path == format!("{}.files", file.file);
            is_made || says(&self.tree, path) == says(&self.of_image, path)
        })
    }
}

/// The lines of a file that are neither empty nor a comment. A missing file has no lines, as an optional include of it
/// reads nothing.
fn says<'t>(tree: &'t Tree, path: &str) -> Vec<&'t str> {
    let lines = tree.get(path).unwrap_or_default().lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && (!line.starts_with('#') || line.starts_with("#include")))
        .collect()
}
