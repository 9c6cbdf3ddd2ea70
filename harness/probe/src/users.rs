//! Users of the machine, read from its files: the program is static and cannot ask the C library.

use std::fs;
use std::io;

use crate::protocol::Identity;

/// A user with all its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl User {
    /// The identity that a process of this user should have. It has no capabilities, except that root keeps those
    /// given.
    pub fn identity(&self, of_root: &str) -> Identity {
        let mut groups = self.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        Identity {
            uid: self.uid,
            gid: self.gid,
            groups,
            cap_eff: if self.uid == 0 {
                of_root.into()
            } else {
                "0".repeat(16)
            },
        }
    }

    /// Switch from root to this user. Makes only system calls, so it may be used between fork and exec.
    pub fn switch_to(&self) -> io::Result<()> {
        // SAFETY: plain system calls. Nothing else touches the vector.
        unsafe {
            if libc::setgroups(self.groups.len(), self.groups.as_ptr()) != 0
                || libc::setgid(self.gid) != 0
                || libc::setuid(self.uid) != 0
            {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

/// Look up a user.
pub fn find(name: &str) -> io::Result<User> {
    let (passwd, group) = (
        fs::read_to_string("/etc/passwd")?,
        fs::read_to_string("/etc/group")?,
    );
    find_in(name, &passwd, &group)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("the machine has no user {name}")))
}

fn find_in(name: &str, passwd: &str, group: &str) -> Option<User> {
    let fields = |line: &str| line.split(':').map(str::to_string).collect::<Vec<_>>();
    let user = passwd
        .lines()
        .map(fields)
        .find(|user| user.first().is_some_and(|first| first == name))?;
    let gid: u32 = user.get(3)?.parse().ok()?;
    let mut groups = vec![gid];
    for line in group.lines().map(fields) {
        let member = line
            .get(3)
            .is_some_and(|members| members.split(',').any(|member| member == name));
        if let (true, Some(Ok(id))) = (member, line.get(2).map(|id| id.parse())) {
            groups.push(id);
        }
    }
    groups.dedup();
    Some(User {
        uid: user.get(2)?.parse().ok()?,
        gid,
        groups,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_the_own_one_and_those_that_name_the_user() {
        let passwd = "root:x:0:0::/root:/bin/sh\nlibvirt-qemu:x:64055:993::/x:/sbin/nologin\n";
        let group = "root:x:0:\nkvm:x:993:\naudio:x:29:pulse,libvirt-qemu\nvideo:x:44:libvirt-qemu2\n";
        let got = find_in("libvirt-qemu", passwd, group).unwrap();
        assert_eq!(
            got,
            User {
                uid: 64055,
                gid: 993,
                groups: vec![993, 29]
            }
        );
        assert_eq!(got.identity("ff").groups, [29, 993]);
        assert_eq!(got.identity("ff").cap_eff, "0".repeat(16));
        let root = find_in("root", passwd, group).unwrap();
        assert_eq!(root.identity("ff").cap_eff, "ff");
        assert_eq!(find_in("nobody", passwd, group), None);
    }
}
