//! A record in one sentence for people.

use crate::kind::Kind;
use crate::label::components;
use crate::record::Record;
use crate::verdict::Verdict;

impl Record {
    /// The record in one sentence, without a full stop:
    /// `libvirtd (pid 12, profile "libvirtd") was denied the capability ipc_lock`.
    #[must_use]
    pub fn sentence(&self) -> String {
        if self.kind() == Kind::Policy {
            return self.policy_sentence();
        }
        let who = self.who();
        let what = self.access();
        let mut sentence = match self.verdict {
            Verdict::Denied => format!("{who} was denied {what}"),
            Verdict::Killed => format!("{who} was killed for {what}"),
            Verdict::Allowed => format!("{who} was allowed, in complain mode only, {what}"),
            Verdict::Audit => format!("{who} was granted, as the policy audits, {what}"),
            Verdict::Error => format!("{who} met an error of AppArmor at {what}"),
            Verdict::Hint => format!("{who} caused a hint at {what}"),
            Verdict::Status => format!("{who} caused a status at {what}"),
        };
        self.append_remark(&mut sentence);
        sentence
    }

    /// The subject: `libvirtd (pid 12, profile "libvirtd")`.
    fn who(&self) -> String {
        let name = self
            .comm
            .as_deref()
            .or(self.exe.as_deref())
            .unwrap_or("a process");
        let mut notes = Vec::new();
        if let Some(pid) = self.pid {
            notes.push(format!("pid {pid}"));
        }
        for subject in self.subject() {
            let mut note = format!("profile {:?}", Plain(subject.profile));
            if let Some(namespace) = subject.namespace {
                note.push_str(&format!(" in namespace {:?}", Plain(namespace)));
            }
            notes.push(note);
        }
        if notes.is_empty() {
            name.to_owned()
        } else {
            format!("{name} ({})", notes.join(", "))
        }
    }

    /// What was asked for, as a noun phrase.
    fn access(&self) -> String {
        match self.kind() {
            Kind::Capability => format!("the capability {}", self.capability_name()),
            Kind::Exec => {
                let mut phrase = format!("execution of {}", self.object());
                if let Some(target) = &self.target {
                    phrase.push_str(&format!(" into {:?}", Plain(target)));
                }
                phrase
            }
            Kind::ChangeProfile => {
                let target = self.target.as_deref().or(self.name.as_deref());
                format!(
                    "a change of label{} by {}",
                    quoted(" to ", target),
                    self.operation_name()
                )
            }
            Kind::File => self.file_access(),
            Kind::Unix | Kind::Network => self.socket_access(),
            Kind::Signal => {
                let signal = self.signal.as_deref().unwrap_or("of unknown number");
                let direction = match self.mask() {
                    Some("receive") => ("receiving", "from"),
                    _ => ("sending", "to"),
                };
                format!(
                    "{} the signal {signal}{}",
                    direction.0,
                    self.other_side(direction.1)
                )
            }
            Kind::Ptrace => {
                let phrase = match self.mask() {
                    Some("read") => "reading the state".to_owned(),
                    Some("trace") => "tracing".to_owned(),
                    Some("readby") => "being read".to_owned(),
                    Some("tracedby") => "being traced".to_owned(),
                    Some(mask) => format!("ptrace ({mask})"),
                    None => "ptrace".to_owned(),
                };
                let link = match self.mask() {
                    Some("readby" | "tracedby") => "by",
                    _ => "of",
                };
                format!("{phrase}{}", self.other_side(link))
            }
            Kind::Dbus => self.dbus_access(),
            Kind::Mount => {
                let mut phrase = format!("a mount on {}", self.object());
                phrase.push_str(&quoted(" of ", self.srcname.as_deref()));
                phrase.push_str(&quoted(" of type ", self.fstype.as_deref()));
                phrase.push_str(&quoted(" with flags ", self.flags.as_deref()));
                phrase.push_str(&quoted(" and options ", self.options.as_deref()));
                phrase
            }
            Kind::Umount => format!("the unmount of {}", self.object()),
            Kind::PivotRoot => {
                format!(
                    "a change of the root mount to {}{}",
                    self.object(),
                    quoted(", the old one on ", self.srcname.as_deref())
                )
            }
            Kind::Rlimit => {
                let mut phrase = format!(
                    "setting the limit {}",
                    self.rlimit.as_deref().unwrap_or("of unknown name")
                );
                if let Some(value) = self.value {
                    phrase.push_str(&format!(" to {value}"));
                }
                phrase.push_str(&self.other_side("of"));
                phrase
            }
            Kind::IoUring => format!(
                "the io_uring operation {}",
                self.mask().unwrap_or_else(|| self.operation_name())
            ),
            Kind::UserNamespace => "the creation of a user namespace".to_owned(),
            Kind::MessageQueue => format!("{} of the message queue {}", self.masked("access"), self.object()),
            Kind::Policy | Kind::Other => {
                let mut phrase = format!("the operation {}", self.operation_name());
                phrase.push_str(&quoted(" on ", self.name.as_deref()));
                phrase.push_str(&self.other_side("with"));
                phrase
            }
        }
    }

    fn file_access(&self) -> String {
        let access = self.mask().map_or_else(|| "access".to_owned(), file_mask);
        let mut phrase = format!("{access} of {} ({})", self.object(), self.operation_name());
        if let Some(target) = &self.target {
            phrase.push_str(&format!(", target {:?}", Plain(target)));
        }
        phrase
    }

    fn socket_access(&self) -> String {
        let mut phrase = format!("{} on a socket of family ", self.operation_name());
        phrase.push_str(self.family.as_deref().unwrap_or("unknown"));
        if let Some(sock_type) = &self.sock_type {
            phrase.push_str(&format!(", type {sock_type}"));
        }
        if let Some(protocol) = self.protocol {
            phrase.push_str(&format!(", protocol {protocol}"));
        }
        if let Some(mask) = self.mask() {
            phrase.push_str(&format!(" ({mask})"));
        }
        for (name, address, port) in [
            ("local", &self.laddr, self.lport),
            ("foreign", &self.faddr, self.fport),
        ] {
            match (address, port) {
                (Some(address), Some(port)) => {
                    phrase.push_str(&format!(", {name} address {address} port {port}"))
                }
                (Some(address), None) => phrase.push_str(&format!(", {name} address {address}")),
                (None, Some(port)) => phrase.push_str(&format!(", {name} port {port}")),
                (None, None) => {}
            }
        }
        phrase.push_str(&quoted(
            ", address ",
            self.addr.as_deref().filter(|&address| address != "none"),
        ));
        phrase.push_str(&quoted(
            ", peer address ",
            self.peer_addr.as_deref().filter(|&address| address != "none"),
        ));
        phrase.push_str(&quoted(", peer ", self.peer.as_deref()));
        phrase
    }

    fn dbus_access(&self) -> String {
        let verb = match self.mask.as_deref() {
            Some("send") => "sending",
            Some("receive") => "receiving",
            Some("bind") => "owning a name",
            Some("eavesdrop") => "eavesdropping",
            _ => self.operation_name(),
        };
        let mut phrase = format!("{verb} on the {} bus", self.bus.as_deref().unwrap_or("unknown"));
        if let Some(member) = &self.member {
            let interface = self
                .interface
                .as_deref()
                .map(|interface| format!("{interface}."))
                .unwrap_or_default();
            phrase.push_str(&format!(": {interface}{member}"));
        }
        phrase.push_str(&quoted(" at ", self.path.as_deref()));
        phrase.push_str(&quoted(", name ", self.name.as_deref()));
        phrase.push_str(&quoted(
            ", peer ",
            self.peer_label.as_deref().or(self.peer.as_deref()),
        ));
        phrase
    }

    fn policy_sentence(&self) -> String {
        let who = self.who();
        let name = quoted(" ", self.name.as_deref());
        let done = match self.operation.as_deref() {
            Some("profile_load") => ("loaded the profile", "the load of the profile"),
            Some("profile_replace") => ("replaced the profile", "the replacement of the profile"),
            Some("profile_remove") => ("removed the profile", "the removal of the profile"),
            _ => ("changed the policy", "a change of the policy"),
        };
        let mut sentence = match self.verdict {
            // A load that fails is told as a status as well, with its errno.
            Verdict::Status if self.error.is_some() => format!("{who} failed at {}{name}", done.1),
            Verdict::Status | Verdict::Audit | Verdict::Hint => format!("{who} {}{name}", done.0),
            Verdict::Allowed => format!("{who} was allowed, in complain mode only, {}{name}", done.1),
            Verdict::Denied => format!("{who} was denied {}{name}", done.1),
            Verdict::Killed => format!("{who} was killed for {}{name}", done.1),
            Verdict::Error => format!("{who} met an error of AppArmor at {}{name}", done.1),
        };
        self.append_remark(&mut sentence);
        sentence
    }

    /// The `info` and the errno, in brackets.
    fn append_remark(&self, sentence: &mut String) {
        match (&self.info, self.error) {
            (Some(info), Some(error)) => sentence.push_str(&format!(" [{info}, error {error}]")),
            (Some(info), None) => sentence.push_str(&format!(" [{info}]")),
            (None, Some(error)) => sentence.push_str(&format!(" [error {error}]")),
            (None, None) => {}
        }
    }

    fn operation_name(&self) -> &str {
        self.operation.as_deref().unwrap_or("an unnamed operation")
    }

    fn capability_name(&self) -> String {
        match (&self.capname, self.capability) {
            (Some(name), _) => name.clone(),
            (None, Some(number)) => format!("number {number}"),
            (None, None) => "of unknown name".to_owned(),
        }
    }

    /// The object's name in quotes.
    fn object(&self) -> String {
        self.name.as_deref().map_or_else(
            || "an unnamed object".to_owned(),
            |name| format!("{:?}", Plain(name)),
        )
    }

    /// What was refused, or, where nothing was, what was asked for.
    fn mask(&self) -> Option<&str> {
        self.denied_mask.as_deref().or(self.requested_mask.as_deref())
    }

    fn masked(&self, otherwise: &str) -> String {
        self.mask()
            .map_or_else(|| otherwise.to_owned(), |mask| format!("{otherwise} ({mask})"))
    }

    /// The peer's profiles and the other process, after `link`.
    fn other_side(&self, link: &str) -> String {
        let peer = self.peer.as_deref().map(|peer| {
            let profiles: Vec<_> = components(peer)
                .map(|component| match component.namespace {
                    Some(namespace) => {
                        format!(
                            "{:?} in namespace {:?}",
                            Plain(component.profile),
                            Plain(namespace)
                        )
                    }
                    None => format!("{:?}", Plain(component.profile)),
                })
                .collect();
            profiles.join(" and ")
        });
        let process = self.ocomm.as_deref().map(|comm| match self.opid {
            Some(pid) => format!("{comm} (pid {pid})"),
            None => comm.to_owned(),
        });
        match (process, peer) {
            (Some(process), Some(peer)) => format!(" {link} {process} under {peer}"),
            (Some(other), None) | (None, Some(other)) => format!(" {link} {other}"),
            (None, None) => String::new(),
        }
    }
}

/// The letters of a file mask as words.
fn file_mask(mask: &str) -> String {
    let mut words = Vec::new();
    for letter in mask.chars() {
        words.push(match letter {
            'r' => "read",
            'w' => "write",
            'a' => "append",
            'c' => "create",
            'd' => "delete",
            'm' => "executable mapping",
            'k' => "lock",
            'l' => "link",
            'x' => "execute",
            // Old kernels put colons between the owner's part and the others'.
            ':' => continue,
            _ => return format!("access ({mask})"),
        });
    }
    words.dedup();
    match words.as_slice() {
        [] => "access".to_owned(),
        [word] => format!("{word} access"),
        [first @ .., last] => format!("{} and {last} access", first.join(", ")),
    }
}

/// `lead` and the text in quotes, or nothing.
fn quoted(lead: &str, text: Option<&str>) -> String {
    text.map(|text| format!("{lead}{:?}", Plain(text)))
        .unwrap_or_default()
}

/// Text in quotes on one line: control characters and quotes are escaped, the backslash (which stands for itself, or
/// begins an escape of this crate) and all that can be read is not.
struct Plain<'a>(&'a str);

impl std::fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                _ if character.is_control() => write!(f, "{}", character.escape_default())?,
                _ => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}
