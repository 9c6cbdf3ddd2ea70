//! `shell`: a root shell in the booted image, with the set loaded.

use std::io::{self, IsTerminal};

use super::args::{BackendName, ShellArgs};
use super::exit;
use super::failure::Failure;
use super::setup;
use crate::backend::{Backend, Console, VmConfig};
use crate::root::Root;

/// Boot, load, and hand the terminal over until the shell ends.
pub fn shell(root: &Root, args: &ShellArgs) -> Result<u8, Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::usage(
            "the shell needs a terminal for standard input and output; call it without a pipe or redirection",
        ));
    }
    if args.target.backend != BackendName::Vm {
        return Err(Failure::usage("the shell is of the vm backend"));
    }
    let data = setup::data(root)?;
    let backend = Backend::Vm(VmConfig {
        console: Console::Stdio,
        ..setup::vm_config(root, &args.target.image)?
    });
    eprintln!("booting {}; the shell's end ends the machine", args.target.image);
    let (prepared, mut session) =
        setup::prepared(root, &data, &args.target, args.known_bad.as_deref(), &backend)?;
    let base = &prepared.base;
    session
        .load(base.compiled.policies(), base.set.overlay())
        .map_err(Failure::broken)?;
    session.shell().map_err(Failure::broken)?;
    Ok(exit::OK)
}
