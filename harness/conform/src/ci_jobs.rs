//! The jobs that a CI system runs, one for each image and shard: as JSON, as a GitHub matrix, as a GitLab pipeline.
//! Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use virt_aa_model::report::model::{PROGRAM_VERSION, SCHEMA_VERSION};
use virt_aa_model::shard::Shard;
use virt_aa_model::shell::word;

/// The fewest cases of a shard. Each shard boots its own machine, which takes longer than some cases.
const FEWEST_CASES: usize = 8;

/// One image with its cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The image.
    pub image: String,
    /// Names of the cases that belong on it.
    pub cases: Vec<String>,
}

/// One run of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// Unique, and valid as a file name: `debian-13-1-of-2`.
    pub id: String,
    /// The image.
    pub image: String,
    /// `1/2`; null if the image's cases are not split.
    pub shard: Option<String>,
    /// Arguments of `virt-aa-conform`. Words are quoted for a shell if they need it.
    pub arguments: String,
    /// Names of the cases that belong on the image. A shard has those of all the image's shards.
    pub cases: Vec<String>,
}

/// The jobs of these groups. An image with few cases has fewer shards than requested. `more` are arguments for every
/// run.
pub fn jobs(groups: &[Group], shards: usize, more: &[String]) -> Vec<Job> {
    let of_group = |group: &Group| {
        let of = shards.min(group.cases.len() / FEWEST_CASES).max(1);
        let job = |index: usize| {
            let shard = (of > 1).then_some(Shard { index, of });
            let mut words = vec!["run".to_string(), "--image".into(), word(&group.image)];
            if let Some(shard) = shard {
                words.extend(["--shard".to_string(), shard.to_string()]);
            }
            words.extend(more.iter().map(|more| word(more)));
            Job {
                id: match shard {
                    Some(_) => format!("{}-{index}-of-{of}", group.image),
                    None => group.image.clone(),
                },
                image: group.image.clone(),
                shard: shard.map(|shard| shard.to_string()),
                arguments: words.join(" "),
                cases: group.cases.clone(),
            }
        };
        (1..=of).map(job).collect::<Vec<_>>()
    };
    groups
        .iter()
        .filter(|group| !group.cases.is_empty())
        .flat_map(of_group)
        .collect()
}

/// All jobs as JSON.
pub fn as_json(jobs: &[Job]) -> serde_json::Result<String> {
    let plan = json!({"schema_version": SCHEMA_VERSION, "program_version": PROGRAM_VERSION, "jobs": jobs});
    Ok(serde_json::to_string_pretty(&plan)? + "\n")
}

/// The value of a job's `strategy.matrix`, on one line, as the output of a step must be.
pub fn as_github(jobs: &[Job]) -> serde_json::Result<String> {
    let include: Vec<_> = jobs
        .iter()
        .map(|job| json!({"id": job.id, "image": job.image, "shard": job.shard, "arguments": job.arguments}))
        .collect();
    Ok(serde_json::to_string(&json!({"include": include}))? + "\n")
}

#[derive(Serialize)]
struct GitlabJob {
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needs: Vec<String>,
    script: Vec<String>,
    artifacts: Artifacts,
}

#[derive(Serialize)]
struct Artifacts {
    when: &'static str,
    paths: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reports: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Include {
    local: String,
}

#[derive(Serialize)]
struct Pipeline {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<Include>,
    stages: Vec<&'static str>,
    #[serde(flatten)]
    jobs: BTreeMap<String, GitlabJob>,
}

/// A child pipeline. A job joins the shards of an image, even if one of them is red. `include` is a file of the
/// repository with what every job needs, such as `default:`.
pub fn as_gitlab(jobs: &[Job], include: Option<&str>) -> Result<String, serde_yaml::Error> {
    let mut all = BTreeMap::new();
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for job in jobs {
        let mut script = format!("virt-aa-conform {} --report json:{}.json", job.arguments, job.id);
        if job.shard.is_none() {
            script += &format!(" --report junit:{}.xml", job.id);
        } else {
            shards.entry(&job.image).or_default().push(&job.id);
        }
        let job_of = GitlabJob {
            stage: "conform",
            when: None,
            needs: Vec::new(),
            script: vec![script],
            artifacts: artifacts(&job.id, job.shard.is_none()),
        };
        all.insert(job.id.clone(), job_of);
    }
    for (image, ids) in shards {
        let files: String = ids.iter().map(|id| format!(" {id}.json")).collect();
        let id = format!("{image}-merge");
        let script = format!("virt-aa-conform merge{files} --report json:{id}.json --report junit:{id}.xml");
        let job = GitlabJob {
            stage: "merge",
            when: Some("always"),
            needs: ids.iter().map(|id| (*id).to_string()).collect(),
            script: vec![script],
            artifacts: artifacts(&id, true),
        };
        all.insert(id, job);
    }
    let pipeline = Pipeline {
        include: include
            .map(|local| Include { local: local.into() })
            .into_iter()
            .collect(),
        stages: vec!["conform", "merge"],
        jobs: all,
    };
    Ok(format!(
        "# Made by `virt-aa-conform plan --format gitlab`.\n{}",
        serde_yaml::to_string(&pipeline)?
    ))
}

/// The JSON report, and JUnit if the job covers a whole run.
fn artifacts(id: &str, whole: bool) -> Artifacts {
    let junit = whole.then(|| ("junit", format!("{id}.xml")));
    Artifacts {
        when: "always",
        paths: vec![format!("{id}.json")],
        reports: junit.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    fn made() -> Vec<Job> {
        let group = |image: &str, cases: usize| Group {
            image: image.into(),
            cases: (0..cases).map(|case| format!("case-{case}")).collect(),
        };
        let groups = [
            group("debian-13", 2 * FEWEST_CASES),
            group("debian-13-xen", 2 * FEWEST_CASES - 1),
            group("none", 0),
        ];
        jobs(&groups, 2, &["it's/*".to_string()])
    }

    #[test]
    fn few_cases_are_not_split_and_none_are_not_run() {
        let ids: Vec<String> = made().into_iter().map(|job| job.id).collect();
        assert_eq!(ids, ["debian-13-1-of-2", "debian-13-2-of-2", "debian-13-xen"]);
    }

    #[test]
    fn a_word_that_a_shell_would_read_is_quoted() {
        assert_eq!(
            made()[0].arguments,
            r"run --image debian-13 --shard 1/2 'it'\''s/*'"
        );
    }

    #[test]
    fn a_matrix_is_one_line() {
        let matrix = as_github(&made()).unwrap();
        assert_eq!(matrix.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&matrix).unwrap();
        assert_eq!(value["include"][1]["shard"], "2/2");
        assert_eq!(value["include"][2]["shard"], serde_json::Value::Null);
    }

    #[test]
    fn a_pipeline_reads_as_before() {
        expect_file!["../tests/golden/plan.gitlab.yml"]
            .assert_eq(&as_gitlab(&made(), Some("/ci/default.yml")).unwrap());
    }
}
