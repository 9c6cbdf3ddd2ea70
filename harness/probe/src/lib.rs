//! virt-aa-probe
pub mod init;
pub mod protocol;
