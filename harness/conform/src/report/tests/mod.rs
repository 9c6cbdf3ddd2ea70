//! Every format over made-up runs. `UPDATE_EXPECT=1 cargo test -p virt-aa-conform --lib report::` writes the files anew.

mod edited;
mod golden;
pub(crate) mod made;
mod many;
mod standing;
