//! What PID 1 does besides: it reaps what has lost its parent.

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Do the work in a child, and reap everything that ends until that child has ended.
///
/// It is a process of its own, so that neither waits for a child of the other's. And orphans are reaped at once: a
/// libvirtd that ends the QEMU which it asked for its abilities, a daemon, waits half a minute for a zombie to go.
///
/// Call it while there is only one thread.
pub fn reap_around(work: impl FnOnce()) {
    // SAFETY: no other thread has been started, so the child has everything that it needs.
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
