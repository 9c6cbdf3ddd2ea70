//! One machine for many test processes: the first process starts a keeper that holds it, the others join.

mod bench;
mod client;
mod place;
mod server;
mod wire;

pub use bench::{Job, Target, work};
pub use client::{KeeperError, ask};
pub use place::{Place, PlaceError};
pub use server::{ServeError, serve};
pub use wire::{Answer, Ask, Told};
