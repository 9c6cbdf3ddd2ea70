//! Records of every class, in the kernels' own shape: the sentence tells what was understood.

use aa_audit::{Kind, Record, Verdict, parse_record};
use rstest::rstest;

fn record(text: &str) -> Record {
    parse_record(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Asserts that the record keeps nothing unread besides the keys that are named.
fn assert_extra(record: &Record, keys: &[&str]) {
    let found: Vec<_> = record.extra.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(found, keys);
}

// Denials that libvirt's users met, completed to whole records.
#[rstest]
#[case::raw_packet(
    r#"apparmor="DENIED" operation="create" parent=1 profile="/usr/sbin/libvirtd" pid=94731 comm="libvirtd" family="packet" sock_type="raw" protocol=768"#,
    Kind::Network,
    r#"libvirtd (pid 94731, profile "/usr/sbin/libvirtd") was denied create on a socket of family packet, type raw, protocol 768"#
)]
#[case::mlock(
    r#"apparmor="DENIED" operation="capable" profile="/usr/sbin/libvirtd" comm="libvirtd" capability=14 capname="ipc_lock""#,
    Kind::Capability,
    r#"libvirtd (profile "/usr/sbin/libvirtd") was denied the capability ipc_lock"#
)]
#[case::new_capability(
    r#"audit: type=1400 audit(1609848000.123:31): apparmor="DENIED" operation="capable" profile="libvirtd" pid=1931 comm="rpc-worker" capability=39  capname="bpf""#,
    Kind::Capability,
    r#"rpc-worker (pid 1931, profile "libvirtd") was denied the capability bpf"#
)]
#[case::sys_rawio(
    r#"apparmor="DENIED" operation="capable" profile="libvirtd" pid=1 comm="daemon-init" capability=17  capname="sys_rawio""#,
    Kind::Capability,
    r#"daemon-init (pid 1, profile "libvirtd") was denied the capability sys_rawio"#
)]
#[case::ptrace(
    r#"apparmor="DENIED" operation="ptrace" profile="/usr/sbin/libvirtd" pid=5 comm="libvirtd" requested_mask="read" denied_mask="read" peer="libvirt-14e92a75-7668-4b8a-8e4e-d5a1ea0e3a4c""#,
    Kind::Ptrace,
    r#"libvirtd (pid 5, profile "/usr/sbin/libvirtd") was denied reading the state of "libvirt-14e92a75-7668-4b8a-8e4e-d5a1ea0e3a4c""#
)]
#[case::signal(
    r#"apparmor="DENIED" operation="signal" profile="/usr/sbin/libvirtd" pid=5 comm="libvirtd" requested_mask="send" denied_mask="send" signal=term peer="unconfined""#,
    Kind::Signal,
    r#"libvirtd (pid 5, profile "/usr/sbin/libvirtd") was denied sending the signal term to "unconfined""#
)]
#[case::disconnected(
    r#"apparmor="DENIED" operation="file_perm" info="Failed name lookup - disconnected path" error=-13 profile="libvirt-5dfcc8a7" name="dev/net/tun" pid=6 comm="qemu-system-x86" requested_mask="rw" denied_mask="rw" fsuid=64055 ouid=0"#,
    Kind::File,
    r#"qemu-system-x86 (pid 6, profile "libvirt-5dfcc8a7") was denied read and write access to "dev/net/tun" (file_perm) [Failed name lookup - disconnected path, error -13]"#
)]
#[case::inherited_socket(
    r#"apparmor="DENIED" operation="file_inherit" profile="libvirtd//qemu_bridge_helper" pid=7 comm="qemu-bridge-hel" family="unix" sock_type="stream" protocol=0 requested_mask="send receive" denied_mask="send receive" addr=none peer_addr=none peer="libvirtd""#,
    Kind::Unix,
    r#"qemu-bridge-hel (pid 7, profile "libvirtd//qemu_bridge_helper") was denied file_inherit on a socket of family unix, type stream, protocol 0 (send receive) with "libvirtd""#
)]
#[case::migration(
    r#"apparmor="DENIED" operation="file_inherit" profile="/usr/sbin/libvirtd" pid=8 comm="ssh" family="unix" sock_type="stream" protocol=0 requested_mask="send receive" denied_mask="send" addr=none peer_addr="@2F746D702F41" peer="unconfined""#,
    Kind::Unix,
    r#"ssh (pid 8, profile "/usr/sbin/libvirtd") was denied file_inherit on a socket of family unix, type stream, protocol 0 (send), peer address "@2F746D702F41" with "unconfined""#
)]
#[case::locking(
    r#"apparmor="DENIED" operation="file_lock" profile="libvirt-1" name="/var/lib/guest.qcow" pid=9 comm="qemu-system-x86" requested_mask="k" denied_mask="k" fsuid=64055 ouid=64055"#,
    Kind::File,
    r#"qemu-system-x86 (pid 9, profile "libvirt-1") was denied lock access to "/var/lib/guest.qcow" (file_lock)"#
)]
#[case::vfio(
    r#"apparmor="DENIED" operation="open" class="file" profile="libvirt-17a61b87" name="/dev/vfio/vfio" pid=10 comm="qemu-system-x86" requested_mask="wr" denied_mask="wr" fsuid=64055 ouid=0"#,
    Kind::File,
    r#"qemu-system-x86 (pid 10, profile "libvirt-17a61b87") was denied write and read access to "/dev/vfio/vfio" (open)"#
)]
#[case::exec(
    r#"apparmor="DENIED" operation="exec" class="file" profile="libvirtd" name="/usr/lib/qemu/virtiofsd" pid=11 comm="rpc-worker" requested_mask="x" denied_mask="x" fsuid=0 ouid=0"#,
    Kind::Exec,
    r#"rpc-worker (pid 11, profile "libvirtd") was denied execution of "/usr/lib/qemu/virtiofsd""#
)]
#[case::exec_audited(
    r#"apparmor="AUDIT" operation="exec" info="ux fallback" profile="libvirtd" name="/usr/bin/x" pid=11 comm="rpc-worker" requested_mask="x" fsuid=0 ouid=0 target="unconfined""#,
    Kind::Exec,
    r#"rpc-worker (pid 11, profile "libvirtd") was granted, as the policy audits, execution of "/usr/bin/x" into "unconfined" [ux fallback]"#
)]
#[case::network_bind(
    r#"apparmor="DENIED" operation="bind" class="net" profile="p" pid=12 comm="c" lport=80 family="inet" sock_type="stream" protocol=6 requested_mask="bind" denied_mask="bind""#,
    Kind::Network,
    r#"c (pid 12, profile "p") was denied bind on a socket of family inet, type stream, protocol 6 (bind), local port 80"#
)]
#[case::network_sendmsg(
    r#"apparmor="DENIED" operation="sendmsg" class="net" profile="p" pid=12 comm="c" laddr=10.0.0.1 lport=68 faddr=2001:db8::1 fport=67 family="inet6" sock_type="dgram" protocol=17 requested_mask="send" denied_mask="send""#,
    Kind::Network,
    r#"c (pid 12, profile "p") was denied sendmsg on a socket of family inet6, type dgram, protocol 17 (send), local address 10.0.0.1, local port 68, foreign address 2001:db8::1, foreign port 67"#
)]
#[case::network_own_addresses(
    r#"apparmor="DENIED" operation="bind" class="net" profile="p" pid=12 comm="c" saddr=127.0.97.3 src=3456 family="inet" sock_type="dgram" protocol=17 requested="bind" denied="bind""#,
    Kind::Network,
    r#"c (pid 12, profile "p") was denied bind on a socket of family inet, type dgram, protocol 17 (bind), source address 127.0.97.3, source port 3456"#
)]
#[case::network_odd_protocol(
    r#"apparmor="DENIED" operation="create" class="net" profile="p" pid=12 comm="c" family="unknown(46)" sock_type="unknown(7)" protocol=-1 requested_mask="create" denied_mask="create""#,
    Kind::Network,
    r#"c (pid 12, profile "p") was denied create on a socket of family unknown(46), type unknown(7), protocol -1 (create)"#
)]
#[case::signal_received(
    r#"apparmor="DENIED" operation="signal" class="signal" profile="libvirt-1" pid=5 comm="kill" requested_mask="receive" denied_mask="receive" signal=rtmin+3 peer="a//&:ns1:b""#,
    Kind::Signal,
    r#"kill (pid 5, profile "libvirt-1") was denied receiving the signal rtmin+3 from "a" and "b" in namespace "ns1""#
)]
#[case::ptrace_traced(
    r#"apparmor="DENIED" operation="ptrace" class="ptrace" profile="p" pid=5 comm="gdb" requested_mask="tracedby" denied_mask="tracedby" peer="q""#,
    Kind::Ptrace,
    r#"gdb (pid 5, profile "p") was denied being traced by "q""#
)]
#[case::unix(
    r#"apparmor="DENIED" operation="connect" class="net" profile="p" pid=5 comm="c" family="unix" sock_type="stream" protocol=0 requested_mask="send receive connect" denied_mask="send connect" addr=none peer_addr="@abstract" peer="unconfined""#,
    Kind::Unix,
    r#"c (pid 5, profile "p") was denied connect on a socket of family unix, type stream, protocol 0 (send connect), peer address "@abstract" with "unconfined""#
)]
#[case::mount(
    r#"apparmor="DENIED" operation="mount" class="mount" info="failed flags match" error=-13 profile="p" name="/mnt/" pid=5 comm="mount" fstype="ext4" srcname="/dev/vda" flags="rw, nosuid, nodev" options="errors=remount-ro""#,
    Kind::Mount,
    r#"mount (pid 5, profile "p") was denied a mount on "/mnt/" of "/dev/vda" as "ext4", flags "rw, nosuid, nodev", options "errors=remount-ro" [failed flags match, error -13]"#
)]
#[case::umount(
    r#"apparmor="DENIED" operation="umount" class="mount" profile="p" name="/mnt/" pid=5 comm="umount""#,
    Kind::Umount,
    r#"umount (pid 5, profile "p") was denied the unmount of "/mnt/""#
)]
#[case::pivot_root(
    r#"apparmor="DENIED" operation="pivotroot" class="mount" profile="p" name="/new/" pid=5 comm="c" srcname="/new/old/""#,
    Kind::PivotRoot,
    r#"c (pid 5, profile "p") was denied a change of the root mount to "/new/", the old one on "/new/old/""#
)]
#[case::change_profile(
    r#"apparmor="DENIED" operation="change_profile" class="file" profile="libvirtd" pid=5 comm="c" target="other""#,
    Kind::ChangeProfile,
    r#"c (pid 5, profile "libvirtd") was denied a change of label to "other" by change_profile"#
)]
#[case::change_profile_missing(
    r#"apparmor="DENIED" operation="change_profile" info="label not found" error=-2 profile="libvirtd" name="gone" pid=5 comm="c""#,
    Kind::ChangeProfile,
    r#"c (pid 5, profile "libvirtd") was denied a change of label to "gone" by change_profile [label not found, error -2]"#
)]
#[case::rlimit(
    r#"apparmor="DENIED" operation="setrlimit" class="rlimits" info="cap_sys_resource" error=-13 profile="libvirtd" pid=5 comm="c" rlimit=memlock value=18446744073709551615 peer="libvirt-1""#,
    Kind::Rlimit,
    r#"c (pid 5, profile "libvirtd") was denied setting the limit memlock of "libvirt-1" to 18446744073709551615 [cap_sys_resource, error -13]"#
)]
#[case::io_uring(
    r#"apparmor="DENIED" operation="uring_sqpoll" class="io_uring" profile="p" pid=5 comm="c" requested="sqpoll" denied="sqpoll""#,
    Kind::IoUring,
    r#"c (pid 5, profile "p") was denied the io_uring operation sqpoll"#
)]
#[case::user_namespace(
    r#"apparmor="DENIED" operation="userns_create" class="namespace" profile="p" pid=5 comm="unshare" requested="userns_create" denied="userns_create""#,
    Kind::UserNamespace,
    r#"unshare (pid 5, profile "p") was denied the creation of a user namespace"#
)]
#[case::message_queue(
    r#"apparmor="DENIED" operation="open" class="posix_mqueue" profile="p" name="/q" pid=5 comm="c" requested="create" denied="create" fsuid=0 ouid=0"#,
    Kind::MessageQueue,
    r#"c (pid 5, profile "p") was denied create access to the message queue "/q" (open)"#
)]
#[case::sysv_message_queue(
    r#"apparmor="DENIED" operation="sysv_mqueue" class="sysv_mqueue" profile="p" name="123" pid=5 comm="c" requested="open" denied="open""#,
    Kind::MessageQueue,
    r#"c (pid 5, profile "p") was denied open access to the message queue "123" (sysv_mqueue)"#
)]
#[case::complain(
    r#"apparmor="ALLOWED" operation="open" profile="p" name="/a" pid=5 comm="c" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#,
    Kind::File,
    r#"c (pid 5, profile "p") was allowed, in complain mode only, read access to "/a" (open)"#
)]
#[case::killed(
    r#"apparmor="KILLED" operation="mknod" profile="p" name="/a" pid=5 comm="c" requested_mask="c" denied_mask="c" fsuid=0 ouid=0"#,
    Kind::File,
    r#"c (pid 5, profile "p") was killed for create access to "/a" (mknod)"#
)]
#[case::rename(
    r#"apparmor="DENIED" operation="rename_src" profile="p" name="/a" pid=5 comm="c" requested_mask="wrd" denied_mask="wrd" fsuid=0 ouid=0 target="/b""#,
    Kind::File,
    r#"c (pid 5, profile "p") was denied write, read and delete access to "/a" (rename_src), target "/b""#
)]
#[case::unknown_mask(
    r#"apparmor="DENIED" operation="open" profile="p" name="/a" pid=5 comm="c" requested_mask="rZ" denied_mask="rZ" fsuid=0 ouid=0"#,
    Kind::File,
    r#"c (pid 5, profile "p") was denied access (rZ) to "/a" (open)"#
)]
#[case::unknown_operation(
    r#"apparmor="DENIED" operation="teleport" profile="p" name="/a" pid=5 comm="c""#,
    Kind::Other,
    r#"c (pid 5, profile "p") was denied the operation teleport on "/a""#
)]
#[case::load(
    r#"apparmor="STATUS" operation="profile_load" profile="unconfined" name="libvirtd" pid=3 comm="apparmor_parser""#,
    Kind::Policy,
    r#"apparmor_parser (pid 3, profile "unconfined") loaded the profile "libvirtd""#
)]
#[case::replace(
    r#"apparmor="STATUS" operation="profile_replace" info="same as current profile, skipping" profile="unconfined" name="libvirtd//x" pid=3 comm="apparmor_parser""#,
    Kind::Policy,
    r#"apparmor_parser (pid 3, profile "unconfined") replaced the profile "libvirtd//x" [same as current profile, skipping]"#
)]
#[case::remove(
    r#"apparmor="STATUS" operation="profile_remove" profile="unconfined" name="libvirt-1" pid=3 comm="apparmor_parser""#,
    Kind::Policy,
    r#"apparmor_parser (pid 3, profile "unconfined") removed the profile "libvirt-1""#
)]
#[case::no_operation(
    r#"apparmor="STATUS" info="AppArmor Filesystem Enabled" pid=1 comm="swapper/0""#,
    Kind::Policy,
    "swapper/0 (pid 1) reported a status of AppArmor [AppArmor Filesystem Enabled]"
)]
#[case::unpack_failed(
    r#"apparmor="STATUS" info="failed to unpack profile" error=-71 pid=3 comm="apparmor_parser" name="x""#,
    Kind::Policy,
    r#"apparmor_parser (pid 3) failed at a change of the policy "x" [failed to unpack profile, error -71]"#
)]
#[case::load_failed(
    r#"apparmor="STATUS" operation="profile_load" info="failed to unpack end of profile" error=-71 profile="unconfined" pid=3 comm="apparmor_parser" name="x""#,
    Kind::Policy,
    r#"apparmor_parser (pid 3, profile "unconfined") failed at the load of the profile "x" [failed to unpack end of profile, error -71]"#
)]
fn says_what_happened(#[case] text: &str, #[case] kind: Kind, #[case] sentence: &str) {
    let record = record(text);
    assert_eq!(record.kind(), kind);
    assert_eq!(record.sentence(), sentence);
    assert_extra(&record, &[]);
}

#[test]
fn every_typed_key_is_read() {
    let record = record(
        r#"audit(1363123456.007:45): apparmor="DENIED" operation="o" class="c" info="i" error=-13 namespace="root//n" profile="p" name="n" pid=1 comm="co" requested_mask="rm" denied_mask="dm" requested="r" denied="d" fsuid=2 ouid=3 capability=4 capname="cn" family="f" sock_type="st" protocol=5 addr="a" peer_addr="pa" laddr=la lport=6 faddr=fa fport=7 saddr=sa src=12 daddr=da dest=13 peer="pe" signal=term target="t" parent=8 label="l" opid=9 ocomm="oc" rlimit=nofile value=10 fstype="fs" srcname="sn" flags="fl" options="op" bus="b" path="pt" interface="if" member="m" mask="ma" peer_pid=11 peer_label="pl" exe="e""#,
    );
    let mut expected = Record::new(Verdict::Denied);
    let text = |text: &str| Some(text.to_owned());
    expected.stamp = Some(aa_audit::Stamp {
        seconds: 1_363_123_456,
        millis: 7,
        serial: 45,
    });
    expected.operation = text("o");
    expected.class = text("c");
    expected.info = text("i");
    expected.error = Some(-13);
    expected.namespace = text("root//n");
    expected.profile = text("p");
    expected.name = text("n");
    expected.pid = Some(1);
    expected.comm = text("co");
    expected.requested_mask = text("rm");
    expected.denied_mask = text("dm");
    expected.requested = text("r");
    expected.denied = text("d");
    expected.fsuid = Some(2);
    expected.ouid = Some(3);
    expected.capability = Some(4);
    expected.capname = text("cn");
    expected.family = text("f");
    expected.sock_type = text("st");
    expected.protocol = Some(5);
    expected.addr = text("a");
    expected.peer_addr = text("pa");
    expected.laddr = text("la");
    expected.lport = Some(6);
    expected.faddr = text("fa");
    expected.fport = Some(7);
    expected.saddr = text("sa");
    expected.src = Some(12);
    expected.daddr = text("da");
    expected.dest = Some(13);
    expected.peer = text("pe");
    expected.signal = text("term");
    expected.target = text("t");
    expected.parent = Some(8);
    expected.label = text("l");
    expected.opid = Some(9);
    expected.ocomm = text("oc");
    expected.rlimit = text("nofile");
    expected.value = Some(10);
    expected.fstype = text("fs");
    expected.srcname = text("sn");
    expected.flags = text("fl");
    expected.options = text("op");
    expected.bus = text("b");
    expected.path = text("pt");
    expected.interface = text("if");
    expected.member = text("m");
    expected.mask = text("ma");
    expected.peer_pid = Some(11);
    expected.peer_label = text("pl");
    expected.exe = text("e");
    assert_eq!(record, expected);
}

#[rstest]
#[case("DENIED", false)]
#[case("KILLED", false)]
#[case("ALLOWED", false)]
#[case("ERROR", false)]
#[case("STATUS", true)]
#[case("AUDIT", true)]
#[case("HINT", true)]
fn verdicts(#[case] word: &str, #[case] clean: bool) {
    let record = record(&format!(r#"apparmor="{word}" operation="open" profile="p""#));
    assert_eq!(record.verdict.word(), word);
    assert_eq!(record.verdict.is_clean(), clean);
}

#[rstest]
#[case::plain(r#"profile="libvirtd""#, &[(None, "libvirtd")])]
#[case::child(r#"profile="libvirtd//qemu_bridge_helper""#, &[(None, "libvirtd//qemu_bridge_helper")])]
#[case::namespace(r#"namespace="root//vac" profile="libvirtd""#, &[(Some("vac"), "libvirtd")])]
#[case::nested(r#"namespace="root//a//b" profile="p""#, &[(Some("a//b"), "p")])]
#[case::prefixed(r#"profile=":vac://libvirtd""#, &[(Some("vac"), "libvirtd")])]
#[case::prefixed_short(r#"profile=":vac:libvirtd//x""#, &[(Some("vac"), "libvirtd//x")])]
#[case::stack(r#"label="a//&b//c""#, &[(None, "a"), (None, "b//c")])]
#[case::stack_namespace(r#"label="a//&:vac:b""#, &[(None, "a"), (Some("vac"), "b")])]
#[case::own_namespace_first(r#"namespace="root//a" profile=":b:p""#, &[(Some("b"), "p")])]
#[case::root_namespace(r#"namespace="root" profile="p""#, &[(None, "p")])]
#[case::hexadecimal("profile=6120622F2F63", &[(None, "a b//c")])]
#[case::none("pid=1", &[])]
fn subjects(#[case] keys: &str, #[case] expected: &[(Option<&str>, &str)]) {
    let record = record(&format!(r#"apparmor="DENIED" operation="open" {keys}"#));
    let found: Vec<_> = record
        .subject()
        .iter()
        .map(|subject| (subject.namespace, subject.profile))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn children() {
    let record = record(r#"apparmor="DENIED" operation="open" profile="libvirtd//qemu_bridge_helper""#);
    let subject = record.subject()[0];
    assert_eq!(
        (subject.root(), subject.child()),
        ("libvirtd", Some("qemu_bridge_helper"))
    );
}

/// A thread's name may have spaces, which does not mix it with the sentence.
#[test]
fn a_name_of_several_words_is_quoted() {
    let record =
        record(r#"apparmor="DENIED" operation="capable" pid=1 comm=43505520302F4B564D capname="sys_nice""#);
    assert_eq!(
        record.sentence(),
        r#""CPU 0/KVM" (pid 1) was denied the capability sys_nice"#
    );
}

/// A process may call itself anything; the sentence stays one line without control characters.
#[test]
fn a_sentence_is_safe_on_a_terminal() {
    // comm is ESC ] 0 ; x BEL newline
    let record = record(
        r#"apparmor="DENIED" operation="open" profile="p" name="/a" pid=1 comm=1B5D303B78070A requested_mask="r""#,
    );
    assert_eq!(record.comm.as_deref(), Some("\u{1b}]0;x\u{7}\n"));
    assert_eq!(
        record.sentence(),
        r#""\u{1b}]0;x\u{7}\n" (pid 1, profile "p") was denied read access to "/a" (open)"#
    );
}
