//! Messages of the store: a header, then [`MessageHeader::len`] bytes.
//!
//! An answer has its request's type, number and transaction. Texts inside a payload are terminated.

use crate::errno::Errno;

abi! {
    headers ["xen/io/xs_wire.h"];

    enumeration! {
        /// [`MessageHeader::message_type`].
        pub enum MessageType: u32 {
            /// Control of the store itself.
            Control = 0 => "XS_CONTROL",
            /// Children of a node.
            Directory = 1 => "XS_DIRECTORY",
            /// Value of a node.
            Read = 2 => "XS_READ",
            /// Permissions of a node.
            GetPerms = 3 => "XS_GET_PERMS",
            /// Ask to be told of changes.
            Watch = 4 => "XS_WATCH",
            /// Undo that.
            Unwatch = 5 => "XS_UNWATCH",
            /// Begin a transaction.
            TransactionStart = 6 => "XS_TRANSACTION_START",
            /// Commit or abort it.
            TransactionEnd = 7 => "XS_TRANSACTION_END",
            /// A new domain's ring.
            Introduce = 8 => "XS_INTRODUCE",
            /// A domain is gone.
            Release = 9 => "XS_RELEASE",
            /// A domain's home.
            GetDomainPath = 10 => "XS_GET_DOMAIN_PATH",
            /// Set a value; makes parents.
            Write = 11 => "XS_WRITE",
            /// Make an empty node.
            Mkdir = 12 => "XS_MKDIR",
            /// Remove a node and what is below it.
            Rm = 13 => "XS_RM",
            /// Set permissions.
            SetPerms = 14 => "XS_SET_PERMS",
            /// From the store: something has changed.
            WatchEvent = 15 => "XS_WATCH_EVENT",
            /// From the store: refused; the payload is an error's name.
            Error = 16 => "XS_ERROR",
            /// Whether a domain's ring is known.
            IsDomainIntroduced = 17 => "XS_IS_DOMAIN_INTRODUCED",
            /// A domain goes on after a suspend.
            Resume = 18 => "XS_RESUME",
            /// Give a domain another one's rights.
            SetTarget = 19 => "XS_SET_TARGET",
            /// Undo all the caller's watches.
            ResetWatches = 21 => "XS_RESET_WATCHES",
            /// Children of a node, from some byte on.
            DirectoryPart = 22 => "XS_DIRECTORY_PART",
            /// Never sent.
            Invalid = 0xFFFF => "XS_INVALID",
        }

        /// The two texts of a watch event, by position.
        pub enum WatchEventPart: u32 {
            /// What changed.
            Path = 0 => "XS_WATCH_PATH",
            /// What the watcher wanted to be reminded of.
            Token = 1 => "XS_WATCH_TOKEN",
        }
    }

    numbers! {
        /// Bytes of a payload at most.
        pub const MAX_PAYLOAD: u32 = 4096 => "XENSTORE_PAYLOAD_MAX";
        /// Bytes of an absolute path at most, without a terminator.
        pub const MAX_ABSOLUTE_PATH: usize = 3072 => "XENSTORE_ABS_PATH_MAX";
        /// Bytes of a relative path at most, without a terminator.
        pub const MAX_RELATIVE_PATH: usize = 2048 => "XENSTORE_REL_PATH_MAX";
        /// Types are below this, but for [`MessageType::Invalid`].
        pub const NR_MESSAGE_TYPES: u32 = 23 => "XS_TYPE_COUNT";
        /// Errors that have a name.
        pub const NR_ERRORS: usize = 16 => "sizeof(xsd_errors) / sizeof(xsd_errors[0])";
    }

    layout! {
        /// How each message begins.
        pub struct MessageHeader [16] "struct xsd_sockmsg" {
            /// A [`MessageType`].
            0 message_type: u32 = "type",
            /// The client's number for this request; 0 in a watch event.
            4 req_id: u32,
            /// Transaction; 0 for none.
            8 tx_id: u32,
            /// Bytes that follow.
            12 len: u32,
        }
    }

    texts! {
        /// Payload of an answer that has nothing to say, without its terminator.
        pub const OK: &str = "OK" => (absent "text of the protocol");
        /// Watched to learn of new domains.
        pub const INTRODUCE_DOMAIN: &str = "@introduceDomain" => (absent "text of the protocol");
        /// Watched to learn of domains that shut down or are gone.
        pub const RELEASE_DOMAIN: &str = "@releaseDomain" => (absent "text of the protocol");
        /// Malformed request.
        pub const EINVAL: &str = "EINVAL" => "xsd_errors[0].errstring";
        /// No permission for this node.
        pub const EACCES: &str = "EACCES" => "xsd_errors[1].errstring";
        /// There is one already.
        pub const EEXIST: &str = "EEXIST" => "xsd_errors[2].errstring";
        /// Is a directory.
        pub const EISDIR: &str = "EISDIR" => "xsd_errors[3].errstring";
        /// No such node.
        pub const ENOENT: &str = "ENOENT" => "xsd_errors[4].errstring";
        /// The store is out of memory.
        pub const ENOMEM: &str = "ENOMEM" => "xsd_errors[5].errstring";
        /// A quota is used up.
        pub const ENOSPC: &str = "ENOSPC" => "xsd_errors[6].errstring";
        /// Failed.
        pub const EIO: &str = "EIO" => "xsd_errors[7].errstring";
        /// The node has children.
        pub const ENOTEMPTY: &str = "ENOTEMPTY" => "xsd_errors[8].errstring";
        /// Unknown request.
        pub const ENOSYS: &str = "ENOSYS" => "xsd_errors[9].errstring";
        /// The store cannot be written.
        pub const EROFS: &str = "EROFS" => "xsd_errors[10].errstring";
        /// Too much at once.
        pub const EBUSY: &str = "EBUSY" => "xsd_errors[11].errstring";
        /// The transaction met a conflict; start it again.
        pub const EAGAIN: &str = "EAGAIN" => "xsd_errors[12].errstring";
        /// The domain is known already.
        pub const EISCONN: &str = "EISCONN" => "xsd_errors[13].errstring";
        /// Too long for one message.
        pub const E2BIG: &str = "E2BIG" => "xsd_errors[14].errstring";
        /// Not permitted for this client.
        pub const EPERM: &str = "EPERM" => "xsd_errors[15].errstring";
    }
}

/// The name by which an error travels. An error without a name travels as [`EINVAL`].
#[must_use]
pub const fn error_name(error: Errno) -> &'static str {
    match error {
        Errno::EACCES => EACCES,
        Errno::EEXIST => EEXIST,
        Errno::EISDIR => EISDIR,
        Errno::ENOENT => ENOENT,
        Errno::ENOMEM => ENOMEM,
        Errno::ENOSPC => ENOSPC,
        Errno::EIO => EIO,
        Errno::ENOTEMPTY => ENOTEMPTY,
        Errno::ENOSYS => ENOSYS,
        Errno::EROFS => EROFS,
        Errno::EBUSY => EBUSY,
        Errno::EAGAIN => EAGAIN,
        Errno::EISCONN => EISCONN,
        Errno::E2BIG => E2BIG,
        Errno::EPERM => EPERM,
        _ => EINVAL,
    }
}

/// The error that travels by `name`, if it is one of the protocol's.
#[must_use]
pub fn named_error(name: &str) -> Option<Errno> {
    Errno::ALL
        .iter()
        .copied()
        .find(|&error| error_name(error) == name && (error == Errno::EINVAL || name != EINVAL))
}

#[cfg(test)]
mod tests {
    use super::{NR_ERRORS, error_name, named_error};
    use crate::errno::Errno;

    #[test]
    fn names_and_errors_belong_to_each_other() {
        let named = Errno::ALL
            .iter()
            .filter(|&&error| named_error(error_name(error)) == Some(error));
        assert_eq!(named.count(), NR_ERRORS);
    }

    #[test]
    fn an_error_without_a_name_travels_as_invalid_argument() {
        assert_eq!(error_name(Errno::EDEADLK), "EINVAL");
        assert_eq!(named_error("EINVAL"), Some(Errno::EINVAL));
    }

    #[test]
    fn a_name_that_the_protocol_does_not_have_is_no_error() {
        assert_eq!(named_error("EDEADLK"), None);
        assert_eq!(named_error(""), None);
    }
}
