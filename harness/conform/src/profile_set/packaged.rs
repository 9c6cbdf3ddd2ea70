//! Whether profiles of a set are those of the image's packages: what is known of these holds of them then.

use aa_policy::{PolicyFile, Tree};

use super::assemble::SetUnderTest;

/// The set of what an image's packages installed.
pub const PACKAGED: &str = "packaged";

impl SetUnderTest {
    /// The sets of which failures are known that hold of the profiles with these labels: the set itself and, where all of
    /// them are word for word those of the image's packages, that one.
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
            // What is made for a guest is made from its template in the same way for every set.
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

/// The lines of a file that are neither empty nor a comment; none of a file that is not there, which an optional include
/// takes for an empty one.
fn says<'t>(tree: &'t Tree, path: &str) -> Vec<&'t str> {
    let lines = tree.get(path).unwrap_or_default().lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && (!line.starts_with('#') || line.starts_with("#include")))
        .collect()
}
