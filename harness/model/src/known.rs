//! Known failures: real bugs of a shipped profile set, as data beside it. Any other failure of the same case is red,
//! and so is its success.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::case::model::RecordMatch;
use crate::profile_set::manifest::Edit;

/// The file of known failures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Known(pub Vec<KnownFailure>);

/// One known failure. `denial`, `effect` or both describe it; everything that they name must occur.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KnownFailure {
    /// A variant's id, `NAME`, `NAME:VARIANT`, or either with `@PROFILE`. Without a profile it applies to every
    /// profile.
    pub case: String,
    /// The profile sets. The failure may be absent in a set whose files the command line names. Profiles of such a set
    /// that equal those of the image's packages word for word also belong to `packaged`.
    pub sets: Vec<String>,
    /// The images it holds for, `debian-12`.
    pub images: Vec<String>,
    /// The step that fails.
    pub step: StepRef,
    /// The denial by which it fails.
    #[serde(default)]
    pub denial: Option<RecordMatch>,
    /// What the step loses: a text in the finding, or a list of texts, each in its own finding.
    #[serde(default)]
    pub effect: Effects,
    /// Why it fails.
    pub reason: String,
    /// Where it is reported, or the change that introduced it.
    pub link: String,
    /// Edits of the set that make the case green. The case's guards are proven on the edited set.
    #[serde(default)]
    pub fix: Vec<Edit>,
    /// Why no edit of the set can fix it; only for an effect. A guard is then proven if its denial occurs in addition
    /// to the known failure. It is passed over with this reason if the case fails before that.
    #[serde(default)]
    pub no_fix: Option<String>,
}

/// Texts of findings that are not denials: none, one, or a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema)]
#[schemars(with = "Option<EffectsForm>")]
pub struct Effects(pub Vec<String>);

/// The written form: a text, or a list of texts.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum EffectsForm {
    One(String),
    Several(Vec<String>),
}

impl Serialize for Effects {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => out.serialize_none(),
            [one] => EffectsForm::One(one.clone()).serialize(out),
            several => EffectsForm::Several(several.to_vec()).serialize(out),
        }
    }
}

impl<'de> Deserialize<'de> for Effects {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(EffectsVisitor)
    }
}

struct EffectsVisitor;

impl<'de> Visitor<'de> for EffectsVisitor {
    type Value = Effects;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text, or a list of texts")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Effects, E> {
        Ok(Effects::default())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Effects, E> {
        Ok(Effects(vec![text.to_owned()]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Effects, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(Effects(texts))
    }
}

/// Which step of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "StepRefForm")]
pub enum StepRef {
    /// One step, counted from 0 over `setup` followed by `steps`.
    Index(usize),
    /// Every step.
    All,
}

/// The written form: an index from 0, or `all`.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum StepRefForm {
    Index(usize),
    Word(AllSteps),
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AllSteps {
    All,
}

impl Serialize for StepRef {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            StepRef::Index(index) => StepRefForm::Index(*index),
            StepRef::All => StepRefForm::Word(AllSteps::All),
        }
        .serialize(out)
    }
}

impl<'de> Deserialize<'de> for StepRef {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(StepRefVisitor)
    }
}

struct StepRefVisitor;

impl Visitor<'_> for StepRefVisitor {
    type Value = StepRef;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a step's index from 0, or `all`")
    }

    fn visit_u64<E: de::Error>(self, index: u64) -> Result<StepRef, E> {
        usize::try_from(index)
            .map(StepRef::Index)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(index), &self))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<StepRef, E> {
        match word {
            "all" => Ok(StepRef::All),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }
}

impl Known {
    /// The known failures of a case under any of these sets on an image; `case` is a variant's whole id.
    pub fn find(&self, sets: &[&str], image: &str, case: &str) -> Vec<&KnownFailure> {
        self.0
            .iter()
            .filter(|known| {
                known.sets.iter().any(|name| sets.contains(&name.as_str()))
                    && known.images.iter().any(|name| name == image)
                    && known.is_of(case)
            })
            .collect()
    }
}

impl KnownFailure {
    /// Whether it applies to the variant with this whole id.
    pub fn is_of(&self, id: &str) -> bool {
        self.case == id || id.split_once('@').is_some_and(|(name, _)| name == self.case)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::*;
    use crate::yaml::document::Document;
    use crate::yaml::source::Source;

    fn read(text: &str) -> Result<Known, String> {
        let source = Source::from_bytes(Path::new("k.yaml"), text.as_bytes().to_vec()).unwrap();
        Document::parse(&source).unwrap()[0]
            .read()
            .map_err(|error| error.to_string())
    }

    fn one(case: &str, step: &str) -> String {
        format!("- {{case: '{case}', sets: [s], images: [i], step: {step}, effect: e, reason: r, link: l}}\n")
    }

    #[rstest]
    #[case("a", "a@p", true)]
    #[case("a", "a", true)]
    #[case("a@p", "a@p", true)]
    #[case("a@p", "a@q", false)]
    #[case("a", "a:x@p", false)]
    #[case("a:x", "a:x@p", true)]
    #[case("a", "ab@p", false)]
    fn an_entry_is_of_its_variants_alone(#[case] entry: &str, #[case] id: &str, #[case] want: bool) {
        let known = read(&one(entry, "all")).unwrap();
        assert_eq!(known.find(&["s"], "i", id).len(), usize::from(want));
        assert!(known.find(&["other"], "i", id).is_empty());
        assert!(known.find(&["s"], "other", id).is_empty());
    }

    #[rstest]
    #[case("x", Ok(vec!["x"]))]
    #[case("[x, y]", Ok(vec!["x", "y"]))]
    #[case("{x: y}", Err("k.yaml:1:59: expected a text, or a list of texts, found map"))]
    #[case("[[x]]", Err("k.yaml:1:60: expected a text, found a list"))]
    fn effects_are_a_text_or_several(#[case] effect: &str, #[case] want: Result<Vec<&str>, &str>) {
        let text = one("a", "all").replace("effect: e", &format!("effect: {effect}"));
        let got = read(&text).map(|known| known.0[0].effect.0.clone());
        assert_eq!(
            got,
            want.map(|all| all.iter().map(ToString::to_string).collect())
                .map_err(str::to_owned)
        );
    }

    #[test]
    fn effects_are_written_as_they_are_read() {
        for texts in [&[][..], &["x"], &["x", "y"]] {
            let effects = Effects(texts.iter().map(ToString::to_string).collect());
            let json = serde_json::to_value(&effects).unwrap();
            assert_eq!(serde_json::from_value::<Effects>(json).unwrap(), effects);
        }
    }

    #[rstest]
    #[case("all", Ok(StepRef::All))]
    #[case("3", Ok(StepRef::Index(3)))]
    #[case(
        "any",
        Err("k.yaml:1:45: expected a step's index from 0, or `all`, found string \"any\"")
    )]
    #[case(
        "-1",
        Err("k.yaml:1:45: expected a step's index from 0, or `all`, found integer `-1`")
    )]
    fn a_step_is_an_index_or_all(#[case] step: &str, #[case] want: Result<StepRef, &str>) {
        let got = read(&one("a", step)).map(|known| known.0[0].step);
        assert_eq!(got, want.map_err(str::to_owned));
    }
}
