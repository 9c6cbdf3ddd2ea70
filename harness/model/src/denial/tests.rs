use proptest::prelude::*;
use rstest::rstest;

use super::*;

const RAW: &str = r#"audit(1.002:3): apparmor="DENIED" operation="create" class="net" profile="libvirtd" pid=12 comm="x" family="packet" sock_type="raw" protocol=768 requested_mask="create" denied_mask="create""#;

#[rstest]
#[case::all(&[("operation", "create".into()), ("protocol", 768.into())], true)]
#[case::prefix(&[("profile", "libv*".into())], true)]
#[case::other_value(&[("sock_type", "dgram".into())], false)]
#[case::absent_key(&[("name", "x".into())], false)]
#[case::number_as_text(&[("protocol", "768".into())], false)]
fn a_record_is_matched_by_each_key(#[case] keys: &[(&str, Scalar)], #[case] wanted: bool) {
    let record = aa_audit::parse_record(RAW.as_bytes()).unwrap();
    let keys = keys
        .iter()
        .map(|(key, value)| ((*key).to_string(), value.clone()))
        .collect();
    assert_eq!(matches(&keys, &record), wanted);
}

#[test]
fn a_socket_denial_is_a_request_for_that_socket() {
    let record = aa_audit::parse_record(RAW.as_bytes()).unwrap();
    let request = request_of(&record).unwrap();
    assert_eq!(aa_policy::rule_for(&request).unwrap(), "network packet raw,");
}

/// Any of these words.
fn one(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(of).prop_map(str::to_owned)
}

fn some_name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9 _.*?,@{}=()!^/-]{0,12}[a-z]"
}

/// A record's fields and the request that they mean, for each class that has rules. The tests of aa-policy compile the
/// rules themselves.
fn asked() -> impl Strategy<Value = (String, Request)> {
    let masks = one(&["r", "w", "a", "k", "m", "c", "d", "rw"]);
    let file = (some_name(), masks, 0_u32..2, 0_u32..2).prop_map(|(name, mask, fsuid, ouid)| {
        let fields = format!(
            r#"operation="open" class="file" name="/{name}" requested_mask="{mask}" denied_mask="{mask}" fsuid={fsuid} ouid={ouid}"#
        );
        let (name, owner) = (format!("/{name}"), fsuid == ouid);
        (fields, Request::File { name, mask, owner })
    });
    let exec = some_name().prop_map(|name| {
        let fields =
            format!(r#"operation="exec" name="/{name}" requested_mask="x" denied_mask="x" fsuid=1 ouid=0"#);
        let (name, mask) = (format!("/{name}"), "x".into());
        (
            fields,
            Request::File {
                name,
                mask,
                owner: false,
            },
        )
    });
    let link = (some_name(), some_name()).prop_map(|(name, target)| {
        let fields = format!(
            r#"operation="link" class="file" name="/{name}" requested_mask="l" denied_mask="l" fsuid=0 ouid=0 target="/{target}""#
        );
        let (name, target) = (format!("/{name}"), format!("/{target}"));
        (fields, Request::Link { name, target, owner: true })
    });
    let capability = one(&["kill", "ipc_lock", "bpf"]).prop_map(|name| {
        let fields = format!(r#"operation="capable" capability=5 capname="{name}""#);
        (fields, Request::Capability { name })
    });
    let network = (one(&["inet", "packet"]), one(&["raw", "dgram"])).prop_map(|(family, sock_type)| {
        let fields = format!(
            r#"operation="create" class="net" family="{family}" sock_type="{sock_type}" protocol=3 requested_mask="create" denied_mask="create""#
        );
        let mask = "create".into();
        (fields, Request::Network { family, sock_type, mask })
    });
    let unix = (one(&["send", "send receive"]), some_name(), some_name()).prop_map(|(mask, peer, addr)| {
        let fields = format!(
            r#"operation="sendmsg" class="net" family="unix" sock_type="stream" protocol=0 requested_mask="{mask}" denied_mask="{mask}" addr=none peer_addr="@{addr}" peer="{peer}""#
        );
        let request = Request::Unix {
            sock_type: "stream".into(),
            mask,
            addr: Some("none".into()),
            peer: Some(peer),
            peer_addr: Some(format!("@{addr}")),
        };
        (fields, request)
    });
    let signal = (
        one(&["send", "receive"]),
        one(&["term", "exists", "rtmin+3"]),
        some_name(),
    );
    let signal = signal.prop_map(|(mask, signal, peer)| {
        let fields = format!(
            r#"operation="signal" requested_mask="{mask}" denied_mask="{mask}" signal={signal} peer="{peer}""#
        );
        (fields, Request::Signal { mask, signal, peer })
    });
    let ptrace = (one(&["read", "tracedby"]), some_name()).prop_map(|(mask, peer)| {
        let fields =
            format!(r#"operation="ptrace" requested_mask="{mask}" denied_mask="{mask}" peer="{peer}""#);
        (fields, Request::Ptrace { mask, peer })
    });
    let change = some_name().prop_map(|target| {
        let fields = format!(r#"operation="change_profile" info="x" error=-13 target="{target}""#);
        (fields, Request::ChangeProfile { target })
    });
    let userns = Just((
        r#"operation="userns_create" class="namespace" requested="userns_create" denied="userns_create""#
            .to_owned(),
        Request::Userns,
    ));
    let io_uring = one(&["sqpoll", "override_creds"]).prop_map(|mask| {
        let fields =
            format!(r#"operation="uring_{mask}" class="io_uring" requested="{mask}" denied="{mask}""#);
        (fields, Request::IoUring { mask, peer: None })
    });
    let mqueue = (one(&["create", "read write"]), some_name()).prop_map(|(mask, name)| {
        let fields = format!(
            r#"operation="mqueue_open" class="posix_mqueue" name="/{name}" requested="{mask}" denied="{mask}" fsuid=0 ouid=0"#
        );
        let (kind, name) = ("posix".into(), format!("/{name}"));
        (fields, Request::Mqueue { kind, mask, name })
    });
    let dbus = (one(&["send", "receive"]), one(&["org.a", ":1.7"]), some_name()).prop_map(|(mask, name, peer)| {
        let fields = format!(
            r#"operation="dbus_method_call" bus="system" path="/o" interface="i.f" member="M" mask="{mask}" name="{name}" label="p" peer_label="{peer}""#
        );
        let request = Request::Dbus {
            mask,
            bus: "system".into(),
            path: Some("/o".into()),
            interface: Some("i.f".into()),
            member: Some("M".into()),
            name: (name == "org.a").then_some(name),
            peer: Some(peer),
        };
        (fields, request)
    });
    let mount = (one(&["rw, nosuid", "ro, remount"]), some_name(), some_name()).prop_map(|(flags, source, target)| {
        let fields = format!(
            r#"operation="mount" class="mount" name="/{target}" fstype="tmpfs" srcname="{source}" flags="{flags}""#
        );
        let remounts = flags.contains("remount");
        let request = Request::Mount {
            op: if remounts { MountOp::Remount } else { MountOp::Mount },
            flags,
            fstype: (!remounts).then(|| "tmpfs".into()),
            source: (!remounts).then_some(source),
            target: format!("/{target}"),
        };
        (fields, request)
    });
    prop_oneof![
        file, exec, link, capability, network, unix, signal, ptrace, change, userns, io_uring, mqueue, dbus,
        mount
    ]
}

proptest! {
    #[test]
    fn a_record_asks_for_what_it_says_and_has_the_rule_for_it((fields, request) in asked()) {
        let text = format!(r#"audit(1.002:3): apparmor="DENIED" profile="p" pid=1 comm="x" {fields}"#);
        let record = aa_audit::parse_record(text.as_bytes()).unwrap();
        prop_assert_eq!(record.lacks(), Vec::<&str>::new());
        prop_assert_eq!(rule_of(&record), rule_for(&request));
        prop_assert_eq!(request_of(&record), Some(request));
    }
}
