//! `shell`: a root shell in the booted image, with the set loaded.

use std::io::{self, IsTerminal};

use super::args::{BackendArg, ShellArgs};
use super::failure::Failure;
use crate::exit;
use virt_aa_engine::backend::{Backend, Console, VmConfig};
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;

/// Boot, load the set, and hand over the terminal until the shell ends.
pub fn shell(root: &Root, args: &ShellArgs) -> Result<u8, Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::usage(
            "the shell needs a terminal for standard input and output; call it without a pipe or redirection",
        ));
    }
    if args.target.backend != BackendArg::Vm {
        return Err(Failure::usage("the shell is of the vm backend"));
    }
    let data = setup::data(root)?;
    let backend = Backend::Vm(VmConfig {
        console: Console::Stdio,
        saved_states: !args.target.no_saved_state,
        ..setup::vm_config(root, &args.target.image)?
    });
    eprintln!("starting {}; the shell's end ends the machine", args.target.image);
    let (prepared, mut session) = setup::prepared(
        root,
        &data,
        &args.target.target(),
        args.known_bad.as_deref(),
        &backend,
    )?;
    let base = &prepared.base;
    session
        .load(base.compiled.policies(), base.set.overlay())
        .map_err(Failure::broken)?;
    session.shell().map_err(Failure::broken)?;
    Ok(exit::OK)
}
