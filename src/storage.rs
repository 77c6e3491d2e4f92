//! The space on the disk: how much the files of a node use, and how much they may use.
//!
//! The files may use a number of bytes, or half of the space that other files leave on the file system. So a disk cannot
//! become full of Roomwatch's files. The share is measured again as the disk changes. If others fill the disk, our files
//! stop growing, and keep what they have: a file does not shrink, so removing more would free nothing. The log and the
//! history each get at least half of it, and the part that the other one does not need. Beyond its part, each removes
//! its oldest rows.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// Part of our files that they may use whatever others use. A tenth is left, so that the files need not grow.
const KEPT: (u64, u64) = (9, 10);

/// Limit of all files together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeLimit {
    /// Half of the space that is free or used by our files.
    #[default]
    HalfOfDisk,
    Bytes(u64),
    None,
}

/// The part of one file. Its owner notes what it uses.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    used: AtomicU64,
    max: AtomicU64,
}

impl Default for Quota {
    fn default() -> Quota {
        Quota::of(u64::MAX)
    }
}

impl Quota {
    /// Returns a quota of this many bytes.
    pub fn of(max: u64) -> Quota {
        Quota(Arc::new(Inner { used: AtomicU64::new(0), max: AtomicU64::new(max) }))
    }

    /// Notes the bytes that the file uses, without the pages that it can use again. Returns true if they are too many.
    pub fn is_exceeded(&self, used: u64) -> bool {
        self.0.used.store(used, Ordering::Relaxed);
        used > self.0.max.load(Ordering::Relaxed)
    }

    fn set_max(&self, max: u64) {
        self.0.max.store(max, Ordering::Relaxed);
    }

    fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

/// The space at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Space {
    /// Used by our files, without the pages in them that are used again.
    pub used: u64,
    pub limit: Option<u64>,
    /// Free on the file system that has less.
    pub free: u64,
    /// Size of that file system.
    pub disk: u64,
    /// Number of days that the limit has space for, at the rate of the last day. `None` if the rate is unknown.
    pub days: Option<f64>,
}

/// Rate of events, and the number of those that the log has.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub events_a_day: f64,
    pub events: u64,
}

/// The files of a node in which damage was found, each with the first error. Clones show the same files.
///
/// The history is not one of them: it repairs itself.
#[derive(Clone, Debug, Default)]
pub struct Damage(Arc<Mutex<BTreeMap<&'static str, String>>>);

/// A damaged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    pub file: &'static str,
    pub error: String,
}

impl Damage {
    /// Notes that a file is damaged.
    pub fn found(&self, file: &'static str, error: &dyn Display) {
        self.0.lock().entry(file).or_insert_with(|| {
            let damaged = Damaged { file, error: error.to_string() };
            tracing::error!("{damaged}");
            damaged.error
        });
    }

    /// Notes that all of a file can be read.
    pub fn not_found(&self, file: &'static str) {
        self.0.lock().remove(file);
    }

    pub fn all(&self) -> Vec<Damaged> {
        let files = self.0.lock();
        files.iter().map(|(file, error)| Damaged { file, error: error.clone() }).collect()
    }
}

impl Damaged {
    /// Returns the sentence that says what to do.
    pub fn remedy(&self) -> &'static str {
        match self.file {
            "log.db" => {
                "Check the disk. Stop Roomwatch and restore a backup of log.db, or move it away to begin with an empty log"
            }
            "audit.db" => {
                "Check the disk. Stop Roomwatch and move audit.db away to begin a new record; sqlite3 can read most of the old one"
            }
            "shared.db" => {
                "Check the disk. Stop Roomwatch and remove shared.db: it is created again, and users sign in again"
            }
            _ => "Check the disk. Stop Roomwatch and remove the file: it is created again",
        }
    }
}

impl Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is damaged: {}. {}", self.file, self.error, self.remedy())
    }
}

/// The files of a node on the disk.
#[derive(Debug)]
pub struct Storage {
    /// The data directory, and that of the log if it is another one.
    dirs: Vec<PathBuf>,
    limit: SizeLimit,
    log: Quota,
    derived: Quota,
    now: Mutex<Option<Space>>,
    damage: Damage,
}

impl Storage {
    pub fn new(data: &Path, log: Option<&Path>, limit: SizeLimit) -> Storage {
        let mut dirs = vec![data.to_owned()];
        let is_other = |log: &&Path| log.canonicalize().ok() != data.canonicalize().ok();
        dirs.extend(log.filter(is_other).map(Path::to_owned));
        let (log, derived) = (Quota::default(), Quota::default());
        Storage { dirs, limit, log, derived, now: Mutex::new(None), damage: Damage::default() }
    }

    /// Returns the part of the log.
    pub fn log(&self) -> Quota {
        self.log.clone()
    }

    /// Returns the part of the history.
    pub fn derived(&self) -> Quota {
        self.derived.clone()
    }

    /// Returns the damaged files.
    pub fn damage(&self) -> Damage {
        self.damage.clone()
    }

    /// Returns the last measurement.
    pub fn now(&self) -> Option<Space> {
        *self.now.lock()
    }

    /// Measures the disk and the files, and sets the parts. Blocks.
    pub fn measure(&self, rate: Option<Rate>) -> io::Result<()> {
        let mut files = Files::default();
        for dir in &self.dirs {
            files.add(dir)?;
        }
        let disks = self.dirs.iter().map(|dir| {
            let disk = rustix::fs::statvfs(dir)?;
            Ok::<_, io::Error>((disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize))
        });
        let disks = disks.collect::<Result<Vec<_>, _>>()?;
        let (free, disk) = disks.into_iter().min().unwrap_or_default();
        let limit = match self.limit {
            SizeLimit::HalfOfDisk => Some(half_of_disk(free, files.all)),
            SizeLimit::Bytes(max) => Some(max),
            SizeLimit::None => None,
        };
        // Their owners note the first number soon after the start.
        let or = |quota: &Quota, file| if quota.used() == 0 { file } else { quota.used() };
        let (log, derived) = (or(&self.log, files.log), or(&self.derived, files.derived));
        let others = files.all.saturating_sub(files.log + files.derived);
        if let Some(limit) = limit {
            let rest = limit.saturating_sub(others);
            self.log.set_max((rest / 2).max(rest.saturating_sub(derived)));
            self.derived.set_max((rest / 2).max(rest.saturating_sub(log)));
        }
        let days = limit.zip(rate).map(|(limit, rate)| {
            let event_bytes = (log + derived) as f64 / rate.events.max(1) as f64;
            limit as f64 / (rate.events_a_day * event_bytes)
        });
        let days = days.filter(|days| days.is_finite());
        *self.now.lock() = Some(Space { used: others + log + derived, limit, free, disk, days });
        Ok(())
    }
}

/// Returns the limit without an option, for files of this size.
fn half_of_disk(free: u64, ours: u64) -> u64 {
    ((free + ours) / 2).max(ours / KEPT.1 * KEPT.0)
}

/// Bytes of our files.
#[derive(Default)]
struct Files {
    all: u64,
    log: u64,
    derived: u64,
}

impl Files {
    fn add(&mut self, dir: &Path) -> io::Result<()> {
        for file in fs::read_dir(dir)? {
            let file = file?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            // Other programs may have files in the directory. Ours include those that were put aside.
            if !name.contains(".db") {
                continue;
            }
            let bytes = match file.metadata() {
                Ok(metadata) => metadata.blocks() * 512,
                // A WAL may be removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
            self.all += bytes;
            match &*name {
                "log.db" => self.log += bytes,
                "derived.db" => self.derived += bytes,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn parts(limit: SizeLimit, log: u64, derived: u64, other: u64) -> (u64, u64, Space) {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("audit.db"), vec![1; other as usize]).expect("written");
        fs::write(dir.path().join("film.mkv"), vec![1; MIB as usize]).expect("written");
        let storage = Storage::new(dir.path(), Some(dir.path()), limit);
        storage.log().is_exceeded(log);
        storage.derived().is_exceeded(derived);
        storage.measure(None).expect("measured");
        let max = |quota: Quota| quota.0.max.load(Ordering::Relaxed);
        (max(storage.log()), max(storage.derived()), storage.now().expect("a space"))
    }

    #[test]
    fn each_file_has_half_and_what_the_other_does_not_need() {
        let of = |log, derived| {
            let (log, derived, space) = parts(SizeLimit::Bytes(101 * MIB), log * MIB, derived * MIB, MIB);
            assert_eq!(space.limit, Some(101 * MIB));
            (log / MIB, derived / MIB)
        };
        assert_eq!(of(10, 10), (90, 90));
        assert_eq!(of(80, 10), (90, 50), "the history may take its half from the log");
        assert_eq!(of(10, 80), (50, 90));
        assert_eq!(of(70, 60), (50, 50), "both remove until they fit");
    }

    #[test]
    fn files_of_others_make_ours_stop_growing_and_remove_nothing() {
        assert_eq!(half_of_disk(90, 10), 50);
        assert_eq!(half_of_disk(10, 50), 45, "others have filled the disk");
        assert_eq!(half_of_disk(0, 50), 45);
    }

    #[test]
    fn the_limit_in_days_follows_from_the_rate_of_events_and_their_size() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = Storage::new(dir.path(), None, SizeLimit::Bytes(1_000_000));
        storage.log().is_exceeded(100_000);
        storage.derived().is_exceeded(200_000);
        storage.measure(Some(Rate { events_a_day: 500.0, events: 1_500 })).expect("measured");
        // An event takes 200 bytes, so 100,000 bytes a day.
        assert_eq!(storage.now().expect("a space").days, Some(10.0));
        storage.measure(Some(Rate { events_a_day: 0.0, events: 1_500 })).expect("measured");
        assert_eq!(storage.now().expect("a space").days, None);
    }

    #[test]
    fn without_an_option_it_is_half_of_the_disk_and_with_0_there_is_no_limit() {
        let (log, derived, space) = parts(SizeLimit::HalfOfDisk, MIB, MIB, 0);
        let limit = space.limit.expect("a limit");
        assert!(limit <= space.disk / 2 && limit >= space.free / 4, "{space:?}");
        assert!(log < limit && derived < limit, "{space:?}");
        assert_eq!(space.used, 2 * MIB, "files of other programs do not count");
        let (log, derived, space) = parts(SizeLimit::None, MIB, MIB, 0);
        assert_eq!((log, derived, space.limit), (u64::MAX, u64::MAX, None));
    }
}
