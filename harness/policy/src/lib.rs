//! aa-policy
