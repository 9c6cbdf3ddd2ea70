use rstest::rstest;

use super::super::advise;
use super::*;

const GUEST: &str = "libvirt-0f3a2b1c-9d8e-4c7b-a615-2e4d6f8a0b1c";

fn known() -> Known {
    let mut tree = Tree::default();
    for (path, text) in [
        ("tunables/global", "@{PROC}=/proc/\n"),
        (ABSTRACTION, "  /dev/net/tun rw,\n  deny /tmp/** rw,\n"),
        (
            "usr.sbin.libvirtd",
            "profile libvirtd /usr/sbin/libvirtd {\n  /usr/bin/* PUx,\n  /usr/sbin/helper Cx -> kid,\n  audit deny /etc/x w,\n  capability kill,\n}\n",
        ),
    ] {
        tree.insert(path, text).unwrap();
    }
    Known::new(tree, "in a set")
}

fn advice(profile: &str, fields: &str) -> Vec<String> {
    let text = format!(r#"apparmor="DENIED" profile="{profile}" {fields}"#);
    advise(&aa_audit::parse_record(text.as_bytes()).unwrap(), Some(&known()))
}

fn open(name: &str, mask: &str) -> String {
    format!(r#"operation="open" name="{name}" requested_mask="{mask}" denied_mask="{mask}" fsuid=0 ouid=0"#)
}

#[rstest]
#[case::guest(
    GUEST,
    open("/tmp/a", "r"),
    "in a set, abstractions/libvirt-qemu:2 has a `deny` for it"
)]
#[case::daemon(
    "libvirtd",
    open("/etc/x", "w"),
    "in a set, usr.sbin.libvirtd:4 has a `deny` for it"
)]
#[case::in_part(
    GUEST,
    open("/tmp/a", "rm"),
    "in a set, abstractions/libvirt-qemu:2 has a `deny` for it"
)]
#[case::by_attachment(
    "/usr/sbin/libvirtd",
    open("/etc/x", "w"),
    "in a set, usr.sbin.libvirtd:4 has a `deny` for it"
)]
fn a_deny_that_outranks_the_rule_is_told_instead(
    #[case] profile: &str,
    #[case] fields: String,
    #[case] wanted: &str,
) {
    let lines = advice(profile, &fields);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with(wanted), "{lines:?}");
}

#[test]
fn what_the_set_allows_already_is_told_as_well() {
    let lines = advice(GUEST, &open("/dev/net/tun", "wr"));
    assert!(lines[0].starts_with("the rule `/dev/net/tun rw,`"), "{lines:?}");
    assert_eq!(
        lines[1],
        "in a set, abstractions/libvirt-qemu:1 (`/dev/net/tun rw,`) allows it already: another profile was loaded"
    );
    let lines = advice(GUEST, &open("/dev/net/tun", "wm"));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[rstest]
#[case::found("/usr/local/bin/helper", "Cx -> kid")]
#[case::by_default("/opt/unheard/of", "PUx")]
fn a_program_runs_as_one_of_its_name_does(#[case] program: &str, #[case] mode: &str) {
    let fields = format!(r#"operation="exec" name="{program}" requested_mask="x" denied_mask="x""#);
    let lines = advice("libvirtd", &fields);
    assert!(
        lines[0].starts_with(&format!("the rule `{program} {mode},`")),
        "{lines:?}"
    );
}

#[test]
fn a_profile_that_the_set_does_not_have_is_not_looked_up() {
    let lines = advice("swtpm", r#"operation="capable" capname="kill""#);
    assert_eq!(
        lines,
        ["the rule `capability kill,` in profile swtpm would allow it"]
    );
}
