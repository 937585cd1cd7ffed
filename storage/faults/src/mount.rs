//! A disk served over FUSE.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, Session, TimeOrNow, WriteFlags,
};
use tempfile::TempDir;

use crate::disk::{Disk, Found};

/// What the kernel may remember of a name or a file: nothing.
const TTL: Duration = Duration::ZERO;

const BLOCK_BYTES: u32 = 512;

/// `fallocate`'s mode that leaves the length as it is.
const KEEP_LENGTH: i32 = 1;

/// A mounted [`Disk`]. Dropping it unmounts.
#[derive(Debug)]
pub struct Mount {
    served: Arc<Served>,
    session: Option<BackgroundSession>,
    dir: TempDir,
}

#[derive(Debug, Default)]
struct Served {
    /// `None` once it has been taken back.
    disk: Mutex<Option<Disk>>,
    power_lost: Condvar,
}

/// Why no disk can be mounted here, if none can.
pub fn unavailable() -> Option<String> {
    if !Path::new("/dev/fuse").exists() {
        return Some("there is no /dev/fuse".into());
    }
    Mount::new(Disk::new(0)).err().map(|error| format!("a FUSE disk cannot be mounted: {error}"))
}

impl Mount {
    /// Mounts `disk` in a new directory.
    ///
    /// # Errors
    /// Where FUSE is missing, or this process may not mount.
    pub fn new(disk: Disk) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("pontoon-disk").tempdir()?;
        let served = Arc::new(Served { disk: Mutex::new(Some(disk)), power_lost: Condvar::new() });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("pontoon-disk".into())];
        let session = Session::new(Server(Arc::clone(&served)), dir.path(), &config)?.spawn()?;
        Ok(Self { served, session: Some(session), dir })
    }

    /// The directory that it is mounted in.
    pub fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Calls `f` with the disk.
    pub fn with<T>(&self, f: impl FnOnce(&mut Disk) -> T) -> T {
        let mut disk = self.served.disk();
        let done = f(disk.get_or_insert_with(|| Disk::new(0)));
        self.served.power_lost.notify_all();
        done
    }

    /// Waits until the disk's power has been cut.
    pub fn wait_for_power_cut(&self) {
        let has_power = |disk: &mut Option<Disk>| disk.as_ref().is_some_and(Disk::has_power);
        let guard = self.served.power_lost.wait_while(self.served.disk(), has_power);
        drop(guard.unwrap_or_else(PoisonError::into_inner));
    }

    /// Unmounts and gives the disk back.
    ///
    /// # Errors
    /// Where it cannot be unmounted.
    pub fn unmount(mut self) -> io::Result<Disk> {
        if let Some(session) = self.session.take() {
            match session.umount_and_join() {
                // How the kernel ends a connection that has just been unmounted, now and then.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                ended => ended?,
            }
        }
        self.served.disk().take().ok_or_else(|| io::Error::other("the disk was taken already"))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // Nothing of ours is left in it; what cannot be unmounted is left to the system.
            let _ = session.umount_and_join();
        }
    }
}

impl Served {
    fn disk(&self) -> MutexGuard<'_, Option<Disk>> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Server(Arc<Served>);

impl Server {
    fn run<T>(&self, f: impl FnOnce(&mut Disk) -> Result<T, ErrorKind>) -> Result<T, Errno> {
        let mut disk = self.0.disk();
        let disk = disk.as_mut().ok_or(Errno::EIO)?;
        let done = f(disk).map_err(errno);
        if !disk.has_power() {
            self.0.power_lost.notify_all();
        }
        done
    }

    fn attributes(&self, inode: INodeNo) -> Result<FileAttr, Errno> {
        self.run(|disk| disk.stat(inode.0)).map(attributes)
    }
}

fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::AlreadyExists => Errno::EEXIST,
        ErrorKind::DirectoryNotEmpty => Errno::ENOTEMPTY,
        ErrorKind::IsADirectory => Errno::EISDIR,
        ErrorKind::NotADirectory => Errno::ENOTDIR,
        ErrorKind::StorageFull => Errno::ENOSPC,
        _ => Errno::EIO,
    }
}

fn kind(found: Found) -> FileType {
    if found.is_dir { FileType::Directory } else { FileType::RegularFile }
}

fn attributes(found: Found) -> FileAttr {
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(found.inode),
        size: found.len,
        blocks: found.len.div_ceil(BLOCK_BYTES.into()),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(found),
        perm: if found.is_dir { 0o755 } else { 0o644 },
        nlink: u32::try_from(found.links).unwrap_or(u32::MAX),
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

fn answer(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(done: Result<Found, Errno>, reply: ReplyEntry) {
    match done {
        Ok(found) => reply.entry(&TTL, &attributes(found), Generation(0)),
        Err(error) => reply.error(error),
    }
}

/// The kernel caches nothing (`FOPEN_DIRECT_IO`): each read and each write of a program arrives here.
impl Filesystem for Server {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(self.run(|disk| disk.lookup(parent.0, name)), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = match size {
            Some(len) => self.run(|disk| disk.set_len(ino.0, len)),
            None => Ok(()),
        };
        match resized.and_then(|()| self.attributes(ino)) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, dir: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        answer_entry(self.run(|disk| disk.create(dir.0, name, true)), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.run(|disk| disk.remove(parent.0, name, false)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.run(|disk| disk.remove(parent.0, name, true)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        answer(self.run(|disk| disk.rename((parent.0, name), (newparent.0, newname))), reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, dir: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(self.run(|disk| disk.link(ino.0, dir.0, name)), reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.attributes(ino) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.run(|disk| disk.create(parent.0, name, false)) {
            Ok(found) => reply.created(
                &TTL,
                &attributes(found),
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.run(|disk| disk.read(ino.0, offset, size.into()).map(<[u8]>::to_vec)) {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.run(|disk| disk.write(ino.0, offset, data)) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(self.run(|disk| disk.sync(ino.0)), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(self.run(|disk| disk.sync(ino.0)), reply);
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let entries = match self.run(|disk| disk.list(ino.0)) {
            Ok(entries) => entries,
            Err(error) => return reply.error(error),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (at, (name, found)) in entries.into_iter().enumerate().skip(skipped) {
            if reply.add(INodeNo(found.inode), at as u64 + 1, kind(found), name) {
                break;
            }
        }
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        // Space is never promised; punched holes are no business of the engines.
        let done = match mode {
            KEEP_LENGTH => Ok(()),
            0 => self.run(|disk| {
                let len = disk.stat(ino.0)?.len;
                disk.set_len(ino.0, len.max(offset + length))
            }),
            _ => Err(Errno::EOPNOTSUPP),
        };
        answer(done, reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (blocks, files, name_len) = (1 << 30, 1 << 20, 255);
        reply.statfs(blocks, blocks, blocks, files, files, BLOCK_BYTES, name_len, BLOCK_BYTES);
    }
}
