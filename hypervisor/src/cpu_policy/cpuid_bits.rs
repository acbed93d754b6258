//! Names for the CPUID feature bits that guests see or that decide what they see. One module for each register.
//!
//! Sources: Intel SDM volume 2, "CPUID"; AMD APM volume 3, appendix E.
#![allow(missing_docs)] // The names are the manuals' own.

macro_rules! bits {
    ($($(#[$doc:meta])* $module:ident { $($name:ident = $bit:literal,)* })*) => {$(
        $(#[$doc])*
        pub mod $module {
            $(pub const $name: u32 = 1 << $bit;)*
        }
    )*};
}

bits! {
    /// Leaf 1, EDX.
    leaf_1_edx {
        FPU = 0, VME = 1, DE = 2, PSE = 3, TSC = 4, MSR = 5, PAE = 6, MCE = 7, CX8 = 8, APIC = 9, SEP = 11,
        MTRR = 12, PGE = 13, MCA = 14, CMOV = 15, PAT = 16, PSE36 = 17, CLFLUSH = 19, DS = 21, ACPI = 22, MMX = 23,
        FXSR = 24, SSE = 25, SSE2 = 26, SELF_SNOOP = 27, HTT = 28, TM = 29, PBE = 31,
    }
    /// Leaf 1, ECX.
    leaf_1_ecx {
        SSE3 = 0, PCLMULQDQ = 1, DTES64 = 2, MONITOR = 3, DSCPL = 4, VMX = 5, SMX = 6, EST = 7, TM2 = 8, SSSE3 = 9,
        FMA = 12, CX16 = 13, XTPR = 14, PDCM = 15, PCID = 17, DCA = 18, SSE4_1 = 19, SSE4_2 = 20, X2APIC = 21,
        MOVBE = 22, POPCNT = 23, TSC_DEADLINE = 24, AESNI = 25, XSAVE = 26, OSXSAVE = 27, AVX = 28, F16C = 29,
        RDRAND = 30, HYPERVISOR = 31,
    }
    /// Leaf 7 subleaf 0, EBX.
    leaf_7_ebx {
        FSGSBASE = 0, TSC_ADJUST = 1, SGX = 2, BMI1 = 3, HLE = 4, AVX2 = 5, FDP_EXCEPTION_ONLY = 6, SMEP = 7,
        BMI2 = 8, ERMS = 9, INVPCID = 10, RTM = 11, NO_FPU_SELECTORS = 13, MPX = 14, AVX512F = 16, AVX512DQ = 17,
        RDSEED = 18, ADX = 19, SMAP = 20, AVX512_IFMA = 21, CLFLUSHOPT = 23, CLWB = 24, PROCESSOR_TRACE = 25,
        AVX512PF = 26, AVX512ER = 27, AVX512CD = 28, SHA = 29, AVX512BW = 30, AVX512VL = 31,
    }
    /// Leaf 7 subleaf 0, ECX.
    leaf_7_ecx {
        PREFETCHWT1 = 0, AVX512_VBMI = 1, UMIP = 2, PKU = 3, OSPKE = 4, WAITPKG = 5, AVX512_VBMI2 = 6, CET_SS = 7,
        GFNI = 8, VAES = 9, VPCLMULQDQ = 10, AVX512_VNNI = 11, AVX512_BITALG = 12, AVX512_VPOPCNTDQ = 14, LA57 = 16,
        RDPID = 22, CLDEMOTE = 25, ENQCMD = 29,
    }
    /// Leaf 7 subleaf 0, EDX.
    leaf_7_edx {
        AVX512_4VNNIW = 2, AVX512_4FMAPS = 3, FSRM = 4, MD_CLEAR = 10, SERIALIZE = 14, CET_IBT = 20, IBRSB = 26,
        STIBP = 27, L1D_FLUSH = 28, ARCH_CAPABILITIES = 29, SSBD = 31,
    }
    /// Leaf 7 subleaf 1, EAX.
    leaf_7_1_eax {
        AVX_VNNI = 4, AVX512_BF16 = 5, FZRM = 10, FSRS = 11, FSRCS = 12,
    }
    /// Leaf 7 subleaf 2, EDX.
    leaf_7_2_edx {
        PSFD = 0, MCDT_NO = 5,
    }
    /// Leaf 0xD subleaf 1, EAX.
    leaf_d_1_eax {
        XSAVEOPT = 0, XSAVEC = 1, XGETBV1 = 2, XSAVES = 3,
    }
    /// Leaf 0x80000001, EDX.
    leaf_80000001_edx {
        SYSCALL = 11, NX = 20, MMXEXT = 22, FFXSR = 25, PAGE1GB = 26, RDTSCP = 27, LM = 29, THREE_D_NOW_EXT = 30,
        THREE_D_NOW = 31,
    }
    /// Leaf 0x80000001, ECX.
    leaf_80000001_ecx {
        LAHF = 0, CMP_LEGACY = 1, SVM = 2, EXTAPIC = 3, ABM = 5, SSE4A = 6, MISALIGNED_SSE = 7, PREFETCHW = 8,
        OSVW = 9, IBS = 10, XOP = 11, SKINIT = 12, WDT = 13, LWP = 15, FMA4 = 16, NODEID_MSR = 19, TBM = 21,
        TOPOLOGY_EXTENSIONS = 22, MONITORX = 29,
    }
    /// Leaf 0x80000007, EDX.
    leaf_80000007_edx {
        INVARIANT_TSC = 8,
    }
    /// Leaf 0x80000008, EBX.
    leaf_80000008_ebx {
        CLZERO = 0, RESTORES_FP_ERROR_POINTERS = 2, IBPB = 12, IBRS = 14, STIBP = 15, SSBD = 24, SSB_NO = 26,
        PSFD = 28, BTC_NO = 29, IBPB_RET = 30,
    }
    /// Leaf 0x80000021, EAX.
    leaf_80000021_eax {
        LFENCE_DISPATCH = 2, VERW_CLEAR = 5, NULL_SELECTOR_CLEARS_BASE = 6, IBPB_BRTYPE = 28, SRSO_NO = 29,
    }
    /// Leaf 0x80000021, ECX.
    leaf_80000021_ecx {
        TSA_SQ_NO = 1, TSA_L1_NO = 2,
    }
}
