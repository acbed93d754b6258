//! Kernel files of any content: opened, unpacked, read and laid out, or refused with a sentence.
//!
//! The input is tried as a kernel file, as a bare compressed stream and as an ELF file; its first bytes
//! decide which of these get far. Streams are unpacked into a small buffer only.

use guest_abi::features::Features;
use hypervisor::image::bzimage::{self, KernelFile};
use hypervisor::image::decompress::{self, Compression, DecodeError};
use hypervisor::image::elf::Kernel;
use hypervisor::image::layout::{Layout, Request};
use hypervisor::image::pfns::Pfns;
use hypervisor::image::{DomainKind, ImageError, tables};

/// Most bytes that a stream may unpack to here.
const MAX_OUTPUT: usize = 256 << 10;
/// Most pages of a mapping whose every entry is looked at.
const MAX_WALKED: u64 = 0x4000;

pub fn run(input: &[u8]) {
    match bzimage::open(input) {
        Ok(KernelFile::Elf(elf)) => load(elf),
        Ok(KernelFile::Packed(payload)) => {
            unpack(
                payload.compression,
                payload.stream,
                payload.unpacked_len.min(MAX_OUTPUT),
            );
        }
        Err(error) => check_sentence(error.into()),
    }
    if let Some(compression) = Compression::detect(input) {
        unpack(compression, input, MAX_OUTPUT);
    }
}

fn unpack(compression: Compression, stream: &[u8], limit: usize) {
    let needed = decompress::heap_needed(compression, stream, limit);
    assert!(
        needed < 16 * MAX_OUTPUT,
        "{compression} needs {needed} bytes for an output of {limit}"
    );
    let mut output = vec![0; limit];
    let mut last_report = 0;
    let mut progress = |consumed| {
        assert!(last_report <= consumed && consumed <= stream.len());
        last_report = consumed;
    };
    match decompress::decompress(compression, stream, &mut output, &mut progress) {
        Ok(len) => load(&output[..len]),
        Err(DecodeError::OutOfMemory { .. }) => panic!("out of memory"),
        Err(error) => check_sentence(error.into()),
    }
}

fn load(elf: &[u8]) {
    let kernel = match Kernel::parse(elf) {
        Ok(kernel) => kernel,
        Err(error) => return check_sentence(error.into()),
    };
    let mut end = 0;
    for segment in kernel.segments() {
        assert!(segment.start >= end && segment.bytes.len() as u64 <= segment.memory_len);
        end = segment.start + segment.memory_len;
    }
    let mut page = [0; 4096];
    let pfns = kernel.pfns();
    for pfn in pfns.iter().take(4).chain(pfns.iter().rev().take(4)) {
        kernel.fill_page(pfn, &mut page);
    }
    for kind in [DomainKind::Dom0, DomainKind::DomU] {
        let _ = kernel.check_features(kind, Features::DOM0);
        // Sizes and holes that depend on the file, without more input.
        let nr_pages = 0x1000 + kernel.notes().entry.0 % 0x2_0000;
        let after = |pages: u64| pfns.end().0 + pages;
        let hole = |pages| {
            Pfns::new(
                guest_abi::ids::Pfn(after(pages)),
                guest_abi::ids::Pfn(after(pages + 3)),
            )
        };
        let holes = [
            hole(kernel.notes().paddr_offset % 64),
            hole(kernel.notes().virt_base.0 % 512),
        ];
        let request = Request {
            kind,
            nr_pages,
            initrd_len: nr_pages * 100,
            screen_info_len: 40,
            holes: &holes,
        };
        match Layout::new(&kernel, &request) {
            Ok(layout) => check_layout(&layout, &holes),
            Err(error) => check_sentence(error.into()),
        }
    }
}

fn check_layout(layout: &Layout, holes: &[Pfns]) {
    assert!(layout.mapped.end().0 <= layout.nr_pages);
    assert!(
        !holes
            .iter()
            .any(|hole| hole.overlaps(layout.page_tables) || hole.contains(layout.stack))
    );
    if layout.mapped.len() > MAX_WALKED {
        return;
    }
    let mut mapped = 0;
    for table in tables::tables(layout) {
        for entry in tables::entries(layout, table) {
            assert!(entry.index < tables::ENTRIES && layout.mapped.contains(entry.target));
            mapped += u64::from(table.level == tables::Level::L1);
        }
    }
    assert_eq!(mapped, layout.mapped.len());
}

fn check_sentence(error: ImageError) {
    let sentence = error.to_string();
    assert!(
        sentence.starts_with("the ") || sentence.starts_with("unpacking "),
        "{sentence}"
    );
}
