//! Tests every format with made-up runs. `UPDATE_EXPECT=1 cargo test -p virt-aa-conform --lib report::` writes the
//! files anew.

mod edited;
mod golden;
mod many;
mod status;
