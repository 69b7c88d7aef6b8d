//! Safe functions for the system calls that the program makes, one function for each.

use alloc::vec::Vec;

/// Standard output.
pub(crate) const STDOUT: i32 = 1;
/// Standard error.
pub(crate) const STDERR: i32 = 2;

/// The error number of a failed system call, as a positive number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub i32);

pub(crate) const EPERM: Errno = Errno(1);
pub(crate) const ENOENT: Errno = Errno(2);
pub(crate) const EINTR: Errno = Errno(4);
pub(crate) const EAGAIN: Errno = Errno(11);
pub(crate) const EACCES: Errno = Errno(13);
pub(crate) const EEXIST: Errno = Errno(17);
pub(crate) const ENOTDIR: Errno = Errno(20);
pub(crate) const EINPROGRESS: Errno = Errno(115);

#[cfg(target_arch = "x86_64")]
mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const CONNECT: usize = 42;
    pub(crate) const SENDTO: usize = 44;
    pub(crate) const RECVFROM: usize = 45;
    pub(crate) const SHUTDOWN: usize = 48;
    pub(crate) const BIND: usize = 49;
    pub(crate) const LISTEN: usize = 50;
    pub(crate) const GETSOCKNAME: usize = 51;
    pub(crate) const SETSOCKOPT: usize = 54;
    pub(crate) const GETSOCKOPT: usize = 55;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const KILL: usize = 62;
    pub(crate) const FCNTL: usize = 72;
    pub(crate) const FLOCK: usize = 73;
    pub(crate) const FSYNC: usize = 74;
    pub(crate) const SETPGID: usize = 109;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const UNLINKAT: usize = 263;
    pub(crate) const LINKAT: usize = 265;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const ACCEPT4: usize = 288;
    pub(crate) const SIGNALFD4: usize = 289;
    pub(crate) const DUP3: usize = 292;
    pub(crate) const PIPE2: usize = 293;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(crate) const DUP3: usize = 24;
    pub(crate) const FCNTL: usize = 25;
    pub(crate) const FLOCK: usize = 32;
    pub(crate) const UNLINKAT: usize = 35;
    pub(crate) const LINKAT: usize = 37;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const PIPE2: usize = 59;
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const SIGNALFD4: usize = 74;
    pub(crate) const FSYNC: usize = 82;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const CLOCK_GETTIME: usize = 113;
    pub(crate) const KILL: usize = 129;
    pub(crate) const RT_SIGPROCMASK: usize = 135;
    pub(crate) const SETPGID: usize = 154;
    pub(crate) const SOCKET: usize = 198;
    pub(crate) const BIND: usize = 200;
    pub(crate) const LISTEN: usize = 201;
    pub(crate) const CONNECT: usize = 203;
    pub(crate) const GETSOCKNAME: usize = 204;
    pub(crate) const SENDTO: usize = 206;
    pub(crate) const RECVFROM: usize = 207;
    pub(crate) const SETSOCKOPT: usize = 208;
    pub(crate) const GETSOCKOPT: usize = 209;
    pub(crate) const SHUTDOWN: usize = 210;
    pub(crate) const CLONE: usize = 220;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const MMAP: usize = 222;
    pub(crate) const ACCEPT4: usize = 242;
    pub(crate) const WAIT4: usize = 260;
}

/// Makes a system call.
///
/// # Safety
///
/// Pointers among the arguments must be valid for what the call does with them.
unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the registers are those of the system call convention, and the kernel preserves all others.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack)
        );
    }
    if result < 0 { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// Makes a system call with up to six arguments; those that are not given are zero.
macro_rules! kernel {
    ($number:ident $(, $argument:expr)*) => {{
        let mut arguments = [0_usize; 6];
        let mut _at = 0;
        $( arguments[_at] = $argument as usize; _at += 1; )*
        // SAFETY: each caller below passes pointers to values that outlive the call, with their true lengths.
        unsafe { call(number::$number, arguments) }
    }};
}

/// Ends the process.
pub(crate) fn exit(code: u8) -> ! {
    loop {
        let _ = kernel!(EXIT_GROUP, code);
    }
}

/// Requests fresh memory from the kernel. Returns its address, or `None` if the kernel has none.
pub(crate) fn map(length: usize) -> Option<usize> {
    const READ_AND_WRITE: usize = 3;
    const PRIVATE_AND_ANONYMOUS: usize = 0x22;
    kernel!(MMAP, 0, length, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, -1_isize, 0).ok()
}

/// Requests memory of zeros that this process shares with the children that it forks from now on.
pub(crate) fn map_shared(length: usize) -> Option<usize> {
    const READ_AND_WRITE: usize = 3;
    const SHARED_AND_ANONYMOUS: usize = 0x21;
    kernel!(MMAP, 0, length, READ_AND_WRITE, SHARED_AND_ANONYMOUS, -1_isize, 0).ok()
}

/// Reads once. If a signal interrupts the call, it is repeated.
pub(crate) fn read(file: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match kernel!(READ, file, buffer.as_mut_ptr(), buffer.len()) {
            Err(EINTR) => {}
            result => return result,
        }
    }
}

/// Writes once. If a signal interrupts the call, it is repeated.
pub(crate) fn write(file: i32, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match kernel!(WRITE, file, bytes.as_ptr(), bytes.len()) {
            Err(EINTR) => {}
            result => return result,
        }
    }
}

/// Writes all bytes. An error ends the writing silently, because a lost output is no reason for the program to fail.
pub(crate) fn write_all(file: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(count) => bytes = &bytes[count.min(bytes.len())..],
            Err(EAGAIN) => {
                let _ = poll(&mut [Poll::for_write(file)], None);
            }
            Err(_) => return,
        }
    }
}

/// The number that makes the kernel resolve relative paths from the current directory.
const CURRENT_DIRECTORY: isize = -100;

/// Opens a file or directory for reading. The path must end with a NUL byte. The file is closed when another program
/// takes this one's place.
pub(crate) fn open(path: &[u8]) -> Result<i32, Errno> {
    const CLOSE_ON_EXEC: usize = 0o2_000_000;
    debug_assert!(path.ends_with(b"\0"));
    kernel!(OPENAT, CURRENT_DIRECTORY, path.as_ptr(), CLOSE_ON_EXEC).map(|file| file as i32)
}

/// Closes a file.
pub(crate) fn close(file: i32) {
    let _ = kernel!(CLOSE, file);
}

/// Reads a whole file. The path has no NUL byte at its end.
pub(crate) fn read_file(path: &str) -> Result<Vec<u8>, Errno> {
    let file = open(&pshim::program::terminated(path.as_bytes()))?;
    let mut content = Vec::new();
    let mut buffer = [0; 4096];
    let result = loop {
        match read(file, &mut buffer) {
            Ok(0) => break Ok(content),
            Ok(count) => content.extend_from_slice(&buffer[..count]),
            Err(error) => break Err(error),
        }
    };
    close(file);
    result
}

/// Makes the kernel write a file or directory to the disk. The path must end with a NUL byte.
pub(crate) fn sync(path: &[u8]) -> Result<(), Errno> {
    let file = open(path)?;
    let result = kernel!(FSYNC, file).map(drop);
    close(file);
    result
}

/// Gives a file a second name, which no file may have yet. Both paths must end with a NUL byte.
pub(crate) fn link(path: &[u8], second: &[u8]) -> Result<(), Errno> {
    debug_assert!(path.ends_with(b"\0") && second.ends_with(b"\0"));
    kernel!(LINKAT, CURRENT_DIRECTORY, path.as_ptr(), CURRENT_DIRECTORY, second.as_ptr(), 0).map(drop)
}

/// Removes a name of a file. The path must end with a NUL byte.
pub(crate) fn unlink(path: &[u8]) -> Result<(), Errno> {
    debug_assert!(path.ends_with(b"\0"));
    kernel!(UNLINKAT, CURRENT_DIRECTORY, path.as_ptr(), 0).map(drop)
}

/// Takes the lock of an open file or directory. The kernel releases the lock when the process ends or becomes another
/// program.
pub(crate) fn lock(file: i32, wait: bool) -> Result<(), Errno> {
    const EXCLUSIVE: usize = 2;
    const NOT_BLOCKING: usize = 4;
    kernel!(FLOCK, file, EXCLUSIVE | if wait { 0 } else { NOT_BLOCKING }).map(drop)
}

/// Opens a pipe. Returns the end to read from and the end to write to.
pub(crate) fn pipe() -> Result<(i32, i32), Errno> {
    const CLOSE_ON_EXEC: usize = 0o2_000_000;
    let mut ends = [0_i32; 2];
    kernel!(PIPE2, ends.as_mut_ptr(), CLOSE_ON_EXEC)?;
    Ok((ends[0], ends[1]))
}

/// Makes reads and writes of this file return at once from now on, instead of blocking.
pub(crate) fn never_wait(file: i32) {
    const SET_FLAGS: usize = 4;
    const NOT_BLOCKING: usize = 0o4000;
    let _ = kernel!(FCNTL, file, SET_FLAGS, NOT_BLOCKING);
}

/// Leaves a file open when another program begins.
pub(crate) fn keep_open(file: i32) {
    const SET_DESCRIPTOR_FLAGS: usize = 2;
    let _ = kernel!(FCNTL, file, SET_DESCRIPTOR_FLAGS, 0);
}

/// Makes the descriptor `place` refer to an open file.
pub(crate) fn replace(file: i32, place: i32) {
    let _ = kernel!(DUP3, file, place, 0);
}

/// Forks the process. Returns 0 in the child, and the child's id in the parent.
pub(crate) fn fork() -> Result<i32, Errno> {
    const SIGCHLD: usize = 17;
    kernel!(CLONE, SIGCHLD).map(|id| id as i32)
}

/// Puts this process into a new process group.
pub(crate) fn lead_group() {
    let _ = kernel!(SETPGID, 0, 0);
}

/// Sends a signal to a process, or to a process group if the id is negative.
pub(crate) fn kill(id: i32, signal: i32) {
    let _ = kernel!(KILL, id as isize, signal);
}

/// Collects a child that has ended, without waiting. Returns its id and its status, or `None` if no child has ended.
pub(crate) fn reap() -> Option<(i32, i32)> {
    const NOT_BLOCKING: usize = 1;
    let mut status = 0_i32;
    let id = kernel!(WAIT4, -1_isize, &raw mut status, NOT_BLOCKING, 0).ok()? as i32;
    (id > 0).then_some((id, status))
}

/// Waits until a child ends, and collects it. Returns its id, or `None` if the process has no child.
pub(crate) fn wait() -> Option<i32> {
    kernel!(WAIT4, -1_isize, 0, 0, 0).ok().map(|id| id as i32)
}

/// Becomes another program. Returns only if that fails. All texts must end with a NUL byte.
pub(crate) fn execute(path: &[u8], arguments: &[Vec<u8>], environment: &[Vec<u8>]) -> Errno {
    debug_assert!(path.ends_with(b"\0"));
    let pointers = |texts: &[Vec<u8>]| -> Vec<*const u8> {
        texts.iter().map(|text| text.as_ptr()).chain([core::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    kernel!(EXECVE, path.as_ptr(), arguments.as_ptr(), environment.as_ptr()).err().unwrap_or(EPERM)
}

/// Returns the milliseconds since some fixed moment.
pub(crate) fn milliseconds() -> u64 {
    const MONOTONIC: usize = 1;
    let mut time = [0_u64; 2];
    let _ = kernel!(CLOCK_GETTIME, MONOTONIC, time.as_mut_ptr());
    time[0] * 1000 + time[1] / 1_000_000
}

/// Milliseconds since 1970.
pub(crate) fn unix_milliseconds() -> u64 {
    const REAL_TIME: usize = 0;
    let mut time = [0_u64; 2];
    let _ = kernel!(CLOCK_GETTIME, REAL_TIME, time.as_mut_ptr());
    time[0] * 1000 + time[1] / 1_000_000
}

/// A file to wait for (`struct pollfd`).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Poll {
    file: i32,
    wanted: i16,
    found: i16,
}

impl Poll {
    const READABLE: i16 = 1;
    const WRITABLE: i16 = 4;

    /// Makes an entry that waits until the file can be read.
    pub(crate) fn for_read(file: i32) -> Self {
        Self { file, wanted: Self::READABLE, found: 0 }
    }

    /// Makes an entry that waits until the file can be written.
    pub(crate) fn for_write(file: i32) -> Self {
        Self { file, wanted: Self::WRITABLE, found: 0 }
    }

    /// Makes an entry that waits for reading, writing, both or neither. For neither, the file is left out altogether,
    /// because the kernel would otherwise report the file's end again and again.
    pub(crate) fn when(file: i32, read: bool, write: bool) -> Self {
        let wanted = if read { Self::READABLE } else { 0 } | if write { Self::WRITABLE } else { 0 };
        Self { file: if wanted == 0 { -1 } else { file }, wanted, found: 0 }
    }

    /// Returns whether anything happened, including an error or the file's end.
    pub(crate) fn happened(self) -> bool {
        self.found != 0
    }
}

/// Waits for files, at most `patience` milliseconds. Returns how many of them are ready.
pub(crate) fn poll(files: &mut [Poll], patience: Option<u64>) -> Result<usize, Errno> {
    let time = patience.map(|patience| [patience / 1000, patience % 1000 * 1_000_000]);
    let time = time.as_ref().map_or(core::ptr::null(), |time| time.as_ptr());
    match kernel!(PPOLL, files.as_mut_ptr(), files.len(), time, 0, 0) {
        Err(EINTR) => Ok(0),
        result => result,
    }
}

/// Sleeps for this many milliseconds.
pub(crate) fn sleep(milliseconds: u64) {
    let _ = poll(&mut [], Some(milliseconds));
}

/// Sets the signals that stay pending until they are read, and returns the former set. Bit N-1 stands for signal N.
pub(crate) fn block_signals(set: u64) -> u64 {
    const SET: usize = 2;
    let mut before = 0_u64;
    let _ = kernel!(RT_SIGPROCMASK, SET, &raw const set, &raw mut before, size_of::<u64>());
    before
}

/// Opens a file from which blocked signals are read.
pub(crate) fn signal_file(set: u64) -> Result<i32, Errno> {
    const CLOSE_ON_EXEC_NOT_BLOCKING: usize = 0o2_004_000;
    kernel!(SIGNALFD4, -1_isize, &raw const set, size_of::<u64>(), CLOSE_ON_EXEC_NOT_BLOCKING).map(|file| file as i32)
}

/// Opens a socket for IPv4.
pub(crate) fn socket(kind: Socket) -> Result<i32, Errno> {
    const INTERNET: usize = 2;
    const CLOSE_ON_EXEC: usize = 0o2_000_000;
    let kind = match kind {
        Socket::Stream => 1,
        Socket::Datagram => 2,
    };
    kernel!(SOCKET, INTERNET, kind | CLOSE_ON_EXEC).map(|file| file as i32)
}

/// The kinds of sockets.
#[derive(Clone, Copy)]
pub(crate) enum Socket {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// An IPv4 address and a port, as a `struct sockaddr_in`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketAddress([u8; 16]);

impl SocketAddress {
    const EMPTY: Self = Self([0; 16]);

    /// Makes an address.
    pub(crate) fn new(address: [u8; 4], port: u16) -> Self {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&2_u16.to_ne_bytes());
        bytes[2..4].copy_from_slice(&port.to_be_bytes());
        bytes[4..8].copy_from_slice(&address);
        Self(bytes)
    }

    /// Returns the address without the port.
    pub(crate) fn address(&self) -> [u8; 4] {
        [self.0[4], self.0[5], self.0[6], self.0[7]]
    }

    /// Returns the port.
    pub(crate) fn port(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }
}

/// Connects a socket.
pub(crate) fn connect(socket: i32, address: [u8; 4], port: u16) -> Result<(), Errno> {
    let address = SocketAddress::new(address, port).0;
    kernel!(CONNECT, socket, address.as_ptr(), address.len()).map(drop)
}

/// Gives a socket a port of all addresses. Packets to the port can be read from then on.
pub(crate) fn bind(socket: i32, port: u16) -> Result<(), Errno> {
    const SOCKET_LEVEL: usize = 1;
    const REUSE_ADDRESS: usize = 2;
    set_option(socket, SOCKET_LEVEL, REUSE_ADDRESS);
    let address = SocketAddress::new([0; 4], port).0;
    kernel!(BIND, socket, address.as_ptr(), address.len()).map(drop)
}

/// Listens on a port of all addresses.
pub(crate) fn listen(socket: i32, port: u16) -> Result<(), Errno> {
    bind(socket, port)?;
    kernel!(LISTEN, socket, 4096).map(drop)
}

/// Accepts a connection. Returns it with the client's address.
pub(crate) fn accept(socket: i32) -> Result<(i32, SocketAddress), Errno> {
    const CLOSE_ON_EXEC: usize = 0o2_000_000;
    let mut client = SocketAddress::EMPTY;
    let mut length = size_of::<SocketAddress>() as u32;
    let file = kernel!(ACCEPT4, socket, &raw mut client, &raw mut length, CLOSE_ON_EXEC)?;
    Ok((file as i32, client))
}

/// Returns the address of this side of a connection.
pub(crate) fn own_address(socket: i32) -> Result<SocketAddress, Errno> {
    let mut own = SocketAddress::EMPTY;
    let mut length = size_of::<SocketAddress>() as u32;
    kernel!(GETSOCKNAME, socket, &raw mut own, &raw mut length)?;
    Ok(own)
}

/// Receives a packet. Returns its length and its sender.
pub(crate) fn receive(socket: i32, buffer: &mut [u8]) -> Result<(usize, SocketAddress), Errno> {
    let mut sender = SocketAddress::EMPTY;
    let mut length = size_of::<SocketAddress>() as u32;
    let count = kernel!(RECVFROM, socket, buffer.as_mut_ptr(), buffer.len(), 0, &raw mut sender, &raw mut length)?;
    Ok((count, sender))
}

/// Sends a packet. Packets may be lost anywhere, so an error is none.
pub(crate) fn send(socket: i32, packet: &[u8], receiver: &SocketAddress) {
    let _ = kernel!(SENDTO, socket, packet.as_ptr(), packet.len(), 0, receiver.0.as_ptr(), receiver.0.len());
}

/// Makes a socket send small pieces at once, instead of collecting them.
pub(crate) fn hurry(socket: i32) {
    const TCP_LEVEL: usize = 6;
    const NO_DELAY: usize = 1;
    set_option(socket, TCP_LEVEL, NO_DELAY);
}

fn set_option(socket: i32, level: usize, option: usize) {
    let on = 1_i32;
    let _ = kernel!(SETSOCKOPT, socket, level, option, &raw const on, size_of::<i32>());
}

/// Returns the result of a connection attempt that has finished.
pub(crate) fn connection_error(socket: i32) -> Result<(), Errno> {
    const SOCKET_LEVEL: usize = 1;
    const ERROR: usize = 4;
    let mut error = 0_i32;
    let mut length = size_of::<i32>() as u32;
    kernel!(GETSOCKOPT, socket, SOCKET_LEVEL, ERROR, &raw mut error, &raw mut length)?;
    if error == 0 { Ok(()) } else { Err(Errno(error)) }
}

/// Tells the other side that nothing more will be sent.
pub(crate) fn finish_sending(socket: i32) {
    const WRITE_SIDE: usize = 1;
    let _ = kernel!(SHUTDOWN, socket, WRITE_SIDE);
}
