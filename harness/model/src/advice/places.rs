//! Where libvirt's rules are: finds the file that has the profile that a record names.

use aa_audit::{Kind, Record};

/// Where a rule goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyOwner {
    /// A guest's own profile, which virt-aa-helper writes anew at each start.
    Guest,
    /// One of libvirt's own profiles.
    Libvirt {
        /// Its name.
        profile: String,
        /// Its file's name in `/etc/apparmor.d`, and in `local/` below it.
        file: &'static str,
        /// The exec mode for programs of the system.
        exec: &'static str,
    },
    /// Any other profile.
    Other(String),
}

const FILES: [(&str, &str, &str); 4] = [
    ("libvirtd", "usr.sbin.libvirtd", "PUx"),
    ("virtqemud", "usr.sbin.virtqemud", "PUx"),
    ("virtxend", "usr.sbin.virtxend", "PUx"),
    ("virt-aa-helper", "usr.lib.libvirt.virt-aa-helper", "ix"),
];

/// Folders of the system's files; a guest's disks are elsewhere.
const OF_SYSTEM: [&str; 14] = [
    "/proc/",
    "/sys/",
    "/dev/",
    "/run/",
    "/etc/",
    "/usr/",
    "/lib",
    "/bin/",
    "/sbin/",
    "/tmp/",
    "/var/tmp/",
    "/opt/",
    "/var/lib/libvirt/qemu/",
    "/var/lib/libvirt/swtpm/",
];

/// The profile of a record's subject, which the D-Bus daemon calls the label. Empty if the record has none.
pub fn profile_of(record: &Record) -> &str {
    let profile = record.profile.as_deref().or(record.label.as_deref());
    profile.unwrap_or_default()
}

/// Where a rule for a record's subject goes.
pub fn place_of(record: &Record) -> PolicyOwner {
    let profile = profile_of(record);
    let name = profile.rsplit('/').next().unwrap_or(profile);
    if is_guest(profile) {
        return PolicyOwner::Guest;
    }
    match FILES.iter().find(|(daemon, ..)| *daemon == name) {
        Some((_, file, exec)) => PolicyOwner::Libvirt {
            profile: profile.to_owned(),
            file,
            exec,
        },
        None => PolicyOwner::Other(profile.to_owned()),
    }
}

/// Whether a profile is a guest's: `libvirt-UUID`.
pub fn is_guest(profile: &str) -> bool {
    profile.strip_prefix("libvirt-").is_some_and(|uuid| {
        uuid.len() == 36 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    })
}

impl PolicyOwner {
    /// Where libvirt's source has the rule.
    pub fn of_rule(&self) -> String {
        match self {
            Self::Guest => "abstractions/libvirt-qemu".to_owned(),
            Self::Libvirt { profile, .. } | Self::Other(profile) => format!("profile {profile}"),
        }
    }

    /// Where an administrator puts the rule.
    pub fn on_one_host(&self) -> String {
        match self {
            Self::Guest => {
                " to every guest; on one host, put it into local/abstractions/libvirt-qemu".to_owned()
            }
            Self::Libvirt { file, .. } => format!("; on one host, put it into local/{file}"),
            Self::Other(_) => String::new(),
        }
    }

    /// The exec mode for a program that no other rule of the profile covers.
    pub fn exec(&self) -> &'static str {
        match self {
            Self::Libvirt { exec, .. } => exec,
            Self::Guest | Self::Other(_) => "ix",
        }
    }

    /// A further note about the rule, if there is one.
    pub fn note(&self, record: &Record) -> Option<String> {
        let path = record.name.as_deref()?;
        let of_system = OF_SYSTEM.iter().any(|folder| path.starts_with(folder));
        let is_own =
            *self == Self::Guest && record.kind() == Kind::File && path.starts_with('/') && !of_system;
        is_own.then(|| {
            "if the domain's XML names this file, or a disk of it has it as a backing file, virt-aa-helper should \
             have listed it for this guest alone: look for why it did not before adding a rule"
                .to_owned()
        })
    }
}
