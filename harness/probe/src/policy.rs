//! Policy in the kernel: loads, removes and lists it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::protocol::{LoadedProfile, Policy, PolicyState};

/// AppArmor's folder in securityfs.
pub const APPARMORFS: &str = "/sys/kernel/security/apparmor";

/// The kernel's files of one policy namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The folder with `.replace`, `.remove` and `revision`.
    control: PathBuf,
    /// The folder with one folder for each profile.
    profiles: PathBuf,
}

impl Kernel {
    /// The files of the agent's own namespace.
    pub fn own() -> Kernel {
        Kernel {
            control: APPARMORFS.into(),
            profiles: Path::new(APPARMORFS).join("policy/profiles"),
        }
    }

    /// The files of the namespace with that folder.
    pub fn of_namespace(dir: &Path) -> Kernel {
        Kernel {
            control: dir.into(),
            profiles: dir.join("profiles"),
        }
    }
}

/// Load one compiled policy in one write. The kernel cannot unpack a split one.
fn load(kernel: &Kernel, policy: &Policy) -> io::Result<()> {
    use std::io::Write;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(kernel.control.join(".replace"))?;
    let written = file.write(&policy.binary).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("the kernel refused the policy from {}: {error}", policy.name),
        )
    })?;
    if written != policy.binary.len() {
        return Err(io::Error::other(format!(
            "the kernel took only a part of the policy from {}",
            policy.name
        )));
    }
    Ok(())
}

/// Remove every profile, then load these. Those named `but` are not removed, so that their processes stay confined; a
/// policy of the same name replaces them.
pub fn load_only(kernel: &Kernel, policies: &[Policy], but: &[String]) -> io::Result<()> {
    remove_all(kernel, but)?;
    policies.iter().try_for_each(|policy| load(kernel, policy))
}

fn remove_all(kernel: &Kernel, but: &[String]) -> io::Result<()> {
    for profile in state(kernel)?.profiles {
        // A child profile is removed with its parent.
        if profile.name.contains("//") || but.contains(&profile.name) {
            continue;
        }
        fs::write(kernel.control.join(".remove"), &profile.name)?;
    }
    Ok(())
}

/// Removes a profile, if it is loaded.
pub fn remove(kernel: &Kernel, profile: &str) -> io::Result<()> {
    match fs::write(kernel.control.join(".remove"), profile) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the files of a profile from a folder: the one of its name, and those that it includes, `NAME.files`.
pub fn remove_files(dir: &Path, profile: &str) -> io::Result<()> {
    put(&dir.join(profile), None)?;
    put(&dir.join(format!("{profile}.files")), None)
}

/// The revision of the policy; 0 if none was ever loaded.
pub fn revision(kernel: &Kernel) -> io::Result<u64> {
    // A read without news waits for a change, and at revision 0 there is no news.
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(kernel.control.join("revision"))?;
    let mut buffer = [0; 32];
    let length = match file.read(&mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
        other => other?,
    };
    String::from_utf8_lossy(&buffer[..length])
        .trim()
        .parse()
        .map_err(io::Error::other)
}

/// Revision and profiles.
pub fn state(kernel: &Kernel) -> io::Result<PolicyState> {
    let mut profiles = Vec::new();
    walk(&kernel.profiles, "", &mut profiles)?;
    profiles.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(PolicyState {
        revision: revision(kernel)?,
        profiles,
    })
}

fn walk(dir: &Path, parent: &str, into: &mut Vec<LoadedProfile>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let dir = entry?.path();
        let read = |name: &str| fs::read_to_string(dir.join(name)).map(|text| text.trim_end().to_string());
        let own = read("name")?;
        let name = if parent.is_empty() {
            own
        } else {
            format!("{parent}//{own}")
        };
        let hash = ["sha256", "sha1"]
            .iter()
            .find_map(|kind| Some(((*kind).to_string(), read(kind).ok()?)));
        into.push(LoadedProfile {
            name: name.clone(),
            mode: read("mode")?,
            attach: read("attach")?,
            hash,
        });
        walk(&dir.join("profiles"), &name, into)?;
    }
    Ok(())
}

/// Files of the image that a profile set overlays, with their original content.
#[derive(Default)]
pub struct Overlay {
    originals: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl Overlay {
    /// Make the image's files equal to its own plus `files`; `None` removes one.
    pub fn apply(&mut self, files: &BTreeMap<String, Option<String>>) -> io::Result<()> {
        for (path, original) in std::mem::take(&mut self.originals) {
            put(&path, original.as_deref())?;
        }
        for (path, text) in files {
            let path = PathBuf::from(path);
            let original = match fs::read(&path) {
                Ok(bytes) => Some(bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            put(&path, text.as_deref().map(str::as_bytes))?;
            self.originals.insert(path, original);
        }
        Ok(())
    }
}

fn put(path: &Path, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes {
        Some(bytes) => {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            fs::write(path, bytes)
        }
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

/// The features directory in the flat form that apparmor_parser reads: `name {` … `}` for a folder, `name {text` `}`
/// for a file.
pub fn features() -> io::Result<String> {
    let mut text = String::new();
    flatten(&Path::new(APPARMORFS).join("features"), &mut text)?;
    Ok(text)
}

fn flatten(dir: &Path, into: &mut String) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        into.push_str(&name);
        into.push_str(" {");
        if path.is_dir() {
            flatten(&path, into)?;
        } else {
            into.push_str(&fs::read_to_string(&path)?);
        }
        into.push_str("}\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_undone_by_the_next() {
        let dir = std::env::temp_dir().join(format!("overlay-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (old, new) = (dir.join("old"), dir.join("new"));
        fs::write(&old, "first").unwrap();
        let mut overlay = Overlay::default();
        let name = |path: &Path| path.to_string_lossy().into_owned();
        overlay
            .apply(&BTreeMap::from([
                (name(&old), None),
                (name(&new), Some("x".into())),
            ]))
            .unwrap();
        assert!(!old.exists() && new.exists());
        overlay.apply(&BTreeMap::new()).unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "first");
        assert!(!new.exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn only_the_files_of_that_profile_are_removed() {
        let dir = std::env::temp_dir().join(format!("profile-files-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for name in ["a", "a.files", "ab"] {
            fs::write(dir.join(name), "x").unwrap();
        }
        remove_files(&dir, "a").unwrap();
        // It is no error if they are gone.
        remove_files(&dir, "a").unwrap();
        let left: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["ab"]);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn features_are_flattened_in_the_order_of_their_names() {
        let dir = std::env::temp_dir().join(format!("features-{}", std::process::id()));
        fs::create_dir_all(dir.join("caps")).unwrap();
        fs::write(dir.join("caps/mask"), "chown\n").unwrap();
        fs::write(dir.join("a"), "yes\n").unwrap();
        let mut text = String::new();
        flatten(&dir, &mut text).unwrap();
        assert_eq!(text, "a {yes\n}\ncaps {mask {chown\n}\n}\n");
        fs::remove_dir_all(&dir).unwrap();
    }
}
