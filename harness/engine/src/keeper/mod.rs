//! One machine for many test processes: the first process starts a keeper that holds it, the others join.

mod client;
mod paths;
mod server;
mod wire;
mod work;

pub use client::{KeeperError, ask};
pub use paths::{KeeperPaths, KeeperPathsError};
pub use server::{ServeError, serve};
pub use wire::{Answer, Ask, KeeperMessage};
pub use work::{Job, Target, work};
