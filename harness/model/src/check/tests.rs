//! Each rule, broken on purpose in a case that is otherwise right.

mod guests;
mod subjects;

use std::collections::BTreeSet;
use std::path::Path;

use rstest::rstest;

use super::case as check;
use crate::case::beginning::Joined;
use crate::case::known_names::KnownNames;
use crate::case::model::Case;
use crate::yaml::document::Document;
use crate::yaml::source::Source;

/// A positive and a negative step, two subjects with a role, one with a label.
const RIGHT: &str = r#"name: base-case
summary: It does it
origin: [{kind: bug, id: 123}]
needs: [disk]
subjects:
  d: {role: daemon, memlock: 65536, except: {virtxend: no need}}
  g: {role: guest}
  late: {label: "{g.label}", user: tester}
with:
  - {id: one, kind: raw}
  - {id: two, kind: dgram}
mediates: [caps, network_v8/af_inet]
timeout: 20
steps:
  - as: d
    run: ["{set.libexecdir}/x", "{disk.path}", "/usr/{lib,lib64}", "@{run}"]
    expect: {stdout: {some: true}}
  - as: d
    socket: {family: inet, type: "{kind}"}
  - as: g
    file: {path: /etc/shadow, open: r}
    denied: {errno: EACCES, records: [{operation: open, name: /etc/shadow}]}
guards:
  - of: d
    without: {exec: "{set.libexecdir}/x"}
    denial: {operation: exec, requested_mask: x}
    only: [libvirtd]
  - of: g
    add: "/etc/shadow r,"
setup:
  - as: late
    set-limit: {resource: core, to: 0}
"#;

fn known_names() -> KnownNames {
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    KnownNames {
        fixtures: [
            ("disk".to_owned(), set(&["path"])),
            ("cable".to_owned(), set(&["left"])),
        ]
        .into(),
        roles: [
            ("daemon".to_owned(), set(&["libvirtd", "virtxend"])),
            ("guest".to_owned(), set(&["libvirt-1"])),
        ]
        .into(),
        users: set(&["root", "tester"]),
    }
}

/// One line per error.
fn errors(text: &str) -> Vec<String> {
    let source = Source::from_bytes(Path::new("c.yaml"), text.as_bytes().to_vec()).unwrap();
    let document = Document::parse(&source).unwrap().remove(0);
    match document.read::<Case>() {
        Ok(case) => check(&Joined::alone(case), &document, &known_names())
            .iter()
            .map(ToString::to_string)
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}

/// The control: the case that the other tests break has no errors.
#[test]
fn the_right_case_is_right() {
    assert_eq!(errors(RIGHT), Vec::<String>::new());
}

/// The kernel demands the capability for any change to the limit of a process with another label, up or down.
#[test]
fn a_limit_of_another_role_may_be_lowered() {
    let step = "set-limit: {resource: memlock, to: 9, of: g}";
    let text = RIGHT.replacen("socket: {family: inet, type: \"{kind}\"}", step, 1);
    assert_ne!(text, RIGHT);
    assert_eq!(errors(&text), Vec::<String>::new());
}

#[rstest]
#[case(
    "name: base-case",
    "name: Base_case",
    "c.yaml:1:7: the case name `Base_case` is not lower-case words joined by `-`"
)]
#[case(
    "name: base-case",
    "name: base--case",
    "c.yaml:1:7: the case name `base--case` is not lower-case words joined by `-`"
)]
#[case(
    "name: base-case",
    "nmae: base-case",
    "c.yaml:1:1: unknown key `nmae` (did you mean `name`?)"
)]
#[case("name: base-case\n", "", "c.yaml:1:1: the key `name` is missing")]
#[case("It does it", "''", "c.yaml:2:10: `summary` is empty")]
#[case("[{kind: bug, id: 123}]", "[]", "c.yaml:3:9: `origin` is empty")]
#[case(
    "kind: bug",
    "kind: bugg",
    "c.yaml:3:17: unknown word `bugg` (did you mean `bug`?)"
)]
#[case("id: 123", "id: ''", "c.yaml:3:26: `id` is empty")]
#[case("id: 123", "id: [1]", "c.yaml:3:27: expected a text, found a list")]
#[case(
    "needs: [disk]",
    "needs: [disk, disc]",
    "c.yaml:4:15: unknown fixture `disc` (did you mean `disk`?)"
)]
#[case("needs: [disk]", "needs: disk", "c.yaml:4:8: expected a list, found `disk`")]
#[case(
    "needs: [disk]",
    "needs: [disk, disk]",
    "c.yaml:4:15: the fixture `disk` is used twice (each fixture must be another)"
)]
#[case(
    "role: daemon",
    "role: demon",
    "c.yaml:6:13: unknown role `demon` (did you mean `daemon`?)"
)]
#[case(
    "{virtxend: no need}",
    "{virtxen: no need}",
    "c.yaml:6:55: unknown profile of this role `virtxen` (did you mean `virtxend`?)"
)]
#[case("{virtxend: no need}", "{virtxend: ''}", "c.yaml:6:56: `reason` is empty")]
#[case(
    "g: {role: guest}",
    "g: {role: guest, label: x}",
    "c.yaml:7:7: a subject needs exactly one of role, label, and has role, label"
)]
#[case(
    "g: {role: guest}",
    "g: {}",
    "c.yaml:7:6: a subject needs exactly one of role, label, and has none"
)]
#[case("g: {role: guest}", "g:", "c.yaml:7:3: expected a mapping, found nothing")]
#[case(
    "user: tester",
    "user: testr",
    "c.yaml:8:36: unknown user `testr` (did you mean `tester`?)"
)]
#[case(
    "memlock: 65536",
    "memlock: lots",
    "c.yaml:6:30: expected a whole number, found `lots`"
)]
#[case(
    "memlock: 65536",
    "memlock: -1",
    "c.yaml:6:30: expected a whole number that fits u64, found `-1`"
)]
#[case(
    "{id: two, kind: dgram}",
    "{id: one, kind: dgram}",
    "c.yaml:11:10: the variant `one` is used twice (each variant must be another)"
)]
#[case(
    "{id: two, kind: dgram}",
    "{id: two, sort: dgram}",
    "c.yaml:11:6: the entries of `with` do not have the same keys: this one lacks kind and has also sort"
)]
#[case("{id: two, kind: dgram}", "{kind: dgram}", "c.yaml:11:6: `with` needs `id`")]
#[case(
    "{id: two, kind: dgram}",
    "{id: two, kind: dgrm}",
    "c.yaml:19:34: unknown type of socket `dgrm` (did you mean `dgram`?)"
)]
#[case(
    "{id: two, kind: dgram}",
    "{id: two, kind: true}",
    "c.yaml:11:21: expected a text or a whole number, found boolean `true` (put quotes around a text)"
)]
#[case(
    "[caps,",
    "[cap,",
    "c.yaml:12:12: unknown class of mediation `cap` (did you mean `caps`?)"
)]
#[case(
    "timeout: 20",
    "timeout: 0",
    "c.yaml:13:10: `0` is not a time from 1 to 900 seconds"
)]
#[case(
    "- as: g",
    "- as: h",
    "c.yaml:20:9: unknown subject `h` (known are: d, g, late, agent)"
)]
#[case(
    "- as: g",
    "- as: agent",
    "c.yaml:20:9: the agent is unconfined and cannot be denied anything (say by which subject: `as: SUBJECT`)"
)]
#[case(
    "{set.libexecdir}/x\", \"{disk",
    "{set.libexec}/x\", \"{disk",
    "c.yaml:16:11: unknown template `{set.libexec}` (did you mean `set.libexecdir`?)"
)]
#[case(
    "\"{disk.path}\"",
    "\"{cable.left}\"",
    "c.yaml:16:33: unknown template `{cable.left}` (known are: d.label, disk.path, g.label, id, kind, late.label, set.libexecdir, set.runstatedir, set.sbindir, set.sysconfdir)"
)]
#[case(
    "\"{disk.path}\"",
    "\"{knd}\"",
    "c.yaml:16:33: unknown template `{knd}` (did you mean `kind`?)"
)]
#[case(
    "type: \"{kind}\"",
    "type: {kind}",
    "c.yaml:19:35: expected a text, found a mapping (a template needs quotes: \"{kind}\")"
)]
#[case(
    "[\"{set.libexecdir}/x\", ",
    "[x, ",
    "c.yaml:16:11: `x` is not an absolute path"
)]
#[case(
    "    expect: {stdout: {some: true}}\n",
    "",
    "c.yaml:16:11: this step could succeed without having done the thing: a program may exit with 0 and have done nothing (expect some text of `stdout` or `stderr`, or a `label`, or `checked-by-next: true` and look in a step by the agent)"
)]
#[case(
    "stdout: {some: true}",
    "exit: 0",
    "c.yaml:16:11: this step could succeed without having done the thing: a program may exit with 0 and have done nothing (expect some text of `stdout` or `stderr`, or a `label`, or `checked-by-next: true` and look in a step by the agent)"
)]
#[case(
    "stdout: {some: true}",
    "stdout: {lacks: [error]}",
    "c.yaml:16:11: this step could succeed without having done the thing: a program may exit with 0 and have done nothing (expect some text of `stdout` or `stderr`, or a `label`, or `checked-by-next: true` and look in a step by the agent)"
)]
#[case(
    "stdout: {some: true}",
    "stderr: {equals: \"\"}",
    "c.yaml:16:11: this step could succeed without having done the thing: a program may exit with 0 and have done nothing (expect some text of `stdout` or `stderr`, or a `label`, or `checked-by-next: true` and look in a step by the agent)"
)]
#[case("stdout: {some: true}", "stdout: {}", "c.yaml:17:22: `stdout` is empty")]
#[case(
    "stdout: {some: true}",
    "stdout: {some: true}, bytes: 3",
    "c.yaml:17:36: `bytes` needs `file`"
)]
#[case(
    "stdout: {some: true}",
    "checked-by-next: true",
    "c.yaml:17:31: `checked-by-next` needs a step after this one, `as: agent`, that reads what this one did: a `file` with an `expect`, or a program whose `stdout` or `stderr` must say something"
)]
#[case(
    "stdout: {some: true}",
    "errno: ENOENTT",
    "c.yaml:17:21: unknown error `ENOENTT` (did you mean `ENOENT`?)"
)]
#[case(
    "stdout: {some: true}",
    "errno: ENOENT, exit: 1",
    "c.yaml:17:29: `exit` has no meaning with `errno`"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "socket: {family: inet6x, type: raw}",
    "c.yaml:19:22: unknown family of socket `inet6x` (did you mean `inet6`?)"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "socket: {family: inet, type: raw, protocol: x}",
    "c.yaml:19:49: `x` is not a protocol's number"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "lock-memory: {how: mmap, bytes: 65536}",
    "c.yaml:19:37: 65536 bytes are within the subject's limit of locked memory, so this succeeds without any capability (give the subject a `memlock` below that)"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "set-limit: {resource: memlock, to: 9, of: late}",
    "c.yaml:19:40: 9 bytes are within the subject's limit of locked memory, so this succeeds without any capability (give the subject a `memlock` below that)"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "set-limit: {resource: memlock, to: 99999, of: h}",
    "c.yaml:19:51: unknown subject `h` (known are: d, g, late)"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "ioctl: {path: /dev/x, open: rw, request: 0x3b64}",
    "c.yaml:19:13: this step could succeed without having done the thing: an ioctl may return and have answered nothing (expect `content`, in hex)"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "ioctl: {path: /x, open: r, request: 1, argument: 0x0}\n    expect: {content: {some: true}}",
    "c.yaml:19:54: `0x0` is not bytes in hex"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "file: {path: /x, open: r, read: 4}",
    "c.yaml:19:37: this step could succeed without having done the thing: a read may end early and be no error (expect `bytes` or `content`)"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "file: {path: x, open: r}",
    "c.yaml:19:18: `x` is not an absolute path"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "signal: {to: g, signal: trem}",
    "c.yaml:19:29: unknown signal `trem` (did you mean `term`?)"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "pci-reset: {config: /x, how: bus}",
    "c.yaml:19:29: `how: bus` needs `bridge`"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "acct: \"off\"\n    stdin: x",
    "c.yaml:20:5: `stdin` needs run or virsh"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "acct: \"off\"\n    change-profile: x",
    "c.yaml:18:5: a step needs exactly one of run, virsh, create, define, ask, socket, packet-exchange, file, ioctl, lock-memory, acct, set-limit, signal, change-profile, ptrace, pci-reset, start, and has acct, change-profile"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "timeout: 3",
    "c.yaml:18:5: a step needs exactly one of run, virsh, create, define, ask, socket, packet-exchange, file, ioctl, lock-memory, acct, set-limit, signal, change-profile, ptrace, pci-reset, start, and has none"
)]
#[case(
    "errno: EACCES",
    "errno: EACESS",
    "c.yaml:22:21: unknown error `EACESS` (did you mean `EACCES`?)"
)]
#[case(
    "{operation: open, name: /etc/shadow}",
    "{operatoin: open}",
    "c.yaml:22:40: the kernel writes no key `operatoin` (did you mean `operation`?)"
)]
#[case(
    "{operation: open, name: /etc/shadow}",
    "{}",
    "c.yaml:22:39: `record` is empty"
)]
#[case(
    "[{operation: open, name: /etc/shadow}]",
    "[]",
    "c.yaml:22:38: `records` is empty"
)]
#[case("errno: EACCES,", "count: 0,", "c.yaml:22:21: `0` is not a number of denials")]
#[case(
    "    denied:",
    "    expect: {errno: EPERM}\n    denied:",
    "c.yaml:22:14: `errno` has no meaning with `denied`"
)]
#[case(
    "  - of: d",
    "  - of: late",
    "c.yaml:24:9: unknown subject with a role `late` (known are: d, g)"
)]
#[case(
    "  - of: d\n    without",
    "  - without",
    "c.yaml:24:5: several subjects have a role; say whose profile this guard changes (add `of: SUBJECT`)"
)]
#[case(
    "    denial: {operation: exec, requested_mask: x}\n",
    "",
    "c.yaml:25:5: `without` needs `denial`"
)]
#[case(
    "{operation: exec, requested_mask: x}",
    "{operation: exec, requested_msk: x}",
    "c.yaml:26:31: the kernel writes no key `requested_msk` (did you mean `requested_mask`?)"
)]
#[case(
    "only: [libvirtd]",
    "only: [libvirt-1]",
    "c.yaml:27:12: unknown profile of this role `libvirt-1` (did you mean `libvirtd`?)"
)]
#[case(
    "add: \"/etc/shadow r,\"",
    "add: \"/etc/shadow r\"",
    "c.yaml:29:10: a rule ends with a comma (write it as it would stand in the profile)"
)]
#[case(
    "add: \"/etc/shadow r,\"",
    "add: \"/etc/shadow r,\"\n    also: [{of: late, add: \"/x r,\"}]",
    "c.yaml:30:17: unknown subject with a role `late` (known are: d, g)"
)]
#[case(
    "    only: [libvirtd]",
    "    also: [{of: g, add: \"/x r,\"}]",
    "c.yaml:27:5: `also` needs `add`"
)]
#[case(
    "add: \"/etc/shadow r,\"",
    "add: \"/etc/shadow r,\"\n    also: [{of: d, add: \"/x r\"}]",
    "c.yaml:30:25: a rule ends with a comma (write it as it would stand in the profile)"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "ask: {socket: /s, say: hello}",
    "c.yaml:18:5: `as` has no meaning with `virsh, create, define or ask`"
)]
#[case(
    "    socket: {family: inet, type: \"{kind}\"}",
    "    acct: off\n  - as: agent\n    ask: {socket: /s, say: hello}\n    expect: {stderr: {some: true}}",
    "c.yaml:22:14: `stderr` needs `run`"
)]
#[case(
    "  - as: d\n    socket: {family: inet, type: \"{kind}\"}",
    "  - as: agent\n    ask: {socket: /s, say: \"\"}",
    "c.yaml:19:28: `` is not one line of printable ASCII"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "start: daemon",
    "c.yaml:19:5: `start` needs a subject with a `daemon`"
)]
#[case(
    "socket: {family: inet, type: \"{kind}\"}",
    "ptrace: {of: guest, how: read}",
    "c.yaml:19:18: unknown subject `guest` (known are: d, g, late)"
)]
#[case(
    "add: \"/etc/shadow r,\"",
    "add: \"/etc/shadow r,\"\n    denial: {operation: open}",
    "c.yaml:30:5: `denial` has no meaning with `add`"
)]
#[case(
    "    add: \"/etc/shadow r,\"",
    "    only: [libvirt-1]",
    "c.yaml:28:5: a guard needs exactly one of without, add, and has none"
)]
#[case(
    "  - of: g\n    add: \"/etc/shadow r,\"\n",
    "",
    "c.yaml:24:5: the case has a `denied` step and no guard that adds a rule, so nothing proves that the rule is what denies it (add a guard `add: \"RULE,\"` by which the denied step would succeed)"
)]
#[case(
    "  - as: late\n    set-limit",
    "  - as: g\n    set-limit",
    "c.yaml:8:10: no step is by the subject `late`, or acts on it, so it never runs (take it out, or say `as:` it in a step)"
)]
#[case(
    "add: \"/etc/shadow r,\"",
    "add: \"audit teleport home,\"",
    "c.yaml:29:10: this program does not know the class of the rule `audit teleport home,`, so it cannot tell whether a kernel mediates it (write the rule as it would stand in a profile, its own word first)"
)]
#[case(
    "{exec: \"{set.libexecdir}/x\"}",
    "{rules: [\"/x r,\", \"priority=3 teleport,\"]}",
    "c.yaml:25:32: this program does not know the class of the rule `priority=3 teleport,`, so it cannot tell whether a kernel mediates it (write the rule as it would stand in a profile, its own word first)"
)]
#[case(
    "{exec: \"{set.libexecdir}/x\"}",
    "{capability: ipclock}",
    "c.yaml:25:27: unknown capability `ipclock` (did you mean `ipc_lock`?)"
)]
#[case(
    "{exec: \"{set.libexecdir}/x\"}",
    "{network: paket raw}",
    "c.yaml:25:24: unknown family of socket `paket` (did you mean `packet`?)"
)]
#[case(
    "{exec: \"{set.libexecdir}/x\"}",
    "{file: /x}",
    "c.yaml:25:15: `file` needs `mask`"
)]
#[case(
    "{exec: \"{set.libexecdir}/x\"}",
    "{file: /x, mask: rx}",
    "c.yaml:25:31: `rx` is not an access to a file, of the letters r w a k l m"
)]
#[case(
    "{exec: \"{set.libexecdir}/x\"}",
    "{exec: /x, capability: kill}",
    "c.yaml:25:15: an access needs exactly one of exec, capability, network, file (with mask), change-profile, signal, rules, and has exec, capability"
)]
#[case(
    "{exec: \"{set.libexecdir}/x\"}",
    "{rules: [no comma]}",
    "c.yaml:25:23: a rule ends with a comma (write it as it would stand in the profile)"
)]
fn a_broken_rule_is_one_clear_error(#[case] from: &str, #[case] to: &str, #[case] want: &str) {
    assert_eq!(
        RIGHT.matches(from).count(),
        1,
        "{from:?} must stand in the case once"
    );
    assert_eq!(errors(&RIGHT.replace(from, to)), [want]);
}
