//! The commands.
pub mod args;
pub mod exit;
pub mod failure;
pub mod main;
mod prove;
mod run;
mod select;
mod setup;
