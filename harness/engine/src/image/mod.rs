//! Images: recipes, and what is built from them.

mod boot;
mod bootstrap;
mod build;
mod elf;
mod error;
mod facts;
mod host_tree;
mod initramfs;
mod kernel;
mod modules;
mod progress;
mod recipe;
mod store;
mod this_host;
mod tree;
mod unpack;
mod versions;
mod written;

pub use bootstrap::check_tools;
pub use build::{BuildOptions, ensure, needed_mib};
pub use error::ImageError;
pub use facts::ImageFacts;
pub use initramfs::AgentError;
pub(crate) use initramfs::boot_initrd;
pub use progress::{PlainProgress, Progress, TerminalProgress, progress_for_stderr};
pub use recipe::{DEFAULT, Filesystem, Recipe, RecipeError, Source};
pub use store::{Image, ImageState, Pruned, Row, Store, find, list, path, prune};
pub use this_host::this_host;
pub use tree::Given;
