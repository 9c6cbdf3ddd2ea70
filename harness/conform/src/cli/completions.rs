//! `completions`: scripts by which a shell completes the command line.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;

use super::args::Cli;
use super::failure::Failure;
use super::output;
use crate::exit;
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;

/// If the program's name has hyphens, clap_complete 4.6 uses this name in bash where it defines a command's words, and
/// the other one where it looks for the command.
const MISNAMED: &str = "virt__subcmd__aa__subcmd__conform";
const NAMED: &str = "virt__aa__conform";

/// Names from the data files.
#[derive(Debug, Default)]
struct Names {
    cases: Vec<String>,
    images: Vec<String>,
    sets: Vec<String>,
    known_bad: Vec<String>,
}

/// Print the script. It has no names if the data files are missing or wrong.
pub fn completions(shell: Shell, root: Result<Root, Failure>) -> Result<u8, Failure> {
    let names = root.and_then(|root| names(&root)).unwrap_or_default();
    output::print(&script(shell, &names))?;
    Ok(exit::OK)
}

fn names(root: &Root) -> Result<Names, Failure> {
    let data = setup::data(root)?;
    Ok(Names {
        cases: data.cases.iter().map(|loaded| loaded.case.name.clone()).collect(),
        images: setup::store(root)?.names().map_err(setup::of_image)?,
        sets: data.sets.manifests.into_keys().collect(),
        known_bad: data.sets.known_bad.into_keys().collect(),
    })
}

fn script(shell: Shell, names: &Names) -> String {
    let mut command = named(Cli::command(), names);
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).replace(MISNAMED, NAMED)
}

/// The command with the names as values of its arguments, at every depth.
fn named(command: Command, names: &Names) -> Command {
    let is_image = command.get_name() == "image";
    let command = command.mut_args(|arg| with_values(arg, names));
    command.mut_subcommands(|sub| match is_image {
        true => sub.mut_args(|arg| valued(arg, &["name", "names"], &names.images)),
        false => named(sub, names),
    })
}

fn with_values(arg: Arg, names: &Names) -> Arg {
    let arg = valued(arg, &["cases"], &names.cases);
    let arg = valued(arg, &["image", "images"], &names.images);
    let arg = valued(arg, &["profiles", "base"], &names.sets);
    valued(arg, &["known_bad"], &names.known_bad)
}

fn valued(arg: Arg, ids: &[&str], values: &[String]) -> Arg {
    if ids.contains(&arg.get_id().as_str()) && !values.is_empty() {
        arg.value_parser(PossibleValuesParser::new(values))
    } else {
        arg
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Shell::Bash)]
    #[case(Shell::Zsh)]
    #[case(Shell::Fish)]
    fn names_of_the_data_stand_in_the_script(#[case] shell: Shell) {
        let some = |name: &str| vec![name.to_owned()];
        let names = Names {
            cases: some("a-case"),
            images: some("an-image"),
            sets: some("a-set"),
            known_bad: some("a-bad-set"),
        };
        let (with, without) = (script(shell, &names), script(shell, &Names::default()));
        assert!(with.contains("prune") && without.contains("prune"));
        // fish does not complete values of positional arguments.
        let names = ["a-case", "an-image", "a-set", "a-bad-set"];
        for name in names
            .into_iter()
            .filter(|name| shell != Shell::Fish || *name != "a-case")
        {
            assert!(with.contains(name), "{shell}: {name}");
            assert!(!without.contains(name), "{shell}: {name}");
        }
    }

    /// What bash offers at the end of this command line.
    fn offered(script: &str, words: &[&str]) -> String {
        const ASK: &str = r#"
            function=$(complete -p virt-aa-conform | sed 's/.*-F \([^ ]*\).*/\1/')
            COMP_WORDS=("$@")
            COMP_CWORD=$(($# - 1))
            "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[*]}""#;
        let output = std::process::Command::new("bash")
            .args(["--norc", "-c", &format!("{script}{ASK}"), "bash"])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn bash_completes_what_stands_behind_a_command() {
        let names = Names {
            cases: vec!["a-case".into(), "b-case".into()],
            images: vec!["an-image".into()],
            ..Names::default()
        };
        let script = script(Shell::Bash, &names);
        for (words, expected) in [
            (["virt-aa-conform", "imag"].as_slice(), "image"),
            (&["virt-aa-conform", "run", "a-"], "a-case"),
            (&["virt-aa-conform", "run", "a-case", "b-"], "b-case"),
            (&["virt-aa-conform", "run", "--image", "an"], "an-image"),
            (&["virt-aa-conform", "image", "build", "an"], "an-image"),
            (&["virt-aa-conform", "image", "build", "other"], ""),
        ] {
            assert_eq!(offered(&script, words), expected, "{words:?}");
        }
    }
}
