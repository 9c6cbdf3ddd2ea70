//! Skips what is not run on a host or in a container, since it would disturb the host.

use std::fs;

use super::select::Selection;
use virt_aa_engine::placement;
use virt_aa_model::case::loaded::Loaded;
use virt_aa_model::data::Data;

/// libvirt's daemons that have guests.
const DAEMONS: [&str; 5] = ["libvirtd", "virtqemud", "virtxend", "virtlxcd", "virtvboxd"];

/// Skip the cases that must not run here, each with its reason.
pub fn skip(selection: &mut Selection, data: &Data, allow_daemon: bool) {
    let daemon = if allow_daemon { None } else { running_daemon() };
    let mut stay = Vec::new();
    for variant in std::mem::take(&mut selection.variants) {
        match reason(data, &variant.loaded, daemon.as_deref()) {
            None => stay.push(variant),
            Some(reason) => selection.skipped.push((variant, reason)),
        }
    }
    selection.variants = stay;
}

/// Why a case is not run here; `daemon` is a libvirt daemon that runs on the host.
pub fn reason(data: &Data, loaded: &Loaded, daemon: Option<&str>) -> Option<String> {
    // The last feature is the most specific one.
    if let Some(feature) = placement::of_case(data, loaded).last() {
        return Some(feature.lack_elsewhere().into());
    }
    let starts_one = loaded
        .case
        .subjects
        .values()
        .any(|subject| subject.daemon.is_some());
    let daemon = daemon.filter(|_| starts_one)?;
    Some(format!(
        "it starts a libvirt daemon, and the host's own {daemon} is running; --allow-host-daemon runs it all the same"
    ))
}

/// A libvirt daemon that runs on this host.
pub fn running_daemon() -> Option<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut names = processes.filter_map(|process| fs::read_to_string(process.path().join("comm")).ok());
    names
        .find(|name| DAEMONS.contains(&name.trim_end()))
        .map(|name| name.trim_end().to_string())
}
