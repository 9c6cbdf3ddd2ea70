//! Makes a guest's profile from a template, as virt-aa-helper does.

/// Why a template yields no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The word to replace is missing.
    #[error(
        "the template has no word `{0}`; say in the manifest's `placeholder` what stands for the profile's name"
    )]
    NoPlaceholder(String),
    /// There is no place for the include.
    #[error("the template has no `}}` that ends a profile")]
    NoEnd,
}

/// A guest's two files, both for `/etc/apparmor.d/libvirt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestProfile {
    /// Text of the file that is named after the profile.
    pub profile: String,
    /// Text of the file that is named after the profile, with `.files` appended; a container's profile has none.
    pub files: Option<String>,
}

/// Puts `name` in place of `placeholder`, and includes `libvirt/NAME.files` before the last closing brace. That file
/// gets a line for each of `rules`. Without rules there is neither the file nor the include.
pub fn instantiate(
    text: &str,
    placeholder: &str,
    name: &str,
    rules: &[String],
) -> Result<GuestProfile, TemplateError> {
    if placeholder.is_empty() || !text.contains(placeholder) {
        return Err(TemplateError::NoPlaceholder(placeholder.to_owned()));
    }
    // A brace in a comment at the end does not end a profile.
    let mut at = text.len();
    let end = text.lines().rev().find_map(|line| {
        at = text[..at].rfind(line)?;
        let code = line.split_once('#').map_or(line, |(code, _)| code);
        code.rfind('}').map(|brace| at + brace)
    });
    let Some(end) = end else {
        return Err(TemplateError::NoEnd);
    };
    if rules.is_empty() {
        let profile = text.replace(placeholder, name);
        return Ok(GuestProfile { profile, files: None });
    }
    let include = format!("  #include <libvirt/{name}.files>\n");
    let profile = format!("{}{include}{}", &text[..end], &text[end..]).replace(placeholder, name);
    let files = Some(rules.iter().map(|rule| format!("  {rule}\n")).collect());
    Ok(GuestProfile { profile, files })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_guest_gets_its_name_and_its_files() {
        let text = "# made up }\nprofile WORD {\n  #include <x>\n}\n# the end }\n";
        let made = instantiate(text, "WORD", "guest-1", &["\"/a\" rwk,".to_owned()]).unwrap();
        assert_eq!(
            made.profile,
            "# made up }\nprofile guest-1 {\n  #include <x>\n  #include <libvirt/guest-1.files>\n}\n# the end }\n"
        );
        assert_eq!(made.files.as_deref(), Some("  \"/a\" rwk,\n"));
    }

    #[test]
    fn a_container_gets_its_name_alone() {
        let made = instantiate("profile WORD {\n}\n", "WORD", "guest-1", &[]).unwrap();
        assert_eq!(made.profile, "profile guest-1 {\n}\n");
        assert_eq!(made.files, None);
    }

    #[rstest]
    #[case("profile X {\n}\n", "WORD", TemplateError::NoPlaceholder("WORD".to_owned()))]
    #[case("profile X {\n}\n", "", TemplateError::NoPlaceholder(String::new()))]
    #[case("profile WORD {\n", "WORD", TemplateError::NoEnd)]
    fn what_is_no_template(#[case] text: &str, #[case] placeholder: &str, #[case] want: TemplateError) {
        assert_eq!(instantiate(text, placeholder, "guest-1", &[]).unwrap_err(), want);
    }
}
