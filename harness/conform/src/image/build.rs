//! Makes sure that an image is there: finds it, or builds it, once, however many ask.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::bootstrap;
use super::error::ImageError;
use super::facts::{ImageFacts, installed_packages};
use super::progress::Progress;
use super::recipe::Recipe;
use super::store::{DISK, FACTS, HYPERVISOR, INITRD, Image, KERNEL, LOG_SUFFIX, Store, TREE, load};
use super::{host_tree, initramfs, kernel, modules};

pub(super) use super::bootstrap::remove_tree;

const STEPS: u32 = 4;

/// How a build is done.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Goes on with an index of the mirror that is past its valid-until date.
    pub allow_expired_index: bool,
    /// How long to wait for another process that builds the same image.
    pub lock_timeout: Duration,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            allow_expired_index: false,
            lock_timeout: Duration::from_secs(60 * 60),
        }
    }
}

/// The image of that name, built now where it is not there yet.
pub fn ensure(
    store: &Store,
    name: &str,
    options: &BuildOptions,
    progress: &mut dyn Progress,
) -> Result<Image, ImageError> {
    let recipe = store.recipe(name)?;
    let target = store.dir_of(name, &recipe);
    if let Some(image) = load(name, &target)? {
        return Ok(image);
    }
    bootstrap::check_tools()?;
    let _lock = lock(store, name, options.lock_timeout, progress)?;
    // Whoever held the lock may have built it.
    if let Some(image) = load(name, &target)? {
        progress.finish();
        return Ok(image);
    }
    for leftover in store.leftovers(name)? {
        remove_tree(&leftover)?;
    }
    check_space(store.images_dir(), name, &recipe)?;
    let partial = store
        .images_dir()
        .join(format!("{}{}", Store::partial_prefix(name), std::process::id()));
    let built = build(name, &recipe, &partial, options, progress);
    progress.finish();
    if let Err(error) = built {
        return Err(after_failure(store, name, &partial, error));
    }
    // A folder without facts is none of ours to keep: `load` has not taken it for an image.
    remove_tree(&target)?;
    fs::rename(&partial, &target).map_err(ImageError::file("put in place", &target))?;
    load(name, &target)?.ok_or_else(|| ImageError::malformed(&target, "vanished after it was built"))
}

fn build(
    name: &str,
    recipe: &Recipe,
    dir: &Path,
    options: &BuildOptions,
    progress: &mut dyn Progress,
) -> Result<(), ImageError> {
    let start = Instant::now();
    fs::create_dir_all(dir).map_err(ImageError::file("create", dir))?;
    let root = dir.join("root");
    let log = bootstrap::log_path(dir);

    progress.step(
        1,
        STEPS,
        &format!("installing {} packages and what they need", recipe.packages.len()),
    );
    bootstrap::root_filesystem(recipe, &root, &log, options.allow_expired_index, progress)?;

    progress.step(2, STEPS, "taking out kernel, modules, profiles and their parser");
    let release = take_kernel(name, recipe, &root, dir)?;
    if let Some(pattern) = &recipe.hypervisor {
        take_hypervisor(name, pattern, &root, dir)?;
    }
    take_modules(recipe, &root.join("lib/modules").join(&release), dir)?;
    host_tree::copy(&root, &dir.join(TREE))?;
    let mut facts = read_facts(name, recipe, &root, release)?;

    progress.step(3, STEPS, "making the root disk");
    bootstrap::root_disk(recipe, &root, &dir.join(DISK), &log)?;

    progress.step(4, STEPS, "tidying up");
    remove_tree(&root)?;
    facts.build_seconds = start.elapsed().as_secs();
    let text =
        serde_json::to_string_pretty(&facts).map_err(|e| ImageError::malformed(&dir.join(FACTS), e))?;
    write(&dir.join(FACTS), text.as_bytes())
}

fn take_kernel(name: &str, recipe: &Recipe, root: &Path, dir: &Path) -> Result<String, ImageError> {
    let newest = newest_in_boot(name, "kernel", &recipe.kernel, root)?;
    let release = newest.split_once('-').map(|(_, release)| release.to_owned());
    let release = release.ok_or_else(|| ImageError::Lacking {
        image: name.to_owned(),
        what: format!("release in the name of its kernel, {newest}"),
    })?;
    let packed = read_in_boot(root, &newest)?;
    write(&dir.join(KERNEL), &kernel::plain(&packed).unwrap_or(packed))?;
    Ok(release)
}

fn take_hypervisor(name: &str, pattern: &str, root: &Path, dir: &Path) -> Result<(), ImageError> {
    let newest = newest_in_boot(name, "hypervisor", pattern, root)?;
    let packed = read_in_boot(root, &newest)?;
    let mut plain = Vec::new();
    // QEMU enters it by its multiboot header, which it looks for in what is not packed.
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut plain)
        .map_err(ImageError::file("unpack", &root.join("boot").join(&newest)))?;
    write(&dir.join(HYPERVISOR), &plain)
}

fn read_in_boot(root: &Path, file: &str) -> Result<Vec<u8>, ImageError> {
    let path = root.join("boot").join(file);
    fs::read(&path).map_err(ImageError::file("read", &path))
}

/// The newest file of `/boot` that fits the pattern.
fn newest_in_boot(name: &str, what: &str, pattern: &str, root: &Path) -> Result<String, ImageError> {
    let boot = root.join("boot");
    let mut found = Vec::new();
    for entry in fs::read_dir(&boot).map_err(ImageError::file("read", &boot))? {
        let entry = entry.map_err(ImageError::file("read", &boot))?;
        if let Ok(file) = entry.file_name().into_string()
            && matches(pattern, &file)
        {
            found.push(file);
        }
    }
    found
        .into_iter()
        .max_by(|a, b| compare_versions(a, b))
        .ok_or_else(|| ImageError::Lacking {
            image: name.to_owned(),
            what: format!("{what} {pattern} in /boot"),
        })
}

fn take_modules(recipe: &Recipe, modules_dir: &Path, dir: &Path) -> Result<(), ImageError> {
    let collected = modules::collect(modules_dir, &recipe.modules)?;
    let path = dir.join(INITRD);
    let archive = initramfs::modules_archive(&collected).map_err(ImageError::file("write", &path))?;
    write(&path, &archive)
}

fn read_facts(
    name: &str,
    recipe: &Recipe,
    root: &Path,
    kernel_release: String,
) -> Result<ImageFacts, ImageError> {
    let path = root.join("var/lib/dpkg/status");
    let status = fs::read_to_string(&path).map_err(ImageError::file("read", &path))?;
    let packages = installed_packages(&status);
    let version = |package: &str| {
        packages.get(package).cloned().ok_or_else(|| ImageError::Lacking {
            image: name.to_owned(),
            what: format!("package {package}"),
        })
    };
    Ok(ImageFacts {
        suite: recipe.suite.clone(),
        kernel_release,
        parser_version: version("apparmor")?,
        libvirt_version: version("libvirt-daemon-system")?,
        packages,
        build_seconds: 0,
    })
}

/// Takes the image's lock, which ends with the file that is returned or with this process.
fn lock(store: &Store, name: &str, limit: Duration, progress: &mut dyn Progress) -> Result<File, ImageError> {
    let path = store.lock_path(name);
    let file = store.lock_file(name)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(fs::TryLockError::Error(e)) => return Err(ImageError::file("lock", &path)(e)),
        Err(fs::TryLockError::WouldBlock) => {}
    }
    progress.note("another process is building this image; waiting for it");
    let (sender, receiver) = mpsc::channel();
    // A file lock can only be waited for without a limit, so a thread does that; where the time is over it
    // stays behind, until it has the lock, which ends with it.
    std::thread::spawn(move || {
        let locked = file.lock().map(|()| file);
        let _ = sender.send(locked);
    });
    match receiver.recv_timeout(limit) {
        Ok(locked) => locked.map_err(ImageError::file("lock", &path)),
        Err(_) => Err(ImageError::Locked {
            image: name.to_owned(),
            lock: path,
            waited: limit,
        }),
    }
}

/// How many MiB a build takes. The root file system is there twice for a while: as a tree and on the disk.
pub fn needed_mib(recipe: &Recipe) -> u64 {
    2 * recipe.filesystem.size_mib
}

fn check_space(dir: &Path, name: &str, recipe: &Recipe) -> Result<(), ImageError> {
    let (needed_mib, free_mib) = (needed_mib(recipe), free_mib(dir)?);
    if free_mib < needed_mib {
        return Err(ImageError::NoSpace {
            image: name.to_owned(),
            dir: dir.to_owned(),
            needed_mib,
            free_mib,
        });
    }
    Ok(())
}

fn free_mib(dir: &Path) -> Result<u64, ImageError> {
    const MIB: u64 = 1024 * 1024;
    let stat = nix::sys::statvfs::statvfs(dir)
        .map_err(|e| ImageError::file("ask the free space of", dir)(e.into()))?;
    Ok(stat.blocks_available() * stat.fragment_size() / MIB)
}

/// Removes the unfinished build but for its log, and says so where the disk got full meanwhile.
fn after_failure(store: &Store, name: &str, partial: &Path, error: ImageError) -> ImageError {
    let kept = store.images_dir().join(format!("{name}{LOG_SUFFIX}"));
    let log_kept = fs::rename(bootstrap::log_path(partial), &kept).is_ok();
    // The next build clears away what this leaves.
    let _ = remove_tree(partial);
    match error {
        error if is_full(&error) => ImageError::DiskFull {
            image: name.to_owned(),
            dir: store.images_dir().to_owned(),
        },
        ImageError::Tool {
            tool,
            status,
            last_lines,
            ..
        } if log_kept => match last_lines.iter().find(|line| bootstrap::says_unreachable(line)) {
            Some(line) => ImageError::Unreachable {
                said: line.trim().to_owned(),
                log: kept,
            },
            None => ImageError::Tool {
                tool,
                status,
                log: kept,
                last_lines,
            },
        },
        other => other,
    }
}

fn is_full(error: &ImageError) -> bool {
    match error {
        ImageError::File { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
        ImageError::Tool { last_lines, .. } => last_lines.iter().any(|line| bootstrap::says_full(line)),
        _ => false,
    }
}

fn write(path: &PathBuf, content: &[u8]) -> Result<(), ImageError> {
    fs::write(path, content).map_err(ImageError::file("write", path))
}

/// Whether a name fits a pattern, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(head) else {
        return false;
    };
    (0..=name.len()).any(|at| name.is_char_boundary(at) && matches(rest, &name[at..]))
}

/// Numbers in names compare as numbers: `6.1.0-9` is older than `6.1.0-10`.
fn compare_versions(a: &str, b: &str) -> Ordering {
    fn pieces(text: &str) -> Vec<(u64, &str)> {
        let cut = |w: &[char]| w[0].is_ascii_digit() != w[1].is_ascii_digit();
        let mut rest = text;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let chars: Vec<char> = rest.chars().collect();
            let len = chars.windows(2).position(cut).map_or(chars.len(), |at| at + 1);
            let bytes = chars[..len].iter().map(|c| c.len_utf8()).sum();
            let (piece, after) = rest.split_at(bytes);
            pieces.push((piece.parse().unwrap_or(0), piece));
            rest = after;
        }
        pieces
    }
    pieces(a).cmp(&pieces(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("vmlinuz-*-amd64", "vmlinuz-6.1.0-56-amd64", true)]
    #[case("vmlinuz-*-amd64", "vmlinuz-6.1.0-56-cloud-amd64.old", false)]
    #[case("vmlinuz-*-amd64", "System.map-6.1.0-56-amd64", false)]
    #[case("exact", "exact", true)]
    #[case("exact", "exactly", false)]
    #[case("*", "", true)]
    fn a_pattern_fits(#[case] pattern: &str, #[case] name: &str, #[case] fits: bool) {
        assert_eq!(matches(pattern, name), fits);
    }

    #[rstest]
    #[case("vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64")]
    #[case("vmlinuz-6.12.9+deb13-amd64", "vmlinuz-6.12.117+deb13-amd64")]
    #[case("vmlinuz-5.10.0-amd64", "vmlinuz-6.1.0-amd64")]
    fn the_newer_kernel_is_greater(#[case] older: &str, #[case] newer: &str) {
        assert_eq!(compare_versions(older, newer), Ordering::Less);
        assert_eq!(compare_versions(newer, newer), Ordering::Equal);
    }
}
