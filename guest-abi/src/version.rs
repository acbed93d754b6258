//! What the hypervisor says about itself.

use crate::features::Features;

abi! {
    headers ["xen/version.h"];

    enumeration! {
        /// First argument of the hypercall; the second points to what is named.
        pub enum VersionOp: u32 {
            /// No argument; returns `major << 16 | minor`.
            Version = 0 => "XENVER_version",
            /// Text of [`EXTRA_VERSION_SIZE`].
            ExtraVersion = 1 => "XENVER_extraversion",
            /// [`CompileInfo`].
            CompileInfo = 2 => "XENVER_compile_info",
            /// Text of [`CAPABILITIES_SIZE`].
            Capabilities = 3 => "XENVER_capabilities",
            /// Text of [`CHANGESET_SIZE`].
            Changeset = 4 => "XENVER_changeset",
            /// [`PlatformParameters`].
            PlatformParameters = 5 => "XENVER_platform_parameters",
            /// [`FeatureInfo`].
            GetFeatures = 6 => "XENVER_get_features",
            /// No argument; returns the bytes of a frame.
            PageSize = 7 => "XENVER_pagesize",
            /// 16 bytes: the caller's identity.
            GuestHandle = 8 => "XENVER_guest_handle",
            /// Text of [`COMMAND_LINE_SIZE`].
            CommandLine = 9 => "XENVER_commandline",
            /// [`BuildId`] and its bytes.
            BuildId = 10 => "XENVER_build_id",
        }
    }

    numbers! {
        /// Major version of the interface that is offered.
        pub const MAJOR: u32 = 4 => (absent "a decision: the version whose interface this is");
        /// Minor version of the interface that is offered.
        pub const MINOR: u32 = 17 => (absent "a decision: the version whose interface this is");
        /// Bytes of the extra version.
        pub const EXTRA_VERSION_SIZE: usize = 16 => "XEN_EXTRAVERSION_LEN";
        /// Bytes of the capabilities.
        pub const CAPABILITIES_SIZE: usize = 1024 => "XEN_CAPABILITIES_INFO_LEN";
        /// Bytes of the change set.
        pub const CHANGESET_SIZE: usize = 64 => "XEN_CHANGESET_INFO_LEN";
        /// Bytes of the command line.
        pub const COMMAND_LINE_SIZE: usize = 1024 => "sizeof(xen_commandline_t)";
        /// Bytes of a domain's identity.
        pub const GUEST_HANDLE_SIZE: usize = 16 => "sizeof(xen_domain_handle_t)";
    }

    texts! {
        /// The capability that tools look for before they build a 64-bit guest.
        pub const CAPABILITY_64BIT: &str = "xen-3.0-x86_64" => (absent "built from the version at run time");
    }

    layout! {
        /// Who built it, how and when. Terminated texts.
        pub struct CompileInfo [144] "struct xen_compile_info" {
            /// Compiler.
            0 compiler: [u8; 64],
            /// Who.
            64 compile_by: [u8; 16],
            /// Where.
            80 compile_domain: [u8; 32],
            /// When.
            112 compile_date: [u8; 32],
        }

        /// Where the hypervisor's addresses begin.
        pub struct PlatformParameters [8] "struct xen_platform_parameters" {
            /// [`HYPERVISOR_START`](crate::ids::Vaddr::HYPERVISOR_START).
            0 virt_start: u64,
        }

        /// One word of features.
        pub struct FeatureInfo [8] "struct xen_feature_info" {
            /// In: which word; 0.
            0 submap_idx: u32,
            /// Out: the features.
            4 submap: Features,
        }

        /// Header of the build identifier.
        pub struct BuildId [4] "struct xen_build_id" {
            /// In: room behind this header. Out: bytes behind it.
            0 len: u32,
        }
    }
}
