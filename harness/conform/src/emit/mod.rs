//! Templates for other projects' CI, written from the data of cases and images. Pure except for [`mod@write`].

pub mod autopkgtest;
pub mod facts;
pub mod github;
pub mod gitlab;
#[cfg(test)]
mod tests;
pub mod text;
pub mod tmt;
pub mod write;
