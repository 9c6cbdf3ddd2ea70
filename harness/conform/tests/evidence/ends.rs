//! Machines and programs that end before their time.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use virt_aa_model::verdict::judge::Verdict;

use crate::data_under_test::{is_red, passes};
use crate::machine::{image_name, program, root, with_bench};
use crate::processes::{Watched, qemu_of};

const CASE: &str = "socket";
/// For a machine to be there; it may have to be booted on a busy host.
const BOOT: Duration = Duration::from_secs(120);
/// For processes to be gone once they have been told.
const END: Duration = Duration::from_secs(20);
/// Until a case that takes longer is surely under way.
const UNDER_WAY: Duration = Duration::from_secs(1);

pub fn hanging_step() -> Result<(), String> {
    with_bench(|bench| {
        passes(&bench.run_honest(CASE)?)?;
        is_red(
            &bench.run_as_loaded("hang")?,
            Verdict::Error,
            "did not end within its time limit",
        )?;
        // What it was denied before it hung is not lost, and is the profile's fault.
        is_red(&bench.run_as_loaded("hang-denied")?, Verdict::Fail, "was denied")?;
        passes(&bench.run_as_loaded(CASE)?)
    })
}

pub fn qemu_killed() -> Result<(), String> {
    signalled(libc::SIGKILL, "QEMU ended with signal: 9")
}

pub fn qemu_stopped() -> Result<(), String> {
    signalled(libc::SIGSTOP, "did not respond")
}

/// The case is an error that says how the machine ended, and the next one has a new machine.
fn signalled(signal: i32, reason: &str) -> Result<(), String> {
    with_bench(|bench| {
        passes(&bench.run_honest(CASE)?)?;
        bench.set_grace(Duration::from_secs(3))?;
        let qemu = qemu_of(std::process::id(), BOOT)?;
        let run = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(UNDER_WAY);
                qemu.signal(signal);
            });
            bench.run_as_loaded("long")
        })?;
        is_red(&run, Verdict::Error, reason)?;
        qemu.ends_within(END)?;
        passes(&bench.run_as_loaded(CASE)?)
    })
}

pub fn guest_panic() -> Result<(), String> {
    with_bench(|bench| {
        passes(&bench.run_honest(CASE)?)?;
        let run = bench.run_as_loaded("panic")?;
        is_red(&run, Verdict::Error, "the guest's kernel panicked")?;
        is_red(&run, Verdict::Error, "last lines of console")?;
        passes(&bench.run_as_loaded(CASE)?)
    })
}

/// Ends the program if a test gives up.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run_and_signal(signal: i32) -> Result<(Program, Watched), String> {
    let child = Command::new(program())
        .args(["run", "--image", &image_name()])
        .arg("--root")
        .arg(root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let program = Program(child);
    let qemu = qemu_of(program.0.id(), BOOT)?;
    let pid = i32::try_from(program.0.id()).map_err(|error| error.to_string())?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::try_from(signal).map_err(|errno| errno.to_string())?,
    )
    .map_err(|errno| errno.to_string())?;
    Ok((program, qemu))
}

pub fn program_interrupted() -> Result<(), String> {
    let (mut program, qemu) = run_and_signal(libc::SIGINT)?;
    qemu.ends_within(END)?;
    let status = program.0.wait().map_err(|error| error.to_string())?;
    match status.code() {
        Some(130) => Ok(()),
        _ => Err(format!("it ended with {status}, not with status 130")),
    }
}

pub fn program_killed() -> Result<(), String> {
    let (_program, qemu) = run_and_signal(libc::SIGKILL)?;
    qemu.ends_within(END)
}
