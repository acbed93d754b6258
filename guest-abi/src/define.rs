//! The macros that define an interface group and describe it in the same breath.
//!
//! A module holds one `abi!` block. Each group inside is expanded twice: once into Rust items with
//! their compile-time assertions, once (with a leading `@rows`) into the rows of the module's `TABLE`.
//!
//! ```text
//! abi! {
//!     headers ["xen/xen.h"];
//!     layout! {
//!         pub struct TrapInfo [16] "struct trap_info" {   // size in bytes, type in C
//!             0 vector: u8,                               // offset in bytes; same name in C
//!             2 code_selector: u16 = "cs",                // another name in C
//!             4 pad: [u8; 4] = _,                         // unnamed in C
//!         }
//!     }
//!     numbers!     { pub const LIMIT: u32 = 7 => "THE_LIMIT"; }
//!     enumeration! { pub enum Op: u32 { Yield = 0 => "SCHEDOP_yield", } }
//!     flags!       { pub struct Flags: u32 { READ = 1 << 0 => (absent "why"), } }
//!     associated!  { impl Newtype: u32 { pub const NONE = 0 => "NO_THING"; } }
//!     texts!       { pub const NAME: &str = "x" => "THE_NAME"; }
//! }
//! ```

/// Defines one module's interface and its `TABLE`.
macro_rules! abi {
    (headers [$($header:literal),* $(,)?]; $( $kind:ident! { $($body:tt)* } )*) => {
        $( $kind! { $($body)* } )*

        /// Every item of this module, for the comparison with the C headers.
        pub const TABLE: $crate::table::Interface = $crate::table::Interface {
            module: module_path!(),
            headers: &[$($header),*],
            rows: &[$( $kind! { @rows $($body)* } ),*],
        };
    };
}

/// A [`CName`](crate::table::CName) from what a definition says after `=` or `=>`.
macro_rules! c_name {
    ($name:ident) => {
        $crate::table::CName::Named(stringify!($name))
    };
    ($name:ident _) => {
        $crate::table::CName::Padding
    };
    ($name:ident (absent $reason:literal)) => {
        $crate::table::CName::Absent($reason)
    };
    ($name:ident $c:literal) => {
        $crate::table::CName::Named($c)
    };
}

/// Structures, each with its size and every field's offset asserted at compile time.
macro_rules! layout {
    (@rows $(
        $(#[$meta:meta])*
        pub struct $name:ident [$size:literal] $c:tt {
            $( $(#[$field_meta:meta])* $offset:literal $field:ident : $ty:ty $(= $field_c:tt)? ),* $(,)?
        }
    )*) => {
        &[$(
            $crate::table::Row::Layout($crate::table::Layout {
                name: stringify!($name),
                size: size_of::<$name>(),
                align: align_of::<$name>(),
                c: c_name!($name $c),
                fields: &[$(
                    $crate::table::Field {
                        name: stringify!($field),
                        offset: core::mem::offset_of!($name, $field),
                        size: size_of::<$ty>(),
                        c: c_name!($field $($field_c)?),
                    }
                ),*],
            })
        ),*]
    };
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident [$size:literal] $c:tt {
            $( $(#[$field_meta:meta])* $offset:literal $field:ident : $ty:ty $(= $field_c:tt)? ),* $(,)?
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(
                Clone, Copy, PartialEq, Eq, Debug,
                zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
            )]
            #[repr(C)]
            pub struct $name {
                $( $(#[$field_meta])* pub $field: $ty ),*
            }

            const _: () = {
                assert!(size_of::<$name>() == $size);
                $( assert!(core::mem::offset_of!($name, $field) == $offset); )*
            };
        )*
    };
}

/// Plain numeric constants.
macro_rules! numbers {
    (@rows $( $(#[$meta:meta])* pub const $name:ident : $ty:ty = $value:expr => $c:tt; )*) => {
        &[$(
            $crate::table::Row::Number($crate::table::Number {
                name: stringify!($name),
                value: $name as i128,
                size: size_of::<$ty>(),
                c: c_name!($name $c),
            })
        ),*]
    };
    ($( $(#[$meta:meta])* pub const $name:ident : $ty:ty = $value:expr => $c:tt; )*) => {
        $( $(#[$meta])* pub const $name: $ty = $value; )*
    };
}

/// Named values of a newtype that stays open: any other number is legal too.
macro_rules! associated {
    (@rows $( impl $name:ident : $int:ty {
        $( $(#[$meta:meta])* pub const $constant:ident = $value:expr => $c:tt; )*
    } )*) => {
        &[$($(
            $crate::table::Row::Number($crate::table::Number {
                name: concat!(stringify!($name), "::", stringify!($constant)),
                value: $name::$constant.0 as i128,
                size: size_of::<$int>(),
                c: c_name!($constant $c),
            })
        ),*),*]
    };
    ($( impl $name:ident : $int:ty {
        $( $(#[$meta:meta])* pub const $constant:ident = $value:expr => $c:tt; )*
    } )*) => {
        $(
            impl $name {
                $( $(#[$meta])* pub const $constant: Self = Self($value); )*
            }
        )*
    };
}

/// Text constants.
macro_rules! texts {
    (@rows $( $(#[$meta:meta])* pub const $name:ident : &str = $value:literal => $c:tt; )*) => {
        &[$(
            $crate::table::Row::Text($crate::table::Text {
                name: stringify!($name),
                value: $name,
                c: c_name!($name $c),
            })
        ),*]
    };
    ($( $(#[$meta:meta])* pub const $name:ident : &str = $value:literal => $c:tt; )*) => {
        $( $(#[$meta])* pub const $name: &str = $value; )*
    };
}

/// Closed sets of numbers. A number from outside becomes one only by `TryFrom`.
macro_rules! enumeration {
    (@rows $(
        $(#[$meta:meta])*
        pub enum $name:ident : $int:ty {
            $( $(#[$variant_meta:meta])* $variant:ident = $value:literal => $c:tt ),* $(,)?
        }
    )*) => {
        &[$($(
            $crate::table::Row::Number($crate::table::Number {
                name: concat!(stringify!($name), "::", stringify!($variant)),
                value: $name::$variant as $int as i128,
                size: size_of::<$int>(),
                c: c_name!($variant $c),
            })
        ),*),*]
    };
    ($(
        $(#[$meta:meta])*
        pub enum $name:ident : $int:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $value:literal => $c:tt ),* $(,)?
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
            #[repr($int)]
            pub enum $name {
                $( $(#[$variant_meta])* $variant = $value ),*
            }

            impl $name {
                /// All members, in the order of their definition.
                pub const ALL: &'static [Self] = &[$( Self::$variant ),*];

                /// The number on the wire.
                #[must_use]
                pub const fn number(self) -> $int {
                    self as $int
                }
            }

            impl TryFrom<$int> for $name {
                type Error = $crate::UnknownNumber<$int>;

                fn try_from(number: $int) -> Result<Self, $crate::UnknownNumber<$int>> {
                    match number {
                        $( $value => Ok(Self::$variant), )*
                        _ => Err($crate::UnknownNumber(number)),
                    }
                }
            }
        )*
    };
}

/// Sets of bits. A set from outside may hold unknown bits; they are kept, and
/// `!set.difference(Set::all()).is_empty()` finds them.
macro_rules! flags {
    (@rows $(
        $(#[$meta:meta])*
        pub struct $name:ident : $int:ty {
            $( $(#[$($flag_meta:tt)*])* $flag:ident = $value:expr => $c:tt ),* $(,)?
        }
    )*) => {
        &[$($(
            $crate::table::Row::Number($crate::table::Number {
                name: concat!(stringify!($name), "::", stringify!($flag)),
                value: $name::$flag.bits() as i128,
                size: size_of::<$int>(),
                c: c_name!($flag $c),
            })
        ),*),*]
    };
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident : $int:ty {
            $( $(#[$($flag_meta:tt)*])* $flag:ident = $value:expr => $c:tt ),* $(,)?
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(
                Clone, Copy, PartialEq, Eq, Hash,
                zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
            )]
            #[repr(transparent)]
            pub struct $name($int);

            bitflags::bitflags! {
                impl $name: $int {
                    $( $(#[$($flag_meta)*])* const $flag = $value; )*
                }
            }

            impl core::fmt::Debug for $name {
                fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    f.write_str(concat!(stringify!($name), "("))?;
                    bitflags::parser::to_writer(self, &mut *f)?;
                    f.write_str(")")
                }
            }
        )*
    };
}
