//! `man`: manual pages, made from the definition of the command line.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::args::Cli;
use super::failure::Failure;
use super::output;
use crate::exit;

/// The manual that the pages belong to.
const MANUAL: &str = "virt-aa-conform";

/// Print the page of the program, or write all pages into a folder.
pub fn man(dir: Option<&Path>) -> Result<u8, Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    match dir {
        None => output::print(&page(&command).map_err(Failure::broken)?.1)?,
        Some(dir) => write(&command, dir)?,
    }
    Ok(exit::OK)
}

fn write(command: &Command, dir: &Path) -> Result<(), Failure> {
    let (name, text) = page(command).map_err(Failure::broken)?;
    let file = dir.join(name);
    fs::write(&file, text)
        .map_err(|error| Failure::broken(format!("cannot write {}: {error}", file.display())))?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| write(command, dir))
}

/// A page's file name and text.
fn page(command: &Command) -> io::Result<(String, String)> {
    let version = env!("CARGO_PKG_VERSION");
    // The text after the help gets its own section.
    let after = command.get_after_help().map(ToString::to_string);
    let command = command.clone().after_help(None::<&str>);
    let man = Man::new(command)
        .source(format!("{MANUAL} {version}"))
        .manual(MANUAL);
    let mut text = Vec::new();
    man.render(&mut text)?;
    after.map_or(Ok(()), |after| section(&after).to_writer(&mut text))?;
    Ok((man.get_filename(), String::from_utf8_lossy(&text).into_owned()))
}

/// A heading, which ends with a colon, and below it entries of a word and its meaning. A line with more indentation
/// continues the meaning. Any other line is a paragraph of its own.
fn section(text: &str) -> Roff {
    const ENTRY: &str = "  ";
    let mut roff = Roff::new();
    for line in text.lines() {
        match line.strip_prefix(ENTRY) {
            None if line.is_empty() => {}
            None => match line.strip_suffix(':') {
                Some(heading) => {
                    roff.control("SH", [heading.to_uppercase().as_str()]);
                }
                None => {
                    roff.control("PP", []).text([roman(line)]);
                }
            },
            Some(entry) if !entry.starts_with(' ') => {
                let (word, meaning) = entry.split_once(' ').unwrap_or((entry, ""));
                roff.control("TP", [])
                    .text([bold(word)])
                    .text([roman(meaning.trim())]);
            }
            Some(more) => {
                roff.text([roman(more.trim())]);
            }
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::EXIT_STATUSES;

    #[test]
    fn every_command_that_is_shown_has_a_page_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        man(Some(dir.path())).unwrap();
        let has = |name: &str| dir.path().join(name).exists();
        for command in Cli::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
        {
            assert!(
                has(&format!("virt-aa-conform-{}.1", command.get_name())),
                "{command}"
            );
        }
        assert!(has("virt-aa-conform.1") && has("virt-aa-conform-image-build.1"));
        assert!(!has("virt-aa-conform-keeper.1") && !has("virt-aa-conform-help.1"));
        let run = fs::read_to_string(dir.path().join("virt-aa-conform-run.1")).unwrap();
        for option in ["root", "cases", "image"] {
            assert!(
                run.contains(&format!("\n\\fB\\-\\-{option}\\fR")),
                "{option}: {run}"
            );
        }
        assert!(man(Some(&dir.path().join("none"))).is_err());
    }

    #[test]
    fn each_exit_status_is_an_entry() {
        let text = section(EXIT_STATUSES).to_roff();
        assert_eq!(text.matches(".TP").count(), 7, "{text}");
        assert!(
            text.contains(".SH \"EXIT STATUS\"") && text.contains("\\fB130\\fR\n"),
            "{text}"
        );
        assert!(text.contains("\n.PP\nIf several apply, "), "{text}");
        assert_eq!(text.matches(".SH").count(), 1, "{text}");
    }
}
