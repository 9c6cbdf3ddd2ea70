//! The commands.
pub mod args;
mod audit_text;
mod check;
mod denials;
mod doctor;
pub mod exit;
pub mod failure;
mod image;
mod list;
pub mod main;
mod output;
mod prove;
mod run;
mod schema;
mod select;
mod setup;
mod shell;
mod skeleton;
