//! Folders of the XDG base directory specification. As it demands, an empty or relative value counts as unset.

use std::ffi::OsString;
use std::path::PathBuf;

/// The program's folder below each of these.
const NAME: &str = "virt-aa-conform";

/// `$XDG_CACHE_HOME/virt-aa-conform` or `~/.cache/virt-aa-conform`.
pub fn cache(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    Some(home(&var, "XDG_CACHE_HOME", ".cache")?.join(NAME))
}

/// Folders that may contain data, the user's own first.
pub fn data(var: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let dirs = var("XDG_DATA_DIRS")
        .filter(|dirs| !dirs.is_empty())
        .unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    home(&var, "XDG_DATA_HOME", ".local/share")
        .into_iter()
        .chain(std::env::split_paths(&dirs).filter(|dir| dir.is_absolute()))
        .map(|dir| dir.join(NAME))
        .collect()
}

fn home(var: &impl Fn(&str) -> Option<OsString>, name: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(name).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn var(vars: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        |name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into())
    }

    #[rstest]
    #[case(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/x/virt-aa-conform"))]
    #[case(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")], Some("/h/.cache/virt-aa-conform"))]
    #[case(&[("XDG_CACHE_HOME", ""), ("HOME", "/h")], Some("/h/.cache/virt-aa-conform"))]
    #[case(&[], None)]
    fn the_cache_is_where_xdg_says(#[case] vars: &'static [(&str, &str)], #[case] expected: Option<&str>) {
        assert_eq!(cache(var(vars)), expected.map(PathBuf::from));
    }

    #[rstest]
    #[case(&[("HOME", "/h")], &["/h/.local/share", "/usr/local/share", "/usr/share"])]
    #[case(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h"), ("XDG_DATA_DIRS", "/a:b:/c")], &["/x", "/a", "/c"])]
    #[case(&[("XDG_DATA_DIRS", "")], &["/usr/local/share", "/usr/share"])]
    fn data_are_the_users_before_everybodys(
        #[case] vars: &'static [(&str, &str)],
        #[case] expected: &[&str],
    ) {
        let expected: Vec<PathBuf> = expected.iter().map(|dir| PathBuf::from(dir).join(NAME)).collect();
        assert_eq!(data(var(vars)), expected);
    }
}
