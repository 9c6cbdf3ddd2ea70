//! What a misspelt name was probably meant to be.

/// The maximum number of known names to list.
const LISTED: usize = 24;

/// A sentence that helps with an unknown name: `did you mean …?`, else the known names.
pub fn help<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(name, &known) {
        return Some(format!("did you mean `{near}`?"));
    }
    match known.len() {
        0 => Some("there are none".to_owned()),
        1..=LISTED => Some(format!("known are: {}", known.join(", "))),
        _ => None,
    }
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // The name may come from outside with any length, and the distance takes quadratic time.
    if name.len() > 64 {
        return None;
    }
    let folded = name.to_lowercase().replace('_', "-");
    known
        .iter()
        .map(|&candidate| {
            let other = candidate.to_lowercase().replace('_', "-");
            (strsim::damerau_levenshtein(&folded, &other), candidate)
        })
        .filter(|(distance, candidate)| *distance <= candidate.len().min(name.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("stpes", Some("did you mean `steps`?"))]
    #[case("checked_by_next", Some("did you mean `checked-by-next`?"))]
    #[case("zzz", Some("known are: steps, checked-by-next"))]
    fn nearest_name(#[case] name: &str, #[case] want: Option<&str>) {
        assert_eq!(help(name, ["steps", "checked-by-next"]).as_deref(), want);
    }
}
