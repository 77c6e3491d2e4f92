//! A disk that loses power, fills up and fails, as a SQLite VFS.
//!
//! Files are real, and every call is passed to the system's VFS, so that a process sees what it wrote. Memory holds what
//! would survive a power loss: a write reaches it when its file is synced. At a power loss each 512 bytes of unsynced data
//! survive or not, independently and in any order.

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_char, c_int, c_void},
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use rusqlite::ffi;

const SECTOR: usize = 512;

/// A generator that gives the same numbers for the same seed.
pub struct Dice(u64);

impl Dice {
    /// The seed is `ROOMWATCH_SEED`, or a new one. It is printed, so that a failure can be repeated.
    pub fn seeded() -> Dice {
        let given = std::env::var("ROOMWATCH_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).expect("random bytes");
            u64::from_ne_bytes(bytes)
        });
        println!("ROOMWATCH_SEED={seed}");
        Dice(seed)
    }

    /// SplitMix64.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }
}

/// The kind of operation that fails, after how many successes, and how often.
pub struct Fault {
    pub on: On,
    pub after: u64,
    pub times: u64,
    /// The code that SQLite's own VFS would return.
    pub code: c_int,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum On {
    Write,
    Sync,
}

/// One simulated disk. Its VFS stays registered until the process ends.
pub struct Disk {
    name: String,
    state: &'static Mutex<State>,
}

struct State {
    files: HashMap<PathBuf, Content>,
    operations: u64,
    cut_at: Option<u64>,
    dead: bool,
    fault: Option<Fault>,
    dice: Dice,
}

#[derive(Clone, Default)]
struct Content {
    /// `None`: the file would not survive a power loss.
    durable: Option<Vec<u8>>,
    pending: Vec<Pending>,
}

#[derive(Clone)]
enum Pending {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { to: usize },
}

impl Disk {
    pub fn new(seed: u64) -> Disk {
        static DISKS: AtomicU64 = AtomicU64::new(0);
        let state = State {
            files: HashMap::new(),
            operations: 0,
            cut_at: None,
            dead: false,
            fault: None,
            dice: Dice(seed),
        };
        let state: &'static Mutex<State> = Box::leak(Box::new(Mutex::new(state)));
        let name = format!("disk-{}", DISKS.fetch_add(1, Ordering::Relaxed));
        vfs::register(&name, state);
        Disk { name, state }
    }

    pub fn vfs(&self) -> Option<String> {
        Some(self.name.clone())
    }

    /// Cuts the power after `operations` more writes, truncations and syncs. Every later operation fails.
    pub fn cut_after(&self, operations: u64) {
        let mut state = self.state.lock();
        state.cut_at = Some(state.operations + operations);
    }

    pub fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    pub fn fail(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    pub fn mend(&self) {
        self.state.lock().fault = None;
    }

    /// The files after a power loss: another random selection each time.
    pub fn lose_power(&self, dice: &mut Dice) -> Survived {
        let state = self.state.lock();
        let survived =
            state.files.iter().map(|(path, content)| (path.clone(), content.after_power_loss(dice)));
        Survived(survived.collect())
    }

    /// Only the process is killed: the system still has every write, and the disk continues.
    pub fn kill_process(&self) {
        let mut state = self.state.lock();
        (state.dead, state.cut_at) = (false, None);
    }

    /// The power is back, and the disk has what `survived`, in place: the same inodes, as after a real power loss.
    pub fn power_on(&self, survived: &Survived) {
        for (path, bytes) in &survived.0 {
            match bytes {
                Some(bytes) => rewrite(path, bytes),
                None => drop(fs::remove_file(path)),
            }
        }
        let mut state = self.state.lock();
        (state.dead, state.cut_at, state.fault) = (false, None, None);
        state.files = survived
            .0
            .iter()
            .map(|(path, bytes)| (path.clone(), Content { durable: bytes.clone(), pending: vec![] }))
            .collect();
    }
}

/// The files as a power loss left them.
pub struct Survived(Vec<(PathBuf, Option<Vec<u8>>)>);

fn rewrite(path: &Path, bytes: &[u8]) {
    let file = File::options().write(true).create(true).truncate(false).open(path).expect("the file opens");
    file.set_len(bytes.len() as u64).expect("its length is set");
    file.write_all_at(bytes, 0).expect("it is written");
}

impl Pending {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Pending::Write { at, bytes: new } => {
                if bytes.len() < at + new.len() {
                    bytes.resize(at + new.len(), 0);
                }
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Pending::Truncate { to } => bytes.resize(*to, 0),
        }
    }

    /// The parts that a disk writes independently.
    fn sectors(&self) -> Vec<Pending> {
        let Pending::Write { at, bytes } = self else { return vec![self.clone()] };
        let (mut sectors, mut from) = (Vec::new(), 0);
        while from < bytes.len() {
            let to = (from + SECTOR - (at + from) % SECTOR).min(bytes.len());
            sectors.push(Pending::Write { at: at + from, bytes: bytes[from..to].to_vec() });
            from = to;
        }
        sectors
    }
}

impl Content {
    fn after_power_loss(&self, dice: &mut Dice) -> Option<Vec<u8>> {
        if self.durable.is_none() && dice.below(2) == 0 {
            return None;
        }
        let mut bytes = self.durable.clone().unwrap_or_default();
        // Nothing, everything, most or some of it, or everything up to one moment.
        let (chance, until) = match dice.below(5) {
            0 => (0, usize::MAX),
            1 => (100, usize::MAX),
            2 => (90, usize::MAX),
            3 => (50, usize::MAX),
            _ => (100, dice.below(self.pending.len() as u64 + 1) as usize),
        };
        for pending in self.pending.iter().take(until).flat_map(Pending::sectors) {
            if dice.below(100) < chance {
                pending.apply(&mut bytes);
            }
        }
        Some(bytes)
    }

    fn sync(&mut self) {
        let durable = self.durable.get_or_insert_default();
        self.pending.drain(..).for_each(|pending| pending.apply(durable));
    }
}

impl State {
    /// Counts one operation, and returns the error with which it fails.
    fn operate(&mut self, on: On) -> Result<(), c_int> {
        self.operations += 1;
        if self.cut_at.is_some_and(|at| self.operations > at) {
            self.dead = true;
        }
        if self.dead {
            return Err(ffi::SQLITE_IOERR);
        }
        match &mut self.fault {
            Some(fault) if fault.on == on && fault.after > 0 => fault.after -= 1,
            Some(fault) if fault.on == on && fault.times > 0 => {
                fault.times -= 1;
                return Err(fault.code);
            }
            _ => {}
        }
        Ok(())
    }

    /// As on Linux: the unsynced pages count as clean and are not written again. They may be dropped from memory, and then a
    /// reader finds the content of the disk.
    fn fail_sync(&mut self, path: &Path) {
        let Some(content) = self.files.get_mut(path) else { return };
        let (durable, dice) = (content.durable.get_or_insert_default(), &mut self.dice);
        let sectors: Vec<_> = content.pending.drain(..).flat_map(|pending| pending.sectors()).collect();
        for sector in sectors {
            if dice.below(2) == 0 {
                sector.apply(durable);
            }
        }
        if dice.below(2) == 0 {
            rewrite(path, durable);
        }
    }
}

/// The C side.
mod vfs {
    use super::*;

    /// An open file: ours first, as SQLite needs it, then the system's file.
    #[repr(C)]
    struct Shim {
        methods: *const ffi::sqlite3_io_methods,
        state: &'static Mutex<State>,
        path: *mut PathBuf,
    }

    static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
        iVersion: 2,
        xClose: Some(close),
        xRead: Some(read),
        xWrite: Some(write),
        xTruncate: Some(truncate),
        xSync: Some(sync),
        xFileSize: Some(file_size),
        xLock: Some(lock),
        xUnlock: Some(unlock),
        xCheckReservedLock: Some(check_reserved_lock),
        xFileControl: Some(file_control),
        xSectorSize: Some(sector_size),
        xDeviceCharacteristics: Some(device_characteristics),
        xShmMap: Some(shm_map),
        xShmLock: Some(shm_lock),
        xShmBarrier: Some(shm_barrier),
        xShmUnmap: Some(shm_unmap),
        xFetch: None,
        xUnfetch: None,
    };

    pub fn register(name: &str, state: &'static Mutex<State>) {
        // SAFETY: the default VFS is never unregistered; ours and its name are leaked.
        unsafe {
            let system = ffi::sqlite3_vfs_find(ptr::null());
            let mut ours = ptr::read(system);
            ours.zName = CString::new(name).expect("no NUL").into_raw();
            ours.pNext = ptr::null_mut();
            ours.szOsFile += size_of::<Shim>() as c_int;
            ours.pAppData = ptr::from_ref(state).cast_mut().cast();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            assert_eq!(ffi::sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 0), ffi::SQLITE_OK);
        }
    }

    unsafe fn shim<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Shim {
        // SAFETY: SQLite hands back what `open` filled.
        unsafe { &mut *file.cast::<Shim>() }
    }

    unsafe fn system(
        file: *mut ffi::sqlite3_file,
    ) -> (*mut ffi::sqlite3_file, &'static ffi::sqlite3_io_methods) {
        // SAFETY: `szOsFile` made room for the system's file behind ours, and its open filled it.
        unsafe {
            let system = file.cast::<Shim>().add(1).cast::<ffi::sqlite3_file>();
            (system, &*(*system).pMethods)
        }
    }

    macro_rules! forward {
        ($($name:ident($($arg:ident: $type:ty),*) = $method:ident;)*) => { $(
            unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $type)*) -> c_int {
                // SAFETY: as the system's VFS got it.
                unsafe {
                    let (file, methods) = system(file);
                    methods.$method.expect("the system has it")(file $(, $arg)*)
                }
            }
        )* };
    }

    forward! {
        read(to: *mut c_void, n: c_int, at: i64) = xRead;
        file_size(size: *mut i64) = xFileSize;
        lock(level: c_int) = xLock;
        unlock(level: c_int) = xUnlock;
        check_reserved_lock(out: *mut c_int) = xCheckReservedLock;
        file_control(op: c_int, arg: *mut c_void) = xFileControl;
        sector_size() = xSectorSize;
        device_characteristics() = xDeviceCharacteristics;
        shm_map(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) = xShmMap;
        shm_lock(offset: c_int, n: c_int, flags: c_int) = xShmLock;
        shm_unmap(delete: c_int) = xShmUnmap;
        system_write(from: *const c_void, n: c_int, at: i64) = xWrite;
        system_truncate(size: i64) = xTruncate;
        system_close() = xClose;
    }

    unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
        // SAFETY: as the system's VFS got it.
        unsafe {
            let (file, methods) = system(file);
            methods.xShmBarrier.expect("the system has it")(file);
        }
    }

    unsafe extern "C" fn open(
        vfs: *mut ffi::sqlite3_vfs,
        name: *const c_char,
        file: *mut ffi::sqlite3_file,
        flags: c_int,
        out: *mut c_int,
    ) -> c_int {
        // SAFETY: `file` has the room that `szOsFile` asked for.
        unsafe {
            let default = ffi::sqlite3_vfs_find(ptr::null());
            let state = &*(*vfs).pAppData.cast::<Mutex<State>>();
            let behind = file.cast::<Shim>().add(1).cast::<ffi::sqlite3_file>();
            (*file).pMethods = ptr::null();
            assert!(!name.is_null(), "the log makes no temporary files");
            let path = PathBuf::from(CStr::from_ptr(name).to_str().expect("UTF-8"));
            if state.lock().dead {
                return ffi::SQLITE_CANTOPEN;
            }
            let code = (*default).xOpen.expect("the system opens")(default, name, behind, flags, out);
            if code == ffi::SQLITE_OK {
                state.lock().files.entry(path.clone()).or_default();
                file.cast::<Shim>().write(Shim {
                    methods: &METHODS,
                    state,
                    path: Box::into_raw(Box::new(path)),
                });
            }
            code
        }
    }

    unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
        // SAFETY: as the system's VFS got it.
        unsafe {
            let default = ffi::sqlite3_vfs_find(ptr::null());
            let mut state = (*(*vfs).pAppData.cast::<Mutex<State>>()).lock();
            if let Err(code) = state.operate(On::Write) {
                return code;
            }
            state.files.remove(Path::new(CStr::from_ptr(name).to_str().expect("UTF-8")));
            (*default).xDelete.expect("the system deletes")(default, name, sync_dir)
        }
    }

    unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
        // SAFETY: `open` made the path, and SQLite closes once.
        unsafe {
            drop(Box::from_raw(shim(file).path));
            system_close(file)
        }
    }

    /// One operation that changes the file: counted, remembered until the next sync, passed on.
    unsafe fn change(
        file: *mut ffi::sqlite3_file,
        pending: Pending,
        pass_on: impl FnOnce() -> c_int,
    ) -> c_int {
        // SAFETY: `open` filled it.
        let shim = unsafe { shim(file) };
        let mut state = shim.state.lock();
        if let Err(code) = state.operate(On::Write) {
            return code;
        }
        // SAFETY: lives until `close`.
        let path = unsafe { &*shim.path };
        state.files.entry(path.clone()).or_default().pending.push(pending);
        pass_on()
    }

    unsafe extern "C" fn write(
        file: *mut ffi::sqlite3_file,
        from: *const c_void,
        n: c_int,
        at: i64,
    ) -> c_int {
        // SAFETY: SQLite gives `n` bytes.
        unsafe {
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), n as usize).to_vec();
            change(file, Pending::Write { at: at as usize, bytes }, || system_write(file, from, n, at))
        }
    }

    unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
        // SAFETY: as the system's VFS got it.
        unsafe { change(file, Pending::Truncate { to: size as usize }, || system_truncate(file, size)) }
    }

    /// The real file is not synced, because only the simulated one counts. This is much faster.
    unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
        // SAFETY: `open` filled it, the path lives until `close`.
        let (shim, path) = unsafe { (shim(file), &*shim(file).path) };
        let mut state = shim.state.lock();
        match state.operate(On::Sync) {
            Ok(()) => {
                state.files.entry(path.clone()).or_default().sync();
                ffi::SQLITE_OK
            }
            Err(code) => {
                if !state.dead {
                    state.fail_sync(path);
                }
                code
            }
        }
    }
}
