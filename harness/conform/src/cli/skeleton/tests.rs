use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use virt_aa_model::case::beginning::Joined;
use virt_aa_model::case::known_names::KnownNames;
use virt_aa_model::case::model::Case;
use virt_aa_model::check;
use virt_aa_model::yaml::document::Document;
use virt_aa_model::yaml::source::Source;

fn record(fields: &str) -> (Record, String) {
    let text = format!(r#"audit(1700000000.123:45): apparmor="DENIED" {fields}"#);
    (aa_audit::parse_record(text.as_bytes()).unwrap(), text)
}

fn skeleton(fields: &str) -> String {
    let (record, text) = record(fields);
    Skeletons::default().case(&record, text.as_bytes()).unwrap()
}

fn document(text: &str) -> Document {
    let source = Source::from_bytes(Path::new("x.yaml"), text.as_bytes().to_vec()).unwrap();
    Document::parse(&source).unwrap().swap_remove(0)
}

/// The errors of the case loader.
fn errors(text: &str) -> Vec<String> {
    let document = document(text);
    let case: Case = document.read().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let roles = ["daemon", "guest", "aa-helper", "bridge-helper"];
    let world = KnownNames {
        roles: roles
            .map(|role| (role.to_owned(), ["p".to_owned()].into()))
            .into(),
        fixtures: BTreeMap::new(),
        users: ["root".to_owned()].into(),
    };
    check::case(&Joined::alone(case), &document, &world)
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The skeleton as an author would fill it in.
fn filled(text: &str) -> String {
    text.replace("summary: \"\"", "summary: Something is done")
        .replace("run: []", "run: [/bin/true]\n    expect: {label: [inherit]}")
        .replace("rules: [\"\"]", "rules: [\"userns,\"]")
        .replace("role: \"\"", "role: daemon")
}

const RAW: &str = r#"operation="create" class="net" profile="libvirtd" pid=1 comm="x" family="packet" sock_type="raw" protocol=768 requested_mask="create" denied_mask="create""#;
const SHADOW: &str = r#"operation="open" class="file" profile="libvirt-5b6c0f6a-2a1e-4c56-9d35-0a7f1c1d0001" name="/etc/shadow" pid=1 comm="x" requested_mask="r" denied_mask="r" fsuid=64055 ouid=0"#;

#[rstest]
#[case::network(RAW)]
#[case::send(&RAW.replace("create", "sendmsg"))]
#[case::bluetooth(&RAW.replace("packet", "bluetooth"))]
#[case::read(SHADOW)]
#[case::write(&SHADOW.replace("denied_mask=\"r\"", "denied_mask=\"wc\""))]
#[case::both(&SHADOW.replace("denied_mask=\"r\"", "denied_mask=\"rw\""))]
#[case::lock(&SHADOW.replace("denied_mask=\"r\"", "denied_mask=\"rk\""))]
#[case::map(&SHADOW.replace("denied_mask=\"r\"", "denied_mask=\"m\""))]
#[case::link(&SHADOW.replace("denied_mask=\"r\"", "denied_mask=\"l\""))]
#[case::delete(&SHADOW.replace("denied_mask=\"r\"", "denied_mask=\"d\""))]
#[case::folder(&SHADOW.replace("/etc/shadow", "/etc/"))]
#[case::braces(&SHADOW.replace("/etc/shadow", "/e/{a,b}*[c]?"))]
#[case::other_program(&SHADOW.replace("libvirt-5b", "cupsd-"))]
#[case::exec(r#"operation="exec" profile="virtqemud" name="/usr/lib/libvirt/libvirt_parthelper" pid=1 comm="x" requested_mask="x" denied_mask="x" fsuid=0 ouid=0"#)]
#[case::ipc_lock(r#"operation="capable" profile="libvirtd" pid=1 comm="x" capability=14 capname="ipc_lock""#)]
#[case::pacct(r#"operation="capable" profile="libvirtd" pid=1 comm="x" capability=20 capname="sys_pacct""#)]
#[case::sys_admin(
    r#"operation="capable" profile="libvirtd" pid=1 comm="x" capability=21 capname="sys_admin""#
)]
#[case::strange_capability(
    r#"operation="capable" profile="libvirtd" pid=1 comm="x" capability=77 capname="cap_77""#
)]
#[case::send_signal(r#"operation="signal" profile="libvirtd" pid=1 comm="x" requested_mask="send" denied_mask="send" signal=term peer="libvirt-5b6c0f6a-2a1e-4c56-9d35-0a7f1c1d0001""#)]
#[case::receive_signal(r#"operation="signal" profile="libvirtd" pid=1 comm="x" requested_mask="receive" denied_mask="receive" signal=kill peer="unconfined""#)]
#[case::other_signal(r#"operation="signal" profile="libvirtd" pid=1 comm="x" requested_mask="send" denied_mask="send" signal=hup peer="a b""#)]
#[case::change_profile(r#"operation="change_profile" profile="libvirtd" pid=1 comm="x" name="evil""#)]
#[case::ptrace(r#"operation="ptrace" profile="libvirtd" pid=1 comm="x" requested_mask="read" denied_mask="read" peer="unconfined""#)]
#[case::unix(r#"operation="connect" profile="libvirtd" pid=1 comm="x" family="unix" sock_type="stream" protocol=0 requested_mask="send receive connect" denied_mask="send receive connect" addr=none peer_addr="@x" peer="unconfined""#)]
#[case::mount(r#"operation="mount" info="failed flags match" error=-13 profile="libvirtd" name="/mnt/" pid=1 comm="x" fstype="tmpfs" srcname="tmpfs" flags="rw""#)]
#[case::dbus(r#"operation="dbus_method_call" bus="system" path="/org" interface="a.b" member="C" mask="send" name="d" pid=1 label="libvirtd" peer_label="unconfined""#)]
#[case::rlimit(r#"operation="setrlimit" profile="libvirtd" pid=1 comm="x" rlimit=memlock value=1 info="cap_sys_resource" error=-13"#)]
#[case::userns(r#"operation="userns_create" class="namespace" profile="libvirtd" pid=1 comm="x" requested="userns_create" denied="userns_create""#)]
#[case::bridge_helper(r#"operation="capable" profile="libvirtd//qemu_bridge_helper" pid=1 comm="x" capability=12 capname="net_admin""#)]
fn a_skeleton_loads_once_it_is_filled_in(#[case] fields: &str) {
    let text = skeleton(fields);
    assert_eq!(errors(&filled(&text)), [""; 0], "{text}");
    // Every place to fill in is marked, and rejected until it is filled in.
    let lines: Vec<&str> = text.lines().collect();
    let open = errors(&text);
    assert!(!open.is_empty());
    for error in open {
        let line: usize = error.split(':').nth(1).unwrap().parse().unwrap();
        assert!(lines[line - 1].contains(MARK), "{error}\n{text}");
    }
}

#[test]
fn the_raw_socket_of_the_seed() {
    let text = skeleton(RAW);
    let case: Case = document(&filled(&text)).read().unwrap();
    assert_eq!(case.name, "socket-packet-raw");
    assert_eq!(case.subjects["s"].role.as_deref(), Some("daemon"));
    assert_eq!(case.origin[0].id, record(RAW).1);
    assert_eq!(case.steps[0].socket.as_ref().unwrap().protocol, 768.into());
    assert_eq!(
        case.guards[0].without.as_ref().unwrap().network.as_deref(),
        Some("packet raw")
    );
    assert_eq!(
        case.guards[0].denial.as_ref().unwrap()["operation"],
        "create".into()
    );
}

#[rstest]
#[case::ptrace(r#"operation="ptrace" profile="libvirtd" pid=1 comm="x" requested_mask="trace" denied_mask="trace" peer="virtqemud""#, "  - as: s\n    ptrace: {of: other, how: trace}\n")]
#[case::traced(r#"operation="ptrace" profile="libvirtd" pid=1 comm="x" requested_mask="readby" denied_mask="readby" peer="virtqemud""#, "  - as: other\n    ptrace: {of: s, how: read}\n")]
#[case::limit(r#"operation="setrlimit" profile="libvirtd" pid=1 comm="x" rlimit=nofile value=9 peer="virtqemud" info="cap_sys_resource" error=-13"#, "    set-limit: {resource: nofile, to: 9, of: other}\n")]
#[case::capability(
    r#"operation="capable" profile="libvirtd" pid=1 comm="x" capability=24 capname="sys_resource""#,
    "    set-limit: {resource: nofile, to: 2000000}\n"
)]
#[case::mount(r#"operation="mount" profile="libvirtd" name="/mnt/" pid=1 comm="x" fstype="tmpfs" srcname="none" flags="rw, nosuid""#, "    run: [/usr/bin/mount, -t, \"tmpfs\", -o, \"rw,nosuid\", \"none\", \"/mnt/\"]\n")]
#[case::umount(
    r#"operation="umount" profile="libvirtd" name="/mnt/" pid=1 comm="x""#,
    "    run: [/usr/bin/umount, \"/mnt/\"]\n"
)]
#[case::dbus_label(r#"operation="dbus_method_call" bus="system" path="/org" interface="a.b" member="C" mask="send" name="d" pid=1 label="libvirtd" peer_label="unconfined""#, "  s: {role: daemon}    # profile \"libvirtd\"\n")]
#[case::own_path(&SHADOW.replace("/etc/shadow", "/srv/a"), "\nneeds: []    # the fixtures that make the step's paths")]
fn the_probes_that_exist_are_used(#[case] fields: &str, #[case] wanted: &str) {
    let text = skeleton(fields);
    assert!(text.contains(wanted), "{text}");
}

#[test]
fn a_path_that_every_image_has_needs_no_fixture() {
    assert!(!skeleton(SHADOW).contains("needs:"));
}

#[rstest]
#[case("libvirtd", "role: daemon")]
#[case("/usr/sbin/libvirtd", "role: daemon")]
#[case("virtqemud", "role: daemon")]
#[case("/usr/lib/libvirt/virt-aa-helper", "role: aa-helper")]
#[case("libvirtd//qemu_bridge_helper", "role: bridge-helper")]
#[case("libvirt-5b6c0f6a-2a1e-4c56-9d35-0a7f1c1d0001", "role: guest")]
#[case("cupsd", "role: \"\"")]
fn a_profile_has_a_role(#[case] profile: &str, #[case] wanted: &str) {
    assert_eq!(role(profile), wanted);
}

#[test]
fn the_same_access_is_written_once_and_names_do_not_repeat() {
    let mut skeletons = Skeletons::default();
    let mut write = |fields: &str| {
        let (record, text) = record(fields);
        skeletons.case(&record, text.as_bytes())
    };
    assert!(write(SHADOW).is_some());
    assert!(write(SHADOW).is_none());
    let other = write(&SHADOW.replace("/etc/", "/srv/")).unwrap();
    assert!(other.contains("name: open-shadow-2\n"), "{other}");
}

#[test]
fn what_a_logger_adds_is_left_out() {
    let line =
        b"Nov 23 12:00:00 myhost kernel: audit: type=1400 audit(1.002:3): apparmor=\"DENIED\" x=\"y\" ";
    assert_eq!(origin(line), "audit(1.002:3): apparmor=\"DENIED\" x=\"y\"");
    assert_eq!(origin(b"myhost: apparmor=\"DENIED\""), "apparmor=\"DENIED\"");
}

proptest! {
    #[test]
    fn any_text_stays_itself(text in any::<String>()) {
        let yaml = format!("a: {}\n", quoted(&text));
        let read: BTreeMap<String, String> = document(&yaml).read().unwrap();
        prop_assert_eq!(&read["a"], &text);
    }

    #[test]
    fn any_record_gives_a_document_of_the_form(
        operation in "[a-z_]{0,12}",
        values in proptest::collection::vec("\\PC{0,20}", 6),
        class in "file|net|cap|signal|",
    ) {
        let hex = |text: &String| text.bytes().map(|byte| format!("{byte:02X}")).collect::<String>();
        let given = |key: &str, text: &String| match hex(text).as_str() {
            "" => String::new(),
            digits => format!(" {key}={digits}"),
        };
        let mut fields = format!(r#"operation="{operation}" class="{class}""#);
        for (key, value) in ["profile", "name", "comm", "peer", "target"].iter().zip(&values) {
            fields += &given(key, value);
        }
        fields += r#" requested_mask="send" denied_mask="rwc" signal=term"#;
        let text = skeleton(&fields);
        prop_assert!(document(&text).read::<Case>().is_ok(), "{}", text);
    }
}
