//! virt-aa-probe
