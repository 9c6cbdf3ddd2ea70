//! What virt-aa-conform judges by, as values: cases, fixtures, profile-set manifests, known failures, the plan of a
//! case, evidence, the verdict, and the report's data. Nothing here touches a machine; it reads only data files.

pub mod advice;
pub mod case;
pub mod case_run;
pub mod check;
pub mod compare;
pub mod data;
pub mod denial;
pub mod fixture;
pub mod guard;
pub mod known;
pub mod merge;
pub mod profile_set;
pub mod report;
pub mod shard;
pub mod shell;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verdict;
pub mod yaml;
