//! The files of subjects on a host: each of the host's file systems below a layer that takes all changes and ends with
//! the namespace. Also the mounts of a running system that a container lacks.
//!
//! Each layer is mounted at the host's own mount point, so that AppArmor sees the host's names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use crate::init::mount_running_system;

/// The folder for the layers until the new root is ready. It exists on any system.
const STAGE: &str = "/tmp";
/// File systems without files of the host's own.
const VIRTUAL: [&str; 26] = [
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Make this process's files from the host's, in a new mount namespace.
pub fn from_the_host() -> io::Result<()> {
    let mounted = mount_points(&fs::read_to_string("/proc/self/mountinfo")?);
    keep_to_ourselves()?;
    tmpfs(Path::new(STAGE))?;
    let root = Path::new(STAGE).join("root");
    fs::create_dir_all(&root)?;
    for (index, point) in mounted.iter().enumerate() {
        let target = root.join(point.strip_prefix("/").unwrap_or(point));
        let layered = layer(point, &target, &Path::new(STAGE).join(index.to_string()));
        if point == Path::new("/") {
            layered?;
        } else if layered.is_err() {
            // A file system that cannot be the lower layer, of a network for example, can still be read.
            read_only(point, &target)?;
        }
    }
    let devices = root.join("dev");
    layer(Path::new("/dev"), &devices, &Path::new(STAGE).join("dev"))?;
    pivot(&root)?;
    complete_but_devices()
}

/// Make the mounts that a container may lack. Those of its engine may be masked or read-only.
pub fn complete() -> io::Result<()> {
    let none = None::<&str>;
    keep_to_ourselves()?;
    tmpfs(Path::new(STAGE))?;
    let ground = Path::new(STAGE).join("devtmpfs");
    fs::create_dir(&ground)?;
    mount(
        Some("devtmpfs"),
        &ground,
        Some("devtmpfs"),
        MsFlags::MS_NOSUID,
        none,
    )
    .map_err(|errno| of("devtmpfs", errno))?;
    layer(&ground, Path::new("/dev"), &Path::new(STAGE).join("dev"))?;
    complete_but_devices()
}

fn complete_but_devices() -> io::Result<()> {
    mount_running_system(&["/dev"]).map_err(|error| io::Error::other(error.to_string()))
}

fn of(what: impl AsRef<Path>, errno: nix::errno::Errno) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(
        error.kind(),
        format!("mount {}: {error}", what.as_ref().display()),
    )
}

/// Keep later mounts in this mount namespace.
pub fn keep_to_ourselves() -> io::Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(|errno| of("/", errno))
}

/// A file system in memory.
pub fn tmpfs(at: &Path) -> io::Result<()> {
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .map_err(|errno| of(at, errno))
}

/// Mount `ground` at `target` below a layer that takes all changes. `stage` is a new folder for the layer.
pub fn layer(ground: &Path, target: &Path, stage: &Path) -> io::Result<()> {
    let (upper, work) = (stage.join("upper"), stage.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let owner = fs::metadata(ground)?;
    fs::set_permissions(&upper, owner.permissions())?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        escaped(ground)?,
        escaped(&upper)?,
        escaped(&work)?
    );
    mount(
        Some("overlay"),
        target,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .map_err(|errno| of(ground, errno))
}

/// Escapes a path for overlayfs's options.
fn escaped(path: &Path) -> io::Result<String> {
    let text = path
        .to_str()
        .ok_or_else(|| io::Error::other(format!("{} is not UTF-8", path.display())))?;
    Ok(text
        .chars()
        .flat_map(|c| {
            matches!(c, '\\' | ':' | ',')
                .then_some('\\')
                .into_iter()
                .chain([c])
        })
        .collect())
}

fn read_only(point: &Path, target: &Path) -> io::Result<()> {
    let none = None::<&str>;
    mount(Some(point), target, none, MsFlags::MS_BIND, none).map_err(|errno| of(point, errno))?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(none, target, none, flags, none).map_err(|errno| of(point, errno))
}

/// Make `root` the root of this mount namespace, and unmount the old one.
fn pivot(root: &Path) -> io::Result<()> {
    chdir(root)?;
    pivot_root(".", ".").map_err(|errno| of(root, errno))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(|errno| of("the old root", errno))?;
    chdir("/")?;
    Ok(())
}

/// Mount points of file systems with files of the host's own, each before those below it.
fn mount_points(mountinfo: &str) -> Vec<PathBuf> {
    let mut points = vec![PathBuf::from("/")];
    for line in mountinfo.lines() {
        let mut fields = line.split(' ');
        let (Some(point), Some((_, source))) = (fields.nth(4), line.split_once(" - ")) else {
            continue;
        };
        let kind = source.split(' ').next().unwrap_or_default();
        let point = PathBuf::from(unescaped(point));
        if VIRTUAL.contains(&kind)
            || ["/dev", "/proc", "/run", "/sys", "/tmp"]
                .iter()
                .any(|top| point.starts_with(top))
        {
            continue;
        }
        if !points.contains(&point) {
            points.push(point);
        }
    }
    points.sort();
    points
}

/// Everything mounted below a folder, in the order in which it was mounted.
pub fn below(dir: &Path) -> Vec<PathBuf> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .map(|point| PathBuf::from(unescaped(point)))
        .filter(|point| point.starts_with(dir))
        .collect()
}

/// Undoes the escapes of mountinfo, such as `\040` for a blank.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let octal = more
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, octal) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &more[3..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_the_hosts_own_files_is_layered() {
        let mountinfo = "\
22 1 253:0 / / rw shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:25 / /run rw - tmpfs tmpfs rw
25 22 253:1 / /var/lib/my\\040disk rw shared:7 - xfs /dev/vdb rw
26 22 253:2 / /var rw - ext4 /dev/vdc rw
27 24 253:3 / /run/media/x rw - vfat /dev/sda1 rw
";
        let points = mount_points(mountinfo);
        let expected = ["/", "/var", "/var/lib/my disk"].map(PathBuf::from);
        assert_eq!(points, expected);
    }

    #[test]
    fn a_path_with_a_separator_is_one_path() {
        assert_eq!(escaped(Path::new("/a:b,c")).unwrap(), "/a\\:b\\,c");
    }
}
