//! `selftest`: tries every sabotage, and prints a table.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use super::args::{DEFAULT_SET, SelftestArgs};
use super::failure::Failure;
use super::prologue::machines;
use crate::exit;
use crate::report::human::count;
use virt_aa_engine::backend::Backend;
use virt_aa_engine::prepare::{SetRequest, prepare};
use virt_aa_engine::root::Root;
use virt_aa_engine::runner::Runner;
use virt_aa_engine::selftest::{Bench, Outcome, Sabotage, Tried, table};
use virt_aa_engine::setup;
use virt_aa_model::yaml::suggest;

/// Try each sabotage, print its result, and return how it went.
pub fn selftest(root: &Root, args: &SelftestArgs) -> Result<u8, Failure> {
    let started = Instant::now();
    let table = table().map_err(Failure::broken)?;
    let chosen = choose(&table, &args.names)?;
    let mut out = io::stdout();
    if args.list {
        for sabotage in &chosen {
            let Sabotage {
                name, what, gives, ..
            } = sabotage;
            put(&mut out, &format!("{:<12}  {name:<22}  {what}", gives.name()))?;
        }
        return Ok(exit::OK);
    }
    let data = setup::data(root)?;
    let config = setup::vm_config(root, &args.image)?;
    let backend = Backend::Vm(config.clone()).within(args.timeout);
    let image = setup::image(root, &args.image, false)?;
    let (prepared, session) =
        prepare(&data, &image, &SetRequest::plain(DEFAULT_SET), &backend).map_err(setup::of_prepare)?;
    let until = started + args.timeout;
    let machines = args.jobs.unwrap_or_else(|| machines(&backend));
    let bench = |session| {
        let runner = Runner::new(&data, &prepared, &backend, session).until(until);
        Bench::new(&data, &prepared, &config, runner)
    };
    // Each machine takes the next sabotage that is not taken.
    let next = AtomicUsize::new(0);
    let (tell, told) = mpsc::channel();
    let mut session = Some(session);
    let mut printed = Ok(());
    let (mut caught, mut refused, mut not_done) = (0, 0, 0);
    thread::scope(|scope| {
        for _ in 0..machines {
            let (session, tell) = (session.take(), tell.clone());
            let (next, chosen, bench) = (&next, &chosen, &bench);
            scope.spawn(move || {
                let mut bench = bench(session);
                while let Some(sabotage) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tried = bench.attempt(sabotage);
                    if tell.send((*sabotage, tried)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        for (sabotage, tried) in told {
            match tried.outcome {
                Outcome::Caught => caught += 1,
                Outcome::Refused => refused += 1,
                Outcome::NotDone => not_done += 1,
                Outcome::Missed | Outcome::Otherwise => {}
            }
            printed = put(&mut out, &line(sabotage, &tried));
            if printed.is_err() {
                return;
            }
        }
    });
    printed?;
    let all = chosen.len();
    let good = caught + refused;
    let mut told = format!(
        "{} in {:.1} s: {caught} caught",
        count(all, "sabotage"),
        started.elapsed().as_secs_f64()
    );
    if refused > 0 {
        told += &format!(", {refused} unknown to the image's parser");
    }
    put(&mut out, &format!("{told}, {} not", all - good))?;
    Ok(if good == all {
        exit::OK
    } else if good + not_done == all {
        exit::BROKEN
    } else {
        exit::RED
    })
}

fn choose<'t>(table: &'t [Sabotage], names: &[String]) -> Result<Vec<&'t Sabotage>, Failure> {
    if names.is_empty() {
        return Ok(table.iter().collect());
    }
    let find = |name: &String| {
        table
            .iter()
            .find(|sabotage| sabotage.name == *name)
            .ok_or_else(|| {
                let all = table.iter().map(|sabotage| sabotage.name.as_str());
                let help = suggest::help(name, all).unwrap_or_else(|| "`selftest --list` has them".into());
                Failure::usage(format!("no sabotage `{name}`; {help}"))
            })
    };
    names.iter().map(find).collect()
}

fn line(sabotage: &Sabotage, tried: &Tried) -> String {
    let Sabotage { name, what, .. } = sabotage;
    let verdict = tried.verdict.map_or("-", |verdict| verdict.name());
    let line = format!("{:<9} {verdict:<12} {name:<22} {what}", tried.outcome.name());
    match &tried.detail {
        Some(detail) => format!("{line}\n    {detail}"),
        None => line,
    }
}

fn put(out: &mut impl Write, line: &str) -> Result<(), Failure> {
    writeln!(out, "{line}").map_err(Failure::broken)
}
