use std::os::unix::fs::FileExt;

use rstest::rstest;

use super::super::key::tests::of_memory;
use super::*;

const LIMIT: Duration = Duration::from_secs(20);

fn states(images: &Path) -> States {
    States::of(&images.join("one-0"))
}

fn make(images: &Path, mib: u32) -> Partial {
    let partial = states(images).begin(&of_memory(mib), LIMIT).unwrap();
    let memory = partial.memory(mib).unwrap();
    memory.write_all_at(b"in memory", 5 << 16).unwrap();
    fs::write(partial.dir().join(DEVICES), "devices").unwrap();
    fs::write(partial.dir().join(DISK), "disk").unwrap();
    partial
}

fn find(images: &Path, mib: u32) -> Result<Option<Found>, StateError> {
    states(images).find(&of_memory(mib))
}

fn dir_of(images: &Path, mib: u32) -> PathBuf {
    images.join("one-0").join(DIR).join(of_memory(mib).name())
}

#[test]
fn a_state_is_found_once_it_is_whole_and_only_by_its_key() {
    let images = tempfile::tempdir().unwrap();
    let images = images.path();
    assert!(find(images, 1).unwrap().is_none());
    let partial = make(images, 1);
    assert!(find(images, 1).unwrap().is_none());
    partial.commit(BTreeMap::new()).unwrap();
    assert!(find(images, 1).unwrap().is_some());
    assert!(find(images, 2).unwrap().is_none());
    states(images).remove(&of_memory(1)).unwrap();
    assert!(find(images, 1).unwrap().is_none());
}

#[test]
fn a_state_that_is_not_finished_leaves_nothing_and_another_may_begin() {
    let images = tempfile::tempdir().unwrap();
    let images = images.path();
    // Killed: its folder stays, and its lock does not.
    let left = states(images)
        .dir
        .join(format!("{PARTIAL_PREFIX}{}", of_memory(1).name()));
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join(MEMORY), "").unwrap();
    let partial = make(images, 1);
    drop(partial);
    assert!(!left.exists());
    make(images, 1).commit(BTreeMap::new()).unwrap();
    assert!(!left.exists());
}

#[test]
fn two_do_not_make_one_state_at_once() {
    let images = tempfile::tempdir().unwrap();
    let images = images.path();
    let held = make(images, 1);
    let error = states(images)
        .begin(&of_memory(1), Duration::from_millis(50))
        .unwrap_err();
    assert!(error.to_string().contains("not let go"), "{error}");
    drop(held);
    make(images, 1).commit(BTreeMap::new()).unwrap();
}

#[rstest]
#[case::a_byte_of_the_memory(MEMORY, |file: &File| file.write_all_at(b"x", 5 << 16).unwrap())]
#[case::a_zero_of_the_memory(MEMORY, |file: &File| file.write_all_at(b"x", 9 << 16).unwrap())]
#[case::a_memory_that_is_cut(MEMORY, |file: &File| file.set_len(7 << 16).unwrap())]
#[case::devices(DEVICES, |file: &File| file.write_all_at(b"x", 0).unwrap())]
#[case::devices_that_are_cut(DEVICES, |file: &File| file.set_len(3).unwrap())]
#[case::disk(DISK, |file: &File| file.write_all_at(b"x", 0).unwrap())]
fn a_damaged_file_is_named(#[case] name: &str, #[case] damage: fn(&File)) {
    let images = tempfile::tempdir().unwrap();
    let images = images.path();
    make(images, 1).commit(BTreeMap::new()).unwrap();
    let path = dir_of(images, 1).join(name);
    damage(&File::options().write(true).open(&path).unwrap());
    let error = find(images, 1).unwrap_err();
    assert!(
        matches!(&error, StateError::Damaged(damaged) if *damaged == path),
        "{error}"
    );
}

#[rstest]
#[case::devices(DEVICES)]
#[case::manifest(MANIFEST)]
fn a_missing_file_is_an_error(#[case] name: &str) {
    let images = tempfile::tempdir().unwrap();
    let images = images.path();
    make(images, 1).commit(BTreeMap::new()).unwrap();
    fs::remove_file(dir_of(images, 1).join(name)).unwrap();
    assert!(matches!(find(images, 1), Err(StateError::Io { .. })));
}

#[test]
fn a_manifest_that_is_none_and_one_of_another_state_are_told() {
    let images = tempfile::tempdir().unwrap();
    let images = images.path();
    make(images, 1).commit(BTreeMap::new()).unwrap();
    make(images, 2).commit(BTreeMap::new()).unwrap();
    fs::copy(dir_of(images, 2).join(MANIFEST), dir_of(images, 1).join(MANIFEST)).unwrap();
    assert!(matches!(find(images, 1), Err(StateError::Other(_))));
    fs::write(dir_of(images, 1).join(MANIFEST), "{").unwrap();
    assert!(matches!(find(images, 1), Err(StateError::Manifest { .. })));
    // It can be made again over what is there.
    make(images, 1).commit(BTreeMap::new()).unwrap();
    assert!(find(images, 1).unwrap().is_some());
}

#[test]
fn the_states_that_were_not_used_for_longest_make_room() {
    let images = tempfile::tempdir().unwrap();
    let images = images.path();
    for (mib, age) in [(1, 30), (2, 10), (3, 20)] {
        make(images, mib).commit(BTreeMap::new()).unwrap();
        let manifest = File::open(dir_of(images, mib).join(MANIFEST)).unwrap();
        manifest
            .set_modified(SystemTime::now() - Duration::from_secs(age))
            .unwrap();
    }
    let size = all(images).iter().map(|state| state.bytes).max().unwrap();
    assert_eq!(make_room(images, 3 * size), Vec::<PathBuf>::new());
    assert_eq!(make_room(images, 2 * size), [dir_of(images, 1)]);
    // One that is used is not the oldest any more.
    find(images, 3).unwrap();
    assert_eq!(make_room(images, size), [dir_of(images, 2)]);
    assert_eq!(make_room(images, 0), Vec::<PathBuf>::new());
    assert_eq!(all(images).len(), 1);
}

#[test]
fn states_of_another_program_are_pruned() {
    let images = tempfile::tempdir().unwrap();
    make(images.path(), 1).commit(BTreeMap::new()).unwrap();
    let pruned = prune(images.path());
    assert_eq!(pruned.len(), 1);
    assert!(pruned[0].bytes > 0 && all(images.path()).is_empty());
}
