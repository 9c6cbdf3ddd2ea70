//! Where cases run.

pub mod accel;
mod console;
pub mod hardware;
mod local;
mod machine;
mod qemu;
mod qmp;
pub mod saved;
mod stream;
mod vm;
mod watch;

pub use local::{Kind, LocalConfig};
pub use machine::{Backend, Machine, restore, restore_in_files, start_in_file};
pub use qmp::QmpError;
pub use stream::AgentStream;
pub use vm::{Console, VmConfig, VmError};
pub use watch::{DeathReason, VmDeath};
