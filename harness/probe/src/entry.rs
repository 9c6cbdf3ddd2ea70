//! The parts that the program plays besides the harness: PID 1 of a VM, the agent, a subject, a stand-in, a script's
//! wait.

use std::process::ExitCode;

use crate::{agent, init, local, ready, standin, worker};

/// Play the part that this process was started for; `None` if it is the harness.
pub fn dispatch() -> Option<ExitCode> {
    let part = std::env::args().nth(1);
    // The first process of a container is not the init of a machine.
    if init::is_init() && part.as_deref() != Some(local::HOLDER) {
        boot_and_serve();
    }
    match part.as_deref() {
        Some(worker::SUBJECT) => Some(worker::main()),
        Some(local::LOCAL) => Some(local::main(agent::serve_locally)),
        Some(local::HOLDER) => Some(local::hold()),
        Some(standin::STAND_IN) => Some(standin::main()),
        Some(ready::AWAIT) => Some(ready::main()),
        _ => None,
    }
}

fn boot_and_serve() -> ! {
    match init::boot() {
        Ok(mut port) => init::reap_around(|| {
            if let Err(error) = agent::serve(&mut port) {
                // The harness reads the console after the stream has ended.
                eprintln!("{}the agent ends: {error}", init::CONSOLE_PREFIX);
            }
        }),
        Err(error) => init::give_up(&error),
    }
    init::power_off()
}
