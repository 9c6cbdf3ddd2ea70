//! What other projects' CI runs: templates, written from the cases' and images' own data. Pure but for [`mod@write`].

pub mod autopkgtest;
pub mod facts;
pub mod github;
pub mod gitlab;
#[cfg(test)]
mod tests;
pub mod text;
pub mod tmt;
pub mod write;
