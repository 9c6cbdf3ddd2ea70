use rstest::rstest;

use super::*;

fn record(fields: &str) -> Record {
    aa_audit::parse_record(format!("apparmor=\"DENIED\" {fields}").as_bytes()).unwrap()
}

/// None of these may come to a rule: the parser would make one for everything of it.
#[rstest]
#[case::ptrace(r#"operation="ptrace" profile="libvirtd" pid=7"#)]
#[case::ptrace_without_peer(
    r#"operation="ptrace" profile="libvirtd" requested_mask="read" denied_mask="read""#
)]
#[case::signal(r#"operation="signal" profile="libvirtd" pid=7 comm="libvirtd" requested_mask="send" denied_mask="send" signal=term"#)]
#[case::file_without_mask(r#"operation="open" class="file" profile="libvirtd" name="/a""#)]
#[case::capability(r#"operation="capable" profile="libvirtd" pid=7 comm="libvirtd""#)]
#[case::network(r#"operation="create" class="net" profile="libvirtd" family="packet""#)]
#[case::mount(r#"operation="mount" profile="libvirtd" name="/a""#)]
#[case::dbus(r#"operation="dbus_method_call" bus="system" mask="send" label="libvirtd""#)]
#[case::no_profile(r#"operation="capable" capname="kill""#)]
fn no_rule_comes_of_half_a_record(#[case] fields: &str) {
    let record = record(fields);
    assert!(!record.lacks().is_empty());
    assert_eq!(rule(&record), None);
}

#[rstest]
#[case::guest(
    "libvirt-0f3a2b1c-9d8e-4c7b-a615-2e4d6f8a0b1c",
    "rmix",
    "in abstractions/libvirt-qemu would allow it to every guest"
)]
#[case::daemon(
    "libvirtd",
    "PUx",
    "in profile libvirtd would allow it; on one host, put it into local/usr.sbin.libvirtd"
)]
#[case::by_path("/usr/sbin/virtqemud", "PUx", "local/usr.sbin.virtqemud")]
#[case::other("swtpm", "rmix", "in profile swtpm would allow it")]
#[case::child(
    "libvirtd//qemu_bridge_helper",
    "rmix",
    "in profile libvirtd//qemu_bridge_helper would allow it"
)]
fn a_program_runs_as_the_profile_runs_others(#[case] profile: &str, #[case] mode: &str, #[case] place: &str) {
    let record = record(&format!(
        r#"operation="exec" profile="{profile}" name="/usr/local/bin/x" requested_mask="x" denied_mask="x" fsuid=0 ouid=0"#
    ));
    let lines = advise(&record, None);
    assert!(
        lines[0].starts_with(&format!("the rule `/usr/local/bin/x {mode},` in ")),
        "{lines:?}"
    );
    assert!(lines[0].contains(place), "{lines:?}");
}

#[rstest]
#[case::disk("/srv/vm/a.img", true)]
#[case::pool("/var/lib/libvirt/images/a.img", true)]
#[case::system("/etc/ceph/ceph.conf", false)]
#[case::tpm("/var/lib/libvirt/swtpm/a/tpm2/", false)]
fn a_guests_own_file_is_virt_aa_helpers_to_list(#[case] path: &str, #[case] listed: bool) {
    let record = record(&format!(
        r#"operation="open" profile="libvirt-0f3a2b1c-9d8e-4c7b-a615-2e4d6f8a0b1c" name="{path}" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#
    ));
    let says = advise(&record, None)
        .iter()
        .any(|line| line.contains("virt-aa-helper should have listed it"));
    assert_eq!(says, listed);
}
