//! From the command line to an exit status.

use std::process::ExitCode;

use clap::Parser;

use super::args::{Cli, Command};
use super::failure::Failure;
use super::{
    bundle, check, completions, denials, doctor, emit, image, keeper, list, man, merge, plan, prove, repair,
    run, schema, selftest, shell, table,
};
use crate::exit;
use virt_aa_engine::children;
use virt_aa_engine::root::{Root, RootError};

/// Parse the command line and do what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = children::install_signal_handler() {
        eprintln!("error: {error}");
        return exit::BROKEN.into();
    }
    match dispatch(&cli) {
        Ok(status) => status.into(),
        Err(failure) => {
            failure.print();
            failure.status.into()
        }
    }
}

/// The data files from the folder that the command line or the environment names.
fn find_root(cli: &Cli) -> Result<Root, Failure> {
    Root::find(cli.root.as_deref(), cli.cases_dir.as_deref()).map_err(|error| match error {
        RootError::Lacks { .. } | RootError::NoCases(_) => Failure::usage(error),
        other => Failure::broken(other),
    })
}

fn dispatch(cli: &Cli) -> Result<u8, Failure> {
    let root = || find_root(cli);
    match &cli.command {
        Command::Run(args) => run::run(&root()?, args),
        Command::Prove(args) => prove::prove_all(&root()?, args),
        Command::Selftest(args) => selftest::selftest(&root()?, args),
        Command::Merge(args) => merge::merge(args),
        Command::Show(args) => bundle::show(args),
        Command::Verify(args) => bundle::verify(args),
        Command::Table(args) => table::table(args),
        Command::Plan(args) => plan::plan(&root()?, args),
        Command::Emit(args) => emit::emit(&root()?, args),
        Command::List(args) => list::list(&root()?, args),
        Command::Check => check::check(&root()?),
        Command::Doctor { repair: false } => doctor::doctor(root()),
        Command::Doctor { repair: true } => repair::repair(),
        Command::Image(command) => image::image(&root()?, command),
        Command::Shell(args) => shell::shell(&root()?, args),
        Command::Denials(args) => denials::denials(root(), args),
        Command::Keeper(args) => keeper::keep(&root()?, args),
        Command::Schema { kind } => schema::schema(*kind),
        Command::Completions { shell } => completions::completions(*shell, root()),
        Command::Man { dir } => man::man(dir.as_deref()),
    }
}
