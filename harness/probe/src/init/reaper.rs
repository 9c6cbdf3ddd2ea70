//! PID 1's other task: it reaps orphans.

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Run `work` in a child process, and reap everything that ends until that child has ended.
///
/// This process is PID 1, so it inherits orphans. It only reaps them; `work` waits for its own children. Orphans must be
/// reaped at once: to query QEMU's capabilities, libvirtd starts a daemonized QEMU and kills it. If nobody reaps that QEMU,
/// libvirtd waits half a minute.
///
/// Call it while there is only one thread.
pub fn reap_around(work: impl FnOnce()) {
    // SAFETY: no other thread has been started, so the child is a complete copy.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            work();
            std::process::exit(0)
        }
        Ok(ForkResult::Parent { child }) => loop {
            match waitpid(None, None) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) if pid == child => return,
                Err(errno) if errno != Errno::EINTR => return,
                _ => {}
            }
        },
        Err(error) => super::console_line(&format!("fork: {error}")),
    }
}
