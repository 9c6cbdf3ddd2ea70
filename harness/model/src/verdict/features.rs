//! A kernel's or a policy ABI's features, in the flat form: `name {` … `}`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Paths of features, such as `network_v8/af_inet`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Features(BTreeSet<String>);

impl Features {
    /// Reads the flat form. Anything else is ignored, because the parser checks it.
    pub fn parse(text: &str) -> Features {
        let mut paths = BTreeSet::new();
        let mut stack: Vec<&str> = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let before = rest[..at].trim();
            if rest.as_bytes()[at] == b'{' {
                // The text before a folder's first entry ends with the entry's name; the text in a file is values.
                stack.push(before.lines().last().unwrap_or_default().trim());
                paths.insert(stack.join("/"));
            } else {
                for value in before.split_whitespace() {
                    paths.insert(format!("{}/{value}", stack.join("/")));
                }
                stack.pop();
            }
            rest = &rest[at + 1..];
        }
        Features(paths)
    }

    /// Whether a path exists: a folder, a file, or a value in a file.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_files_and_values_are_paths() {
        let features = Features::parse(
            "caps {mask {chown ipc_lock\n}\n}\nnetwork_v8 {af_mask {inet packet\n}\n}\nrlimit {mask {cpu\n}\n}\n",
        );
        assert!(features.has("caps/mask/ipc_lock"));
        assert!(features.has("network_v8/af_mask"));
        assert!(features.has("rlimit"));
        assert!(!features.has("dbus") && !features.has("caps/inet"));
    }

    #[test]
    fn nonsense_is_no_features() {
        assert_eq!(Features::parse("}}}"), Features::default());
        assert!(!Features::parse("{{{").has("caps"));
    }
}
