//! The commands.
pub mod args;
pub mod exit;
pub mod failure;
pub mod main;
mod run;
mod select;
mod setup;
