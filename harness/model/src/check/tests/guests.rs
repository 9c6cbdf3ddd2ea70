//! Guests that a daemon starts, and the steps of virsh.

use rstest::rstest;

use super::errors;

/// A guest that a daemon starts, by steps that only the agent can do.
const LIBVIRT: &str = "name: guest-case
summary: It starts
origin: [{kind: bug, id: 123}]
subjects:
  d: {role: daemon, daemon: {argv: [/d], ready: /r}}
  vm: {role: guest, run-by: d, label: libvirt-u}
steps:
  - {as: d, start: daemon}
  - create: {guest: vm, disks: [{file: /a, target: hda}]}
  - {virsh: [dumpxml, \"{vm.uuid}\"], expect: {stdout: {contains: [vm]}}}
no-guard: it only starts
";

#[test]
fn a_guest_is_started_by_the_agent() {
    assert_eq!(errors(LIBVIRT), Vec::<String>::new());
}

#[rstest]
#[case(
    "create: {guest: vm,",
    "create: {guest: vn,",
    "c.yaml:9:21: unknown guest `vn` (known are: vm)"
)]
#[case(
    "create: {guest: vm,",
    "create: {guest: d,",
    "c.yaml:9:21: unknown guest `d` (known are: vm)"
)]
#[case(
    "file: /a,",
    "file: /a, block: /b,",
    "c.yaml:9:34: `file` has no meaning with `block or volume`"
)]
#[case(
    "- {virsh",
    "- {as: vm, virsh",
    "c.yaml:10:6: `as` has no meaning with `virsh, create, define or ask`"
)]
#[case(
    "{as: d, start: daemon}",
    "{as: d, start: daemon, connection: x}",
    "c.yaml:8:28: `connection` needs virsh, create or define"
)]
#[case(
    "virsh: [dumpxml, \"{vm.uuid}\"]",
    "run: [/bin/true]",
    "c.yaml:10:6: the step does not say who performs it (say `as: SUBJECT` or `as: agent`)"
)]
#[case(
    "{vm.uuid}",
    "{d.uuid}",
    "c.yaml:10:23: unknown template `{d.uuid}` (did you mean `vm.uuid`?)"
)]
#[case(
    "no-guard: it only starts",
    "no-guard: ''",
    "c.yaml:11:11: `no-guard` is empty"
)]
#[case(
    "no-guard: it only starts",
    "no-guard: x\nguards: [{of: vm, add: \"/x r,\"}]",
    "c.yaml:11:11: the case has guards, so `no-guard` is wrong"
)]
fn a_broken_rule_about_guests_is_one_clear_error(#[case] from: &str, #[case] to: &str, #[case] want: &str) {
    let text = LIBVIRT.replacen(from, to, 1);
    assert_ne!(text, LIBVIRT);
    let errors = errors(&text);
    assert!(errors.iter().any(|error| error == want), "{errors:#?}");
    assert_eq!(errors.len(), 1, "{errors:#?}");
}
