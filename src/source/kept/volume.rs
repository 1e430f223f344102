//! On what kind of file system a folder is, as Linux tells it.

use std::{fs, path::Path};

const MOUNTS: &str = "/proc/self/mountinfo";
const IN_MEMORY: &[&str] = &["tmpfs", "ramfs"];

/// Whether what is written there stays in memory; none where nobody says.
pub(super) fn is_in_memory(folder: &Path) -> Option<bool> {
    let mounts = fs::read_to_string(MOUNTS).ok()?;
    // A folder that is made later will be where its parent is.
    let place = folder
        .ancestors()
        .find_map(|folder| fs::canonicalize(folder).ok())?;
    kind(&mounts, &place).map(|kind| IN_MEMORY.contains(&kind))
}

/// The kind of file system: that of the deepest mount above the folder, and of the last one there.
fn kind<'m>(mounts: &'m str, place: &Path) -> Option<&'m str> {
    let mounts = mounts.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        Some((mount.split(' ').nth(4)?, system.split(' ').next()?))
    });
    mounts
        .filter(|(point, _)| place.starts_with(point.replace(r"\040", " ")))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_counts_and_the_last_of_two() {
        let mounts = "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      2 1 0:5 / /run rw - tmpfs tmpfs rw\n\
                      3 2 8:2 / /run/state\\040dir rw - ext4 /dev/sdb rw\n\
                      4 1 8:2 / /over rw - ext4 /dev/sdb rw\n\
                      5 4 0:6 / /over rw - tmpfs tmpfs rw\n";
        for (place, expected) in [
            ("/var/lib", "ext4"),
            ("/run/postern", "tmpfs"),
            ("/running", "ext4"),
            ("/run/state dir/x", "ext4"),
            ("/over/x", "tmpfs"),
        ] {
            assert_eq!(kind(mounts, Path::new(place)), Some(expected), "{place}");
        }
        assert_eq!(kind("garbage\n", Path::new("/")), None);
    }
}
