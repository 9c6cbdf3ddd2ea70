//! `keeper`: holds a machine for test processes. They start it themselves.

use std::io::Write;

use super::args::KeeperArgs;
use super::failure::Failure;
use crate::exit;
use virt_aa_engine::keeper::{Target, serve};
use virt_aa_engine::root::Root;

/// Serve until there are no more requests.
pub fn keep(root: &Root, args: &KeeperArgs) -> Result<u8, Failure> {
    let program = std::env::current_exe().map_err(Failure::broken)?;
    let target = Target {
        root: root.dir.clone(),
        target: args.target.target(),
        program,
    };
    let ready = || {
        let mut out = std::io::stdout();
        writeln!(out, "ready")?;
        out.flush()
    };
    serve(&target, &args.key, ready).map_err(Failure::broken)?;
    Ok(exit::OK)
}
