//! What the standard library's sockets cannot do: write without waiting, and wait for either
//! direction. Unix only.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Takes as much as fits into the socket now. `WouldBlock` when that is nothing.
pub fn write_now(stream: &TcpStream, octets: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and the length are of one live slice, which send only reads; the
    // descriptor is open as long as `stream` is borrowed.
    let sent = unsafe {
        libc::send(
            stream.as_raw_fd(),
            octets.as_ptr().cast(),
            octets.len(),
            flags,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Waits until there is something to read, or room to write when that is asked for; at the latest
/// until the time is over. Whether there is something to read.
pub fn wait(stream: &TcpStream, for_room: bool, limit: Duration) -> io::Result<bool> {
    let room = if for_room { libc::POLLOUT } else { 0 };
    let mut entry = libc::pollfd {
        fd: stream.as_raw_fd(),
        events: libc::POLLIN | room,
        revents: 0,
    };
    let limit = libc::timespec {
        tv_sec: limit.as_secs() as libc::time_t,
        tv_nsec: limit.subsec_nanos() as libc::c_long,
    };
    // SAFETY: both pointers are of live locals, the count is that of the one entry, and no signal
    // mask is given.
    let ready = unsafe { libc::ppoll(&mut entry, 1, &limit, std::ptr::null()) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        entry.revents = 0;
    }
    // An error or a hang-up is found by reading.
    Ok(entry.revents & (libc::POLLIN | libc::POLLERR | libc::POLLHUP) != 0)
}
