//! virt-aa-conform
