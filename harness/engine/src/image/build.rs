//! Finds an image, or builds it once, however many callers ask for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::bootstrap;
use super::error::ImageError;
use super::facts::ImageFacts;
use super::progress::Progress;
use super::recipe::{Recipe, Source};
use super::store::{DISK, FACTS, HYPERVISOR, INITRD, Image, KERNEL, LOG_SUFFIX, Store, TREE, load};
use super::tree::Given;
use super::{boot, host_tree, initramfs, kernel, modules, unpack, versions};

pub(super) use super::bootstrap::remove_tree;

const STEPS: u32 = 4;

/// Options of a build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Accepts a mirror's index that is past its valid-until date.
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

/// The image of that name. It is built now if it does not exist yet.
pub fn ensure(
    store: &Store,
    name: &str,
    options: &BuildOptions,
    progress: &mut dyn Progress,
) -> Result<Image, ImageError> {
    let recipe = store.recipe(name)?;
    let target = store.dir_of(name, &recipe)?;
    if let Some(image) = load(name, &target)? {
        return Ok(image);
    }
    let given = store.given(&recipe);
    bootstrap::check_tools(given.as_ref())?;
    let _lock = lock(store, name, options.lock_timeout, progress)?;
    // The previous holder of the lock may have built it.
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
    let built = build(name, &recipe, given.as_ref(), &partial, options, progress);
    progress.finish();
    if let Err(error) = built {
        return Err(after_failure(store, name, &partial, error));
    }
    // A folder without facts is not worth keeping: `load` has not taken it for an image.
    remove_tree(&target)?;
    fs::rename(&partial, &target).map_err(ImageError::file("put in place", &target))?;
    load(name, &target)?.ok_or_else(|| ImageError::malformed(&target, "vanished after it was built"))
}

fn build(
    name: &str,
    recipe: &Recipe,
    given: Option<&Given>,
    dir: &Path,
    options: &BuildOptions,
    progress: &mut dyn Progress,
) -> Result<(), ImageError> {
    let start = Instant::now();
    fs::create_dir_all(dir).map_err(ImageError::file("create", dir))?;
    let root = dir.join("root");
    let log = bootstrap::log_path(dir);

    match (&recipe.source, given) {
        (Source::Suite(suite), _) => {
            let packages = recipe.packages.len();
            progress.step(
                1,
                STEPS,
                &format!("installing {packages} packages and what they need"),
            );
            let expired = options.allow_expired_index;
            bootstrap::root_filesystem(recipe, suite, &root, &log, expired, progress)?;
        }
        (Source::From(as_written), given) => {
            let given = given.unwrap_or(as_written);
            progress.step(1, STEPS, &format!("copying {}", given.path().display()));
            unpack::unpack(recipe, given, &root, &log)?;
        }
    }

    progress.step(2, STEPS, "taking out kernel, modules, profiles and their parser");
    let release = take_kernel(name, recipe, &root, dir)?;
    if let Some(pattern) = &recipe.hypervisor {
        write(&dir.join(HYPERVISOR), &boot::hypervisor(name, pattern, &root)?)?;
    }
    take_modules(recipe, &boot::modules_dir(&root, &release)?, dir)?;
    host_tree::copy(&root, &dir.join(TREE))?;
    let mut facts = read_facts(name, recipe, &root, &dir.join(TREE), release)?;

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
    let (release, packed) = boot::kernel(name, &recipe.kernel, root)?;
    write(&dir.join(KERNEL), &kernel::plain(&packed).unwrap_or(packed))?;
    Ok(release)
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
    tree: &Path,
    kernel_release: String,
) -> Result<ImageFacts, ImageError> {
    let versions = versions::read(name, root, tree)?;
    Ok(ImageFacts {
        suite: match &recipe.source {
            Source::Suite(suite) => suite.clone(),
            Source::From(given) => given.path().display().to_string(),
        },
        kernel_release,
        parser_version: versions.parser,
        libvirt_version: versions.libvirt,
        packages: versions.packages,
        build_seconds: 0,
    })
}

/// Takes the image's lock. It is released when the returned file is closed or this process ends.
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
    // The wait for a file lock has no time limit, so a thread waits. After the limit the thread stays until it gets
    // the lock, which it then releases.
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

/// How many MiB a build takes. For a while the root file system exists twice: as a tree and on the disk.
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

/// Removes the unfinished build except its log, and reports if the disk got full.
fn after_failure(store: &Store, name: &str, partial: &Path, error: ImageError) -> ImageError {
    let kept = store.images_dir().join(format!("{name}{LOG_SUFFIX}"));
    let log_kept = fs::rename(bootstrap::log_path(partial), &kept).is_ok();
    // The next build removes what is left here.
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
