//! Compiles the rules that are proposed for requests, with a system's own parser. Checks that each rule grants the
//! requested access and none that another request asks for. `ci/every-rule` runs it.

use std::path::PathBuf;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use proptest::{prelude::any, prop_oneof, sample::select};

use crate::every_rule::accepts::{Word, grants};
use crate::every_rule::{ROOT, with_plain_tables};
use crate::rule::MountOp;
use crate::{Parser, Request, Tree, parse, rule_for};

/// How many requests to make for each class.
const REQUESTS: usize = 60;

/// Classes that are compiled only for Ubuntu's kernels; Debian's features lack them.
const OF_UBUNTU: [&str; 3] = ["unix", "mqueue", "dbus"];

/// Features of Ubuntu's kernels that Debian's features file lacks.
const FURTHER: &str = "
network {af_unix {yes
}
}
dbus {mask {acquire send receive
}
}
ipc {posix_mqueue {create read write open delete setattr getattr
}
}
";

/// For every UNIX socket rule, the parser also compiles one for the family and type, for kernels that know only these.
const FAMILY_AND_TYPE: usize = 5;

type Class = (&'static str, proptest::strategy::BoxedStrategy<Request>);

fn text() -> impl Strategy<Value = String> {
    r#"[a-z][a-z0-9 _.*?,@{}\[\]"\\=()!^-]{0,12}[a-z]"#
}

fn path() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("/{}", text.replace(' ', "/").replace("//", "/")))
}

fn label() -> impl Strategy<Value = String> {
    // A parser splits a label at commas and brackets before it reads its backslashes.
    "[a-z][a-z0-9/_.-]{0,12}[a-z]"
}

fn one(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(of).prop_map(str::to_owned)
}

fn classes() -> Vec<Class> {
    let file = (
        path(),
        one(&["r", "w", "a", "k", "m", "x", "c", "d"]),
        any::<bool>(),
    );
    let file = file.prop_map(|(name, mask, owner)| Request::File { name, mask, owner });
    let link = (path(), path(), any::<bool>());
    let link = link.prop_map(|(name, target, owner)| Request::Link { name, target, owner });
    let capability = one(&["ipc_lock", "sys_pacct", "net_raw", "kill", "chown", "bpf"]);
    let network = (
        one(&["inet", "inet6", "packet", "netlink"]),
        one(&["stream", "dgram", "raw"]),
    );
    let network = network.prop_map(|(family, sock_type)| Request::Network {
        family,
        sock_type,
        mask: "create".into(),
    });
    let unix = (
        one(&["stream", "dgram"]),
        one(&["send", "receive", "connect", "create", "bind"]),
        prop_oneof![text().prop_map(|name| format!("@{name}")), one(&["none"])],
        label(),
        text().prop_map(|name| format!("@{name}")),
    );
    let unix = unix.prop_map(|(sock_type, mask, addr, peer, peer_addr)| {
        let of_two = matches!(&*mask, "send" | "receive" | "connect");
        Request::Unix {
            sock_type,
            // A socket that is not created yet has no address.
            addr: (mask != "create").then_some(addr),
            peer: of_two.then_some(peer),
            peer_addr: of_two.then_some(peer_addr),
            mask,
        }
    });
    let signal = (
        one(&["send", "receive"]),
        one(&["term", "kill", "hup", "exists", "rtmin+3"]),
        label(),
    );
    let signal = signal.prop_map(|(mask, signal, peer)| Request::Signal { mask, signal, peer });
    let ptrace = (one(&["read", "trace", "readby", "tracedby"]), label());
    let ptrace = ptrace.prop_map(|(mask, peer)| Request::Ptrace { mask, peer });
    let change = label().prop_map(|target| Request::ChangeProfile { target });
    let mqueue = (one(&["create", "read", "write", "open", "delete"]), label());
    let mqueue = mqueue.prop_map(|(mask, name)| Request::Mqueue {
        kind: "posix".into(),
        mask,
        name: format!("/{}", name.replace('/', "-")),
    });
    let dbus = (
        one(&["send", "receive"]),
        one(&["system", "session"]),
        label(),
        "[a-z]{1,5}[.][a-z]{1,5}",
        "[A-Z][a-z]{1,5}",
        "[a-z]{1,5}[.][a-z]{1,5}",
        label(),
    );
    let dbus = dbus.prop_map(|(mask, bus, path, interface, member, name, peer)| Request::Dbus {
        mask,
        bus,
        path: Some(format!("/{path}")),
        interface: Some(interface),
        member: Some(member),
        name: Some(name),
        peer: Some(peer),
    });
    let mount = (
        select(
            &[
                MountOp::Mount,
                MountOp::Remount,
                MountOp::Umount,
                MountOp::PivotRoot,
            ][..],
        ),
        one(&[
            "rw, nosuid",
            "ro",
            "rw, bind",
            "rw, rslave",
            "rw, rbind",
            "ro, nodev, noexec",
        ]),
        one(&["tmpfs", "ext4", "proc"]),
        path(),
        path(),
    );
    let mount = mount.prop_map(|(op, flags, fstype, source, target)| {
        let of_type = op == MountOp::Mount && !flags.contains("bind") && !flags.contains("slave");
        Request::Mount {
            op,
            fstype: of_type.then_some(fstype),
            source: (op == MountOp::PivotRoot || of_type || flags.contains("bind") && op == MountOp::Mount)
                .then_some(source),
            flags: match op {
                MountOp::Mount => flags,
                MountOp::Remount => "ro, remount".into(),
                _ => String::new(),
            },
            target,
        }
    });
    vec![
        ("file", file.boxed()),
        ("link", link.boxed()),
        (
            "capability",
            capability.prop_map(|name| Request::Capability { name }).boxed(),
        ),
        ("network", network.boxed()),
        ("unix", unix.boxed()),
        ("signal", signal.boxed()),
        ("ptrace", ptrace.boxed()),
        ("change_profile", change.boxed()),
        ("userns", proptest::strategy::Just(Request::Userns).boxed()),
        (
            "io_uring",
            (one(&["sqpoll"]), proptest::strategy::Just(None))
                .prop_map(|(mask, peer)| Request::IoUring { mask, peer })
                .boxed(),
        ),
        ("mqueue", mqueue.boxed()),
        ("dbus", dbus.boxed()),
        ("mount", mount.boxed()),
    ]
}

/// Whether the first request includes what the second asks for, as far as rules can distinguish them.
fn has(first: &Request, second: &Request) -> bool {
    use Request::File;
    match (first, second) {
        (
            File { name, mask, owner },
            File {
                name: other_name,
                mask: other,
                owner: other_owner,
            },
        ) => {
            let writes = |mask: &str| matches!(mask, "w" | "c" | "d");
            name == other_name
                && (!owner || *other_owner)
                && (mask == other
                    || writes(mask) && (writes(other) || other == "a")
                    || mask == "x" && matches!(&**other, "r" | "m"))
        }
        _ => rule_for(first) == rule_for(second),
    }
}

#[test]
#[ignore = "needs a system's root with a parser: ci/every-rule"]
fn every_proposed_rule_compiles_and_grants_what_was_asked_and_nothing_else() {
    let root = PathBuf::from(std::env::var_os(ROOT).expect("AA_POLICY_ROOT names the root"));
    let features = tempfile::NamedTempFile::new().unwrap();
    let of_system = std::fs::read_to_string(root.join("usr/share/apparmor-features/features")).unwrap();
    let plain = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(plain.path(), with_plain_tables(&of_system)).unwrap();
    std::fs::write(features.path(), with_plain_tables(&of_system) + FURTHER).unwrap();
    let of_debian = Parser::from_tree(&root).unwrap().with_features(plain.path());
    let of_ubuntu = Parser {
        // The configuration file pins the policy to the features of Debian's kernels.
        config_file: None,
        ..of_debian.clone().with_features(features.path())
    };
    let mut runner = TestRunner::deterministic();
    for (class, strategy) in classes() {
        let made = || strategy.new_tree(&mut runner).unwrap().current();
        let requests: Vec<Request> = std::iter::repeat_with(made).take(REQUESTS).collect();
        let mut source = String::new();
        for (index, request) in requests.iter().enumerate() {
            let rule = rule_for(request).unwrap_or_else(|| panic!("no rule for {request:?}"));
            source += &format!("profile p{index} {{\n  {rule}\n}}\n");
        }
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        tree.replace("proposed", source.clone());
        tree.write_to(dir.path()).unwrap();
        let further = OF_UBUNTU.contains(&class);
        let parser = if further { &of_ubuntu } else { &of_debian };
        let policy_features = ["--policy-features", features.path().to_str().unwrap()];
        let extra: &[&str] = if further { &policy_features } else { &[] };
        let compiled = parser
            .compile(dir.path(), "proposed", extra)
            .unwrap_or_else(|error| {
                let line = error.to_string();
                panic!("{class}: {line}\n{source}")
            });
        let policy = parse(&tree, "proposed").unwrap();
        let granted = grants(&compiled.binary);
        let name = |index: usize| format!("p{index}");
        let words: Vec<Vec<Word>> = (0..requests.len())
            .map(|index| {
                let mut words = granted[&name(index)].words(&policy.profile(&name(index)).unwrap().rules[0]);
                words.retain(|word| class != "unix" || word.bytes.len() > FAMILY_AND_TYPE);
                words
            })
            .collect();
        for (index, request) in requests.iter().enumerate() {
            let rule = rule_for(request).unwrap();
            assert!(!words[index].is_empty(), "{class}: `{rule}` grants nothing");
            let own = crate::grants(&policy, &name(index), request);
            assert_eq!(own.len(), 1, "{class}: `{rule}` does not meet {request:?}");
            for (other, words) in requests.iter().zip(&words) {
                let reached = words.iter().find(|word| granted[&name(index)].has(word) != 0);
                if let Some(word) = reached.filter(|_| !has(request, other)) {
                    panic!("{class}: `{rule}` grants {word}, which only {other:?} asks for");
                }
            }
        }
        println!("{class}: {} rules", requests.len());
    }
}
