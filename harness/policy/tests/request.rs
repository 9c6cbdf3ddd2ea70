//! What policy says of a single request.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use aa_policy::{MountOp, Request, deny_covers, grants, insertion_point, parse, rule_for, with_rule};
use common::{profile, tree};
use rstest::rstest;

fn file(name: &str, mask: &str, owner: bool) -> Request {
    Request::File {
        name: name.into(),
        mask: mask.into(),
        owner,
    }
}

fn signal(signal: &str, peer: &str) -> Request {
    Request::Signal {
        mask: "send".into(),
        signal: signal.into(),
        peer: peer.into(),
    }
}

fn dbus(mask: &str) -> Request {
    let sends = mask == "send";
    Request::Dbus {
        mask: mask.into(),
        bus: "system".into(),
        path: sends.then(|| "/o".into()),
        interface: sends.then(|| "i.f".into()),
        member: sends.then(|| "M".into()),
        name: Some("n.m".into()),
        peer: sends.then(|| "l".into()),
    }
}

fn mount(op: MountOp, flags: &str) -> Request {
    let of_type = op == MountOp::Mount;
    Request::Mount {
        op,
        flags: flags.into(),
        fstype: of_type.then(|| "tmpfs".into()),
        source: of_type.then(|| "src".into()),
        target: "/t/".into(),
    }
}

/// What lacks a part is no request for everything.
#[rstest]
#[case::no_peer(Request::Ptrace { mask: "read".into(), peer: String::new() })]
#[case::no_access(Request::Ptrace { mask: String::new(), peer: "a".into() })]
#[case::no_signal(signal("", "a"))]
#[case::no_signal_peer(signal("term", ""))]
#[case::no_mask(file("/a", "", false))]
#[case::unknown_mask(file("/a", "z", false))]
#[case::no_name(file("", "r", false))]
#[case::relative(file("dev/net/tun", "r", false))]
#[case::control(file("/a\nb", "r", false))]
#[case::no_family(network("", "raw"))]
#[case::no_type(network("packet", ""))]
#[case::no_capability(Request::Capability { name: String::new() })]
#[case::path_of_a_socket(Request::Unix { sock_type: "stream".into(), mask: "connect".into(), addr: None, peer: None, peer_addr: Some("/run/x".into()) })]
#[case::no_unix_access(Request::Unix { sock_type: "stream".into(), mask: String::new(), addr: None, peer: None, peer_addr: None })]
#[case::no_target(Request::ChangeProfile { target: String::new() })]
#[case::more_than_a_word(Request::Capability { name: "kill, network".into() })]
fn no_rule_is_made_of_half_a_request(#[case] request: Request) {
    assert_eq!(rule_for(&request), None);
}

fn network(family: &str, sock_type: &str) -> Request {
    Request::Network {
        family: family.into(),
        sock_type: sock_type.into(),
        mask: "create".into(),
    }
}

#[rstest]
#[case("/a/* r,", file("/a/b", "r", false), true)]
#[case::other_mask("/a/* r,", file("/a/b", "w", false), false)]
#[case::directory("/a/* r,", file("/a/", "r", false), false)]
#[case::deeper("/a/* r,", file("/a/b/c", "r", false), false)]
#[case::double("/a/** r,", file("/a/b/c", "r", false), true)]
#[case::double_not_itself("/a/** r,", file("/a/", "r", false), false)]
#[case::star_and_more("/a/*b r,", file("/a/b", "r", false), true)]
#[case::question("/a/?b r,", file("/a//b", "r", false), false)]
#[case::class("/a[0-9x] r,", file("/a7", "r", false), true)]
#[case::not_class("/a[^0-9] r,", file("/a7", "r", false), false)]
#[case::doubled_slash("/a//b r,", file("/a/b", "r", false), true)]
#[case::nested("/{a,b{c,d}}/x r,", file("/bd/x", "r", false), true)]
#[case::nested_no("/{a,b{c,d}}/x r,", file("/b/x", "r", false), false)]
#[case::empty_choice("/{usr/,}bin r,", file("/bin", "r", false), true)]
#[case::escaped(r"/a/\*b r,", file("/a/*b", "r", false), true)]
#[case::escaped_no(r"/a/\*b r,", file("/a/xb", "r", false), false)]
#[case::quoted(r#""/a b/*" r,"#, file("/a b/c", "r", false), true)]
#[case::own("owner /a r,", file("/a", "r", true), true)]
#[case::others("owner /a r,", file("/a", "r", false), false)]
#[case::append_is_less("/a a,", file("/a", "w", false), false)]
#[case::write_appends("/a w,", file("/a", "a", false), true)]
#[case::create_is_write("/a w,", file("/a", "wc", false), true)]
#[case::inherit_maps("/a ix,", file("/a", "m", false), true)]
#[case::other_exec_maps_not("/a Px,", file("/a", "m", false), false)]
#[case::all_files("file,", file("/any/thing", "x", false), true)]
#[case::all("all,", Request::Userns, true)]
#[case::capability("capability kill chown,", Request::Capability { name: "chown".into() }, true)]
#[case::capability_no("capability kill,", Request::Capability { name: "chown".into() }, false)]
#[case::capabilities("capability,", Request::Capability { name: "chown".into() }, true)]
#[case::network("network packet raw,", network("packet", "raw"), true)]
#[case::network_type("network packet dgram,", network("packet", "raw"), false)]
#[case::network_family("network inet,", network("inet6", "stream"), false)]
#[case::networks("network,", network("packet", "raw"), true)]
#[case::protocol("network tcp,", network("inet6", "stream"), true)]
#[case::protocol_elsewhere("network tcp,", network("packet", "stream"), false)]
#[case::signal("signal send set=(term kill) peer=a-*,", signal("term", "a-1"), true)]
#[case::signal_set("signal send set=(term kill) peer=a-*,", signal("hup", "a-1"), false)]
#[case::signal_peer("signal send set=(term kill) peer=a-*,", signal("term", "b"), false)]
#[case::signal_way("signal receive peer=a,", signal("term", "a"), false)]
#[case::signals("signal,", signal("term", "a"), true)]
#[case::ptrace("ptrace read peer=a,", Request::Ptrace { mask: "read".into(), peer: "a".into() }, true)]
#[case::ptrace_no("ptrace read peer=a,", Request::Ptrace { mask: "trace".into(), peer: "a".into() }, false)]
#[case::change("change_profile -> a-[0-9]*,", Request::ChangeProfile { target: "a-1".into() }, true)]
#[case::change_no("change_profile -> a-[0-9]*,", Request::ChangeProfile { target: "b".into() }, false)]
#[case::profile_name("ptrace peer=@{profile_name},", Request::Ptrace { mask: "read".into(), peer: "p".into() }, true)]
fn rules_grant(#[case] rules: &str, #[case] request: Request, #[case] granted: bool) {
    assert_eq!(!grants(&profile(rules), "p", &request).is_empty(), granted);
}

#[rstest]
#[case::covered("deny /a/** w,", file("/a/b", "w", false), Some("top:2:1"))]
#[case::create("deny /a/** w,", file("/a/b", "wc", false), Some("top:2:1"))]
#[case::partly("deny /a/** w,", file("/a/b", "rw", false), None)]
#[case::two_rules("deny /a/** w,\ndeny /a/b r,", file("/a/b", "rw", false), Some("top:2:1"))]
#[case::allowed("/a/** w,", file("/a/b", "w", false), None)]
#[case::owner("deny owner /a w,", file("/a", "w", false), None)]
#[case::own("deny owner /a w,", file("/a", "w", true), Some("top:2:1"))]
#[case::capability("audit deny capability kill,", Request::Capability { name: "kill".into() }, Some("top:2:1"))]
#[case::network("deny network inet,", network("inet", "stream"), Some("top:2:1"))]
#[case::network_no("deny network inet,", network("inet6", "stream"), None)]
#[case::signal("deny signal peer=a,", signal("term", "a"), Some("top:2:1"))]
#[case::exec("deny /a x,", file("/a", "x", false), Some("top:2:1"))]
fn denies_cover(#[case] rules: &str, #[case] request: Request, #[case] place: Option<&str>) {
    let found = deny_covers(&profile(rules), "p", &request).map(|place| place.to_string());
    assert_eq!(found.as_deref(), place);
}

#[rstest]
#[case(Request::Capability { name: "ipc_lock".into() }, "capability ipc_lock,")]
#[case(network("packet", "raw"), "network packet raw,")]
#[case(file("/a b/{c", "rw", false), r#""/a b/\{c" rw,"#)]
#[case(file("/a", "wc", true), "owner /a w,")]
#[case(file("/bin/x", "x", false), "/bin/x rmix,")]
#[case(file("/a,", "a", false), r#""/a\," a,"#)]
#[case(signal("term", "x"), "signal (send) set=(term) peer=x,")]
#[case(Request::Ptrace { mask: "read".into(), peer: "/usr/sbin/a b".into() }, "ptrace (read) peer=\"/usr/sbin/a b\",")]
#[case(Request::ChangeProfile { target: "a//b".into() }, "change_profile -> a//b,")]
#[case(Request::Unix { sock_type: "stream".into(), mask: "send receive".into(), addr: None, peer: Some("x".into()), peer_addr: Some("@y".into()) },
    r"unix (send, receive) type=stream peer=(label=x addr=@y),")]
#[case(Request::Userns, "userns create,")]
#[case(Request::Link { name: "/a".into(), target: "/b".into(), owner: true }, "owner link /a -> /b,")]
#[case(Request::IoUring { mask: "sqpoll".into(), peer: None }, "io_uring sqpoll,")]
#[case(Request::Mqueue { kind: "posix".into(), mask: "read write".into(), name: "/q".into() }, "mqueue (read, write) type=posix /q,")]
#[case(
    dbus("send"),
    "dbus (send) bus=system path=/o interface=i.f member=M peer=(name=n.m label=l),"
)]
#[case(dbus("bind"), "dbus (bind) bus=system name=n.m,")]
#[case(
    mount(MountOp::Mount, "rw, nosuid"),
    "mount fstype=tmpfs options=(rw, nosuid) src -> /t/,"
)]
#[case(mount(MountOp::Remount, "ro, remount"), "remount options=(ro, remount) /t/,")]
#[case(mount(MountOp::Umount, ""), "umount /t/,")]
fn the_rule_for_a_request_grants_it(#[case] request: Request, #[case] text: &str) {
    assert_eq!(rule_for(&request).as_deref(), Some(text));
    let tree = tree(&[("top", "profile p {\n  /unrelated r,\n}\n")]);
    assert!(grants(&parse(&tree, "top").unwrap(), "p", &request).is_empty());
    let edited = with_rule(&tree, "top", "p", text).unwrap();
    let policy = parse(&edited.tree, "top").unwrap();
    let granting = grants(&policy, "p", &request);
    assert_eq!(granting.len(), 1);
    assert_eq!(
        (granting[0].location.clone(), granting[0].text.clone()),
        edited.added[0]
    );
}

#[test]
fn a_rule_goes_before_the_closing_brace() {
    let place = insertion_point(&profile("/a r,"), "p").unwrap();
    assert_eq!(place.to_string(), "top:3:1");
    assert_eq!(insertion_point(&profile("/a r,"), "q"), None);
}
