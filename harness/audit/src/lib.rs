//! aa-audit
