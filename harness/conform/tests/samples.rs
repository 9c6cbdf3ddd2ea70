//! Every sample in the documents is what the program prints now: the commands of each `console` block are run, on a real
//! machine where they need one. Times, process ids, versions and the like may differ; a line `…` stands for any lines.
//! `UPDATE_EXPECT=1` writes the samples anew, but for those with such a line.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use regex::Regex;

/// Seconds for one command, the build of the image included.
const LIMIT: &str = "1500";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        Trial::test("what_may_differ_is_left_out", || {
            Ok(what_may_differ_is_left_out()?)
        }),
        Trial::test("what_differs_is_told", || Ok(what_differs_is_told()?)),
    ];
    for page in pages() {
        let text = match std::fs::read_to_string(project().join(&page)) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("{}: {error}", page.display());
                return ExitCode::FAILURE;
            }
        };
        let samples = samples(&text);
        // README.md always has some; without this, a broken reader of blocks would pass.
        if page == Path::new("README.md") && samples.is_empty() {
            eprintln!("README.md has no `console` block");
            return ExitCode::FAILURE;
        }
        for (index, sample) in samples.into_iter().enumerate() {
            let name = format!("{} {}", page.display(), index + 1);
            let page = page.clone();
            trials.push(Trial::test(name, move || Ok(check(&page, &sample)?)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The documents, relative to the project.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md")];
    let docs = std::fs::read_dir(project().join("docs"))
        .into_iter()
        .flatten()
        .flatten();
    pages.extend(docs.map(|entry| Path::new("docs").join(entry.file_name())));
    pages.sort();
    pages
}

/// A `console` block.
struct Sample {
    whole: String,
    commands: Vec<Sampled>,
}

/// One command of a block, with the text that it reads, and what it prints.
struct Sampled {
    command: String,
    output: String,
}

fn samples(text: &str) -> Vec<Sample> {
    let blocks = text.split("```console\n").skip(1);
    let blocks = blocks.filter_map(|rest| Some(rest.split_once("```")?.0));
    blocks
        .map(|block| Sample {
            whole: block.to_owned(),
            commands: commands(block),
        })
        .collect()
}

fn commands(block: &str) -> Vec<Sampled> {
    let mut commands: Vec<Sampled> = Vec::new();
    let mut reading = false;
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            reading = command.ends_with("<<'END'");
            commands.push(Sampled {
                command: command.to_owned(),
                output: String::new(),
            });
        } else if let Some(last) = commands.last_mut() {
            let to = if reading {
                &mut last.command
            } else {
                &mut last.output
            };
            if reading {
                to.push('\n');
                to.push_str(line);
                reading = line != "END";
            } else {
                to.push_str(line);
                to.push('\n');
            }
        }
    }
    commands
}

fn check(page: &Path, sample: &Sample) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    // `denials` says what the profiles of an image say, if that is built.
    run("virt-aa-conform image build && echo built", dir.path())?;
    let mut anew = String::new();
    let mut wrong = Vec::new();
    for Sampled { command, output } in &sample.commands {
        let printed = run(command, dir.path())?;
        anew += &format!("$ {command}\n{printed}");
        if let Some(difference) = difference(output, &printed) {
            wrong.push(format!("$ {command}\n{difference}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() && !sample.whole.contains("\n…\n") {
        let file = project().join(page);
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let text = text.replace(&sample.whole, &anew);
        return std::fs::write(file, text).map_err(|error| error.to_string());
    }
    Err(wrong.join("\n"))
}

/// What a command prints on standard output, with the program in its path.
fn run(command: &str, dir: &Path) -> Result<String, String> {
    let program = Path::new(env!("CARGO_BIN_EXE_virt-aa-conform"));
    let mut path = program.parent().unwrap_or(program).as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let output = Command::new("timeout")
        .args(["--kill-after=10", LIMIT, "sh", "-c", command])
        .current_dir(dir)
        .env("PATH", path)
        .env("VIRT_AA_CONFORM_ROOT", project())
        .env_remove("VIRT_AA_CONFORM_BACKEND")
        .output()
        .map_err(|error| format!("{command}: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.stdout.is_empty() {
        return Err(format!("{command}: {}: {errors}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where what is printed is other than what the document says.
fn difference(sample: &str, printed: &str) -> Option<String> {
    let (sample, printed) = (comparable(sample), comparable(printed));
    let escaped: Vec<String> = sample.lines().map(regex::escape).collect();
    let pattern = format!("(?s)^{}\n?$", escaped.join("\n").replace("\n…\n", "\n(.*\n)?"));
    let fits = Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(&printed));
    (!fits).then(|| format!("the document says:\n{sample}and the program prints:\n{printed}"))
}

/// The text without what differs from run to run and from day to day.
fn comparable(text: &str) -> String {
    const DIFFERS: [(&str, &str); 12] = [
        (r"\d+\.\d+ s\b", "T s"),
        (r"audit\([\d.]+:\d+\)", "audit(S)"),
        (r"pid[= ]\d+", "pid P"),
        (r"\b(debian-\d+)-[0-9a-f]{16}\b", "$1-KEY"),
        (r"\(vm, [a-z]+\)", "(vm, ACCELERATOR)"),
        (r"\bkernel [^,\n]+", "kernel V"),
        (r"\bparser [^,\n]+", "parser V"),
        (r"\blibvirt [^,\n]+", "libvirt V"),
        (r"\([0-9a-f]{12}\)", "(HASH)"),
        (r"guards proven \d+/", "guards proven N/"),
        (r"\b(abstractions/[a-z-]+):\d+", "$1:L"),
        (r":\d+:\d+, in profile", ":L:C, in profile"),
    ];
    DIFFERS.iter().fold(text.to_owned(), |text, (pattern, with)| {
        Regex::new(pattern).map_or(text.clone(), |pattern| {
            pattern.replace_all(&text, *with).into_owned()
        })
    })
}

fn what_may_differ_is_left_out() -> Result<(), String> {
    let one = "debian-13-f79c5d4b77618f5b (vm, tcg), kernel 6.12, parser 4.1.0-1, libvirt 11.3, profile set packaged (b4653378b512)\n\
               pass           a@p 0.37 s guards proven 0/1\n1 case in 1.2 s: 1 pass\n";
    let other = "debian-13-0123456789abcdef (vm, kvm), kernel 6.13, parser 4.2, libvirt 12, profile set packaged (0123456789ab)\n\
                 pass           a@p 9.99 s guards proven 1/1\n1 case in 33.0 s: 1 pass\n";
    match difference(one, other) {
        None => Ok(()),
        Some(text) => Err(text),
    }
}

fn what_differs_is_told() -> Result<(), String> {
    let sample = "pass           a@p 0.37 s guards proven 0/1\n…\n2 cases in 1.2 s: 2 pass\n";
    let fits = "pass           a@p 0.4 s guards proven 0/1\nsomething\nmore\n2 cases in 1.2 s: 2 pass\n";
    let others = [
        fits.replace("2 pass", "1 pass"),
        fits.replace("a@p", "b@p"),
        fits.replace("0/1", "0/2"),
        format!("{fits}more\n"),
        String::new(),
    ];
    if let Some(text) = difference(sample, fits) {
        return Err(text);
    }
    let unseen = others.iter().find(|other| difference(sample, other).is_none());
    unseen.map_or(Ok(()), |other| Err(format!("not told: {other}")))
}
