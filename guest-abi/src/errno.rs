//! Error numbers. A hypercall that fails returns the negative number in RAX.

abi! {
    headers ["xen/errno.h"];

    enumeration! {
        /// Why a hypercall was refused. Values are those of x86 Linux.
        pub enum Errno: i32 {
            /// Not permitted for this domain.
            EPERM = 1 => "XEN_EPERM",
            /// No such object.
            ENOENT = 2 => "XEN_ENOENT",
            /// No such domain or vCPU.
            ESRCH = 3 => "XEN_ESRCH",
            /// Device error.
            EIO = 5 => "XEN_EIO",
            /// No such device or address.
            ENXIO = 6 => "XEN_ENXIO",
            /// A list or count is too long.
            E2BIG = 7 => "XEN_E2BIG",
            /// Not an executable that can be loaded.
            ENOEXEC = 8 => "XEN_ENOEXEC",
            /// Bad file number.
            EBADF = 9 => "XEN_EBADF",
            /// No such child.
            ECHILD = 10 => "XEN_ECHILD",
            /// Not now; ask again.
            EAGAIN = 11 => "XEN_EAGAIN",
            /// Out of memory.
            ENOMEM = 12 => "XEN_ENOMEM",
            /// Interface version or access right does not match.
            EACCES = 13 => "XEN_EACCES",
            /// A guest pointer could not be read or written.
            EFAULT = 14 => "XEN_EFAULT",
            /// In use.
            EBUSY = 16 => "XEN_EBUSY",
            /// Exists already.
            EEXIST = 17 => "XEN_EEXIST",
            /// Crosses from one device to another.
            EXDEV = 18 => "XEN_EXDEV",
            /// No such device.
            ENODEV = 19 => "XEN_ENODEV",
            /// Not a directory.
            ENOTDIR = 20 => "XEN_ENOTDIR",
            /// Is a directory.
            EISDIR = 21 => "XEN_EISDIR",
            /// Invalid argument.
            EINVAL = 22 => "XEN_EINVAL",
            /// Too many open objects in the system.
            ENFILE = 23 => "XEN_ENFILE",
            /// Too many open objects of this owner.
            EMFILE = 24 => "XEN_EMFILE",
            /// No free slot.
            ENOSPC = 28 => "XEN_ENOSPC",
            /// Read-only.
            EROFS = 30 => "XEN_EROFS",
            /// Too many links.
            EMLINK = 31 => "XEN_EMLINK",
            /// Argument outside the function's domain.
            EDOM = 33 => "XEN_EDOM",
            /// Result does not fit.
            ERANGE = 34 => "XEN_ERANGE",
            /// Would deadlock.
            EDEADLK = 35 => "XEN_EDEADLK",
            /// Name too long.
            ENAMETOOLONG = 36 => "XEN_ENAMETOOLONG",
            /// No locks left.
            ENOLCK = 37 => "XEN_ENOLCK",
            /// Not implemented: unknown hypercall or operation.
            ENOSYS = 38 => "XEN_ENOSYS",
            /// Directory not empty.
            ENOTEMPTY = 39 => "XEN_ENOTEMPTY",
            /// No data.
            ENODATA = 61 => "XEN_ENODATA",
            /// Timer expired.
            ETIME = 62 => "XEN_ETIME",
            /// Not a data message.
            EBADMSG = 74 => "XEN_EBADMSG",
            /// Value too large for its type.
            EOVERFLOW = 75 => "XEN_EOVERFLOW",
            /// Illegal byte sequence.
            EILSEQ = 84 => "XEN_EILSEQ",
            /// The call is to be made again. Never reaches a guest.
            ERESTART = 85 => (absent "internal: the headers hide it from guests and tools"),
            /// Not a socket.
            ENOTSOCK = 88 => "XEN_ENOTSOCK",
            /// Message too large.
            EMSGSIZE = 90 => "XEN_EMSGSIZE",
            /// Known, but not supported.
            EOPNOTSUPP = 95 => "XEN_EOPNOTSUPP",
            /// Address in use.
            EADDRINUSE = 98 => "XEN_EADDRINUSE",
            /// Address not available.
            EADDRNOTAVAIL = 99 => "XEN_EADDRNOTAVAIL",
            /// Buffer too small.
            ENOBUFS = 105 => "XEN_ENOBUFS",
            /// Connected already.
            EISCONN = 106 => "XEN_EISCONN",
            /// Not connected.
            ENOTCONN = 107 => "XEN_ENOTCONN",
            /// Timed out.
            ETIMEDOUT = 110 => "XEN_ETIMEDOUT",
            /// Connection refused.
            ECONNREFUSED = 111 => "XEN_ECONNREFUSED",
        }
    }
}

impl Errno {
    /// What RAX holds when a hypercall fails with this error: the negative number.
    #[must_use]
    pub const fn to_return(self) -> i64 {
        -(self as i32 as i64)
    }
}
