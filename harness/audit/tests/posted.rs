//! Text as people post it.

use aa_audit::{Found, Posted, PostedReader, Problem, Record, parse_record};
use proptest::prelude::*;
use rstest::rstest;

const FULL: &str = "audit: type=1400 audit(1700000001.001:7): apparmor=\"DENIED\" operation=\"open\" class=\"file\" profile=\"libvirtd\" name=\"/srv/vm/a.img\" pid=311 comm=\"qemu-system-x86\" requested_mask=\"wr\" denied_mask=\"wr\" fsuid=64055 ouid=0";

fn read(lines: &[impl AsRef<[u8]>]) -> Vec<Posted> {
    let mut reader = PostedReader::new();
    let mut met = Vec::new();
    for line in lines {
        reader.line(line.as_ref(), &mut |posted| met.push(posted));
    }
    reader.end(&mut |posted| met.push(posted));
    met
}

fn text(text: &str) -> Vec<Posted> {
    read(&text.split('\n').collect::<Vec<_>>())
}

fn records(met: &[Posted]) -> Vec<&Record> {
    met.iter()
        .filter_map(|posted| match posted {
            Posted::Record(found) => Some(&found.record),
            Posted::Unread { .. } => None,
        })
        .collect()
}

fn only(met: &[Posted]) -> &Found {
    match met {
        [Posted::Record(found)] => found,
        _ => panic!("{met:?}"),
    }
}

#[test]
fn a_whole_line_is_the_same_record_as_ever() {
    let met = text(FULL);
    assert_eq!(only(&met).record, parse_record(FULL.as_bytes()).unwrap());
    assert_eq!(only(&met).text, FULL.as_bytes());
}

#[rstest]
#[case::quote("'", "'")]
#[case::backquote("`", "`")]
#[case::parentheses("(", ")")]
#[case::brackets("[", "]")]
#[case::comma("", ",")]
#[case::full_stop("", ".")]
#[case::prose("see: ", ", which is odd")]
#[case::next_line_of_a_log("", "Mar  4 05:06:08 host9 libvirtd[5]: more")]
#[case::markup("<pre>", "</pre>")]
#[case::semicolon("", ";")]
fn what_stands_around_a_record_is_no_part_of_it(#[case] before: &str, #[case] after: &str) {
    let met = text(&format!("{before}{FULL}{after}"));
    assert_eq!(only(&met).record, parse_record(FULL.as_bytes()).unwrap());
}

/// Broken at each space, as mail does it, with each kind of quotation mark.
#[rstest]
#[case("")]
#[case("> ")]
#[case("> > ")]
#[case(">>")]
#[case("\t| ")]
#[case("    ")]
fn a_record_broken_between_two_fields_is_whole(#[case] mark: &str) {
    for (at, _) in FULL.match_indices(' ').filter(|(at, _)| *at > 40) {
        let (first, second) = (&FULL[..at], &FULL[at + 1..]);
        let met = read(&[format!("{mark}{first}"), format!("{mark}{second}")]);
        assert_eq!(
            only(&met).record,
            parse_record(FULL.as_bytes()).unwrap(),
            "{first}"
        );
        assert_eq!(only(&met).line, 1);
    }
}

/// Broken anywhere behind its head, as a terminal's edge does it: read whole, or told.
#[test]
fn a_record_broken_anywhere_is_whole_or_told() {
    let whole = parse_record(FULL.as_bytes()).unwrap();
    let mut read_whole = 0;
    for at in FULL.find("apparmor").unwrap()..FULL.len() {
        let met = read(&[&FULL[..at], &FULL[at..]]);
        match &met[..] {
            [Posted::Record(found)] if found.record == whole => read_whole += 1,
            [Posted::Record(found), ..] => {
                panic!("{at}: {:?} from {:?}", found.record, &FULL[..at]);
            }
            [Posted::Unread { .. }, ..] => {}
            [] => panic!("lost at {at}: {:?}", &FULL[..at]),
        }
    }
    let tried = FULL.len() - FULL.find("apparmor").unwrap();
    assert!(read_whole * 10 > tried * 9, "{read_whole} of {tried}");
}

#[test]
fn a_break_within_a_name_is_told() {
    let met = text(&FULL.replace("/srv/vm", "/srv\n/vm"));
    assert_eq!(only(&met).joined_within.as_deref(), Some("name"));
    assert_eq!(only(&met).record.name.as_deref(), Some("/srv/vm/a.img"));
}

#[rstest]
#[case::flowed("name=\"/srv/my \nfile\"", "/srv/my file")]
#[case::hard("name=\"/srv/my\nfile\"", "/srv/myfile")]
fn a_space_before_the_break_is_kept(#[case] name: &str, #[case] wanted: &str) {
    let met = text(&FULL.replace("name=\"/srv/vm/a.img\"", name));
    assert_eq!(only(&met).record.name.as_deref(), Some(wanted));
}

#[rstest]
#[case::html("&quot;", "&amp;")]
#[case::numbered("&#34;", "&amp;")]
#[case::json("\\\"", "&")]
#[case::curly("\u{201d}", "&")]
fn quotes_in_other_writings_are_quotes(#[case] quote: &str, #[case] and: &str) {
    let line = FULL.replace("/vm/", "/v&m/");
    let written = line.replace('&', and).replace('"', quote);
    let met = text(&written);
    assert_eq!(only(&met).record, parse_record(line.as_bytes()).unwrap());
}

#[rstest]
#[case("pid=xxxx")]
#[case("pid=<pid>")]
#[case("pid=***")]
#[case("pid=?")]
fn a_number_that_was_made_unreadable_is_left_out(#[case] pid: &str) {
    let met = text(&FULL.replace("pid=311", pid));
    let record = &only(&met).record;
    assert_eq!((record.pid, record.ouid), (None, Some(0)));
}

#[test]
fn a_stamp_that_was_made_unreadable_is_left_out() {
    let met = text(&FULL.replace("1700000001.001:7", "xxx.xxx:x"));
    assert_eq!(only(&met).record.stamp, None);
    assert_eq!(only(&met).record.pid, Some(311));
}

#[test]
fn several_records_in_one_line_are_several() {
    let met = text(&format!("{FULL}{FULL} and `{FULL}`"));
    assert_eq!(records(&met).len(), 3);
}

#[rstest]
#[case(
    "type=1503 audit(1.001:2): operation=\"inode_permission\" requested_mask=\"r::\" denied_mask=\"r::\" fsuid=0 name=\"/a\" pid=3 profile=\"p\""
)]
#[case(
    "kernel: type=APPARMOR_DENIED msg=audit(1.001:2): operation=\"inode_permission\" requested_mask=\"r::\" denied_mask=\"r::\" fsuid=0 name=\"/a\" pid=3 profile=\"p\""
)]
fn old_kernels_say_the_verdict_by_the_type(#[case] line: &str) {
    let met = text(line);
    let record = &only(&met).record;
    assert_eq!(record.verdict, aa_audit::Verdict::Denied);
    assert_eq!(record.name.as_deref(), Some("/a"));
}

#[rstest]
#[case::grep("grep 'apparmor=\"DENIED\"' /var/log/syslog", Problem::Mention)]
#[case::unquoted("look for apparmor=DENIED", Problem::Mention)]
#[case::rejecting(
    "type=APPARMOR msg=audit(1.001:2): REJECTING r access to /a (b(3) profile c active c)",
    Problem::Mention
)]
#[case::aa_log(
    "DENIED  libvirtd open /a comm=b requested_mask=r denied_mask=r",
    Problem::PrintedBy("aa-log")
)]
#[case::aa_log_in_colour(
    "\u{1b}[1;31mDENIED\u{1b}[0m \u{1b}[34mlibvirtd\u{1b}[0m open comm=b requested_mask=r",
    Problem::PrintedBy("aa-log")
)]
#[case::interpreted(
    "type=AVC msg=audit(03/04/2026 05:06:07.001:7) : apparmor=DENIED operation=open",
    Problem::PrintedBy("ausearch -i")
)]
#[case::within("apparmor=\"DENIED\" operation=\"open\" profile=\"p\" name=\"/a", Problem::CutWithin { key: "name".into() })]
fn what_is_not_read_is_told(#[case] line: &str, #[case] wanted: Problem) {
    let met = text(&format!("before\n{line}\n\nbehind"));
    let [Posted::Unread { line: 2, problem }] = &met[..] else {
        panic!("{met:?}")
    };
    assert_eq!(*problem, wanted);
    assert!(!problem.to_string().is_empty());
}

#[test]
fn a_record_that_lacks_fields_is_told_with_what_there_is() {
    let met = text("apparmor=\"DENIED\" operation=\"ptrace\" profile=\"p\" pid=7\nprose follows");
    let [
        Posted::Unread {
            line: 1,
            problem: Problem::Cut { record, lacks },
        },
    ] = &met[..]
    else {
        panic!("{met:?}")
    };
    assert_eq!(record.pid, Some(7));
    assert_eq!(*lacks, ["requested_mask", "peer"]);
}

#[rstest]
#[case("Command line: BOOT_IMAGE=/vmlinuz apparmor=1 security=apparmor")]
#[case("audit: initializing netlink subsys (disabled)")]
#[case("type=SYSCALL msg=audit(1.001:2): arch=c000003e syscall=2 success=no")]
#[case("type=1400 audit(1.001:2): avc:  denied  { read } for  pid=1 comm=\"x\"")]
#[case("DENIED by policy")]
fn other_text_is_passed_over(#[case] line: &str) {
    assert_eq!(text(line), []);
}

#[test]
fn a_record_without_end_takes_no_memory() {
    let mut reader = PostedReader::new();
    let mut told = 0;
    reader.line(b"apparmor=\"DENIED\" operation=\"open\" name=\"", &mut |_| {
        told += 1
    });
    for _ in 0..10_000 {
        reader.line(&[b'x'; 1000], &mut |_| told += 1);
    }
    reader.end(&mut |_| told += 1);
    assert_eq!(told, 1);
}

proptest! {
    #[test]
    fn any_lines_are_read_to_their_end(lines in proptest::collection::vec(
        proptest::string::string_regex("[ -~]{0,40}(apparmor=|audit\\(1\\.001:2\\):|\"|&quot;|type=1503|operation=\"open\"|name=\"?|pid=1)?[ -~\\x80-\\xff]{0,20}").unwrap(), 0..12)) {
        let met = read(&lines);
        for posted in met {
            if let Posted::Record(found) = posted {
                prop_assert!(found.record.lacks().is_empty());
                prop_assert!(found.line >= 1 && found.line <= lines.len() as u64);
            }
        }
    }
}
