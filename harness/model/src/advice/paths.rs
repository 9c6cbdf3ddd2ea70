//! Paths as rules name them: with patterns for parts that differ each time.

use aa_policy::escape;

/// A UUID as libvirt's own rules write it.
const UUID: &str = "[0-9a-f]*-[0-9a-f]*-[0-9a-f]*-[0-9a-f]*-[0-9a-f]*";
/// How many digits each part of a UUID has.
const UUID_PARTS: [usize; 5] = [8, 4, 4, 4, 12];
const NUMBER: &str = "[0-9]*";

/// Folders in which a program finds its own files, so that `owner` is useful.
const OF_OWNERS: [&str; 4] = ["/tmp/", "/var/tmp/", "/run/user/", "/dev/shm/"];

/// A path as a rule names it.
#[derive(Debug, PartialEq, Eq)]
pub struct General {
    /// The pattern.
    pub pattern: String,
    /// Whether `owner` is useful with it.
    pub is_owners: bool,
}

/// The path as a rule names it; `pid` is the process that the record is about.
pub fn general(path: &str, pid: Option<u32>) -> General {
    let parts: Vec<&str> = path.split('/').collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let ["", "proc", rest @ ..] = parts.as_slice() {
        let mut pattern = String::from("@{PROC}");
        let mut own = false;
        for (index, part) in rest.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| rest[before]);
            let text = match before {
                None if is_number(part) => {
                    own = pid.is_some_and(|pid| *part == pid.to_string());
                    "@{pid}".to_owned()
                }
                Some("task") if is_number(part) => "@{tid}".to_owned(),
                Some("fd" | "fdinfo" | "map_files") if is_number(part) => NUMBER.to_owned(),
                _ => segment(part),
            };
            pattern.push('/');
            pattern.push_str(&text);
        }
        return General {
            pattern,
            is_owners: own,
        };
    }
    let pattern = match parts.as_slice() {
        ["", "dev", "bus", "usb", bus, device] if is_number(bus) && is_number(device) => {
            format!("/dev/bus/usb/{NUMBER}/{NUMBER}")
        }
        ["", "run", "udev", "data", entry] => format!("/run/udev/data/{}", udev(entry)),
        _ => parts
            .iter()
            .map(|part| segment(part))
            .collect::<Vec<_>>()
            .join("/"),
    };
    General {
        pattern,
        is_owners: OF_OWNERS.iter().any(|folder| path.starts_with(folder)),
    }
}

/// An entry of udev's database: a device by number (`c189:1`, `n3`), or by a name that changes (`+usb:1-1.4:1.1`).
fn udev(entry: &str) -> String {
    if entry.starts_with("+usb:") {
        return "+usb*".to_owned();
    }
    let mut characters = entry.chars();
    let kind = characters.next();
    let rest = characters.as_str();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (kind, rest.split_once(':')) {
        (Some(kind @ ('b' | 'c')), Some((major, minor))) if digits(major) && digits(minor) => {
            format!("{kind}{major}:*")
        }
        (Some('n'), None) if digits(rest) => format!("n{NUMBER}"),
        _ => segment(entry),
    }
}

/// A part of a path, or a name, with a pattern for each UUID and for the number of a running domain.
fn segment(part: &str) -> String {
    if let Some(name) = domain(part) {
        return format!("domain-{NUMBER}-{}", segment(name));
    }
    let mut out = String::new();
    let mut rest = part;
    while let Some((before, after)) = uuid(rest) {
        out.push_str(&escape(before));
        out.push_str(UUID);
        rest = after;
    }
    out + &escape(rest)
}

/// The name in `domain-NUMBER-NAME`, the folder of a running domain.
fn domain(part: &str) -> Option<&str> {
    let (number, name) = part.strip_prefix("domain-")?.split_once('-')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

/// The text before and after the first UUID.
fn uuid(text: &str) -> Option<(&str, &str)> {
    const LENGTH: usize = 36;
    let bytes = text.as_bytes();
    (0..(bytes.len() + 1).saturating_sub(LENGTH))
        .find(|start| {
            let mut parts = bytes[*start..start + LENGTH].split(|byte| *byte == b'-');
            UUID_PARTS.iter().all(|length| {
                parts
                    .next()
                    .is_some_and(|part| part.len() == *length && part.iter().all(u8::is_ascii_hexdigit))
            })
        })
        .map(|start| (&text[..start], &text[start + LENGTH..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "/proc/31893/task/31905/comm",
        Some(31893),
        "@{PROC}/@{pid}/task/@{tid}/comm",
        true
    )]
    #[case::of_another("/proc/1/status", Some(7), "@{PROC}/@{pid}/status", false)]
    #[case::no_process("/proc/sys/dev/i915/perf", Some(7), "@{PROC}/sys/dev/i915/perf", false)]
    #[case::descriptor("/proc/7/fd/12", Some(7), "@{PROC}/@{pid}/fd/[0-9]*", true)]
    #[case::usb("/dev/bus/usb/001/004", None, "/dev/bus/usb/[0-9]*/[0-9]*", false)]
    #[case::udev_usb("/run/udev/data/+usb:1-1.4:1.1", None, "/run/udev/data/+usb*", false)]
    #[case::udev_device("/run/udev/data/c189:1", None, "/run/udev/data/c189:*", false)]
    #[case::udev_network("/run/udev/data/n3", None, "/run/udev/data/n[0-9]*", false)]
    #[case::udev_other("/run/udev/data/+drm:card0", None, "/run/udev/data/+drm:card0", false)]
    #[case::uuid(
        "/run/user/1000/netns/netns-fc48cae4-8a15-67d8-f96d-f2e683d49dc5",
        None,
        "/run/user/1000/netns/netns-[0-9a-f]*-[0-9a-f]*-[0-9a-f]*-[0-9a-f]*-[0-9a-f]*",
        true
    )]
    #[case::uuid_within(
        "/var/lib/libvirt/swtpm/7cf29f14-a170-4e33-bece-1f1e4c7e10b7/tpm2/",
        None,
        "/var/lib/libvirt/swtpm/[0-9a-f]*-[0-9a-f]*-[0-9a-f]*-[0-9a-f]*-[0-9a-f]*/tpm2/",
        false
    )]
    #[case::no_uuid(
        "/a/7cf29f14-a170-4e33-bece-1f1e4c7e10b",
        None,
        "/a/7cf29f14-a170-4e33-bece-1f1e4c7e10b",
        false
    )]
    #[case::domain(
        "/var/lib/libvirt/qemu/domain-12-web-1/monitor.sock",
        None,
        "/var/lib/libvirt/qemu/domain-[0-9]*-web-1/monitor.sock",
        false
    )]
    #[case::special("/srv/a[1]{b}*/@{c}", None, r"/srv/a\[1\]\{b\}\*/\@\{c\}", false)]
    #[case::not_ascii("/srv/ä-7cf29f14/ö", None, "/srv/ä-7cf29f14/ö", false)]
    fn what_is_another_one_each_time_is_a_pattern(
        #[case] path: &str,
        #[case] pid: Option<u32>,
        #[case] pattern: &str,
        #[case] is_owners: bool,
    ) {
        let wanted = General {
            pattern: pattern.into(),
            is_owners,
        };
        assert_eq!(general(path, pid), wanted);
    }
}
