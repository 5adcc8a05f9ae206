//! Extended attributes: those of users, access control lists, capabilities of programs.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs as sys;
use rustix::io::Errno;

use super::header::LARGEST_PAX;

/// Names and values.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// The attributes that a program may carry rights in: restored only with the owner.
const CAPABILITY: &[u8] = b"security.capability";

/// Reads the attributes of an open file or folder.
///
/// # Errors
/// What the operating system says; a file system without attributes has none.
pub fn read(fd: BorrowedFd<'_>) -> io::Result<Xattrs> {
    let mut list = vec![0; 64 * 1024];
    let length = match sys::flistxattr(fd, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(e) => return Err(e.into()),
    };
    let mut found = Vec::new();
    let mut total = 0;
    for name in list[..length].split(|&byte| byte == 0) {
        // A PAX record cannot hold a name with "=" in it.
        if !is_kept(name) || name.contains(&b'=') {
            continue;
        }
        let mut value = vec![0; 64 * 1024];
        match sys::fgetxattr(fd, name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(e) => return Err(e.into()),
        }
        total += name.len() + value.len();
        if total as u64 > LARGEST_PAX / 2 {
            return Err(io::Error::other("they take more than 512 KiB"));
        }
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// Gives attributes to an open file or folder; those that carry rights only with `owner`.
///
/// # Errors
/// The first thing that the operating system says; the other attributes are set all the same.
pub fn write(fd: BorrowedFd<'_>, xattrs: &Xattrs, owner: bool) -> io::Result<()> {
    let mut first = Ok(());
    for (name, value) in xattrs {
        if !is_kept(name) || (name == CAPABILITY && !owner) {
            continue;
        }
        let done = sys::fsetxattr(fd, &name[..], value, sys::XattrFlags::empty());
        if first.is_ok() {
            first = done.map_err(io::Error::from);
        }
    }
    first
}

fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_") || name == CAPABILITY
}
