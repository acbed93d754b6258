//! Kernel files made up for the tests: an ELF writer and a bzImage around it.

use super::decompress::Compression;
use guest_abi::elf_note::ElfNote;

/// Where the made-up kernel's guest-physical 0 is mapped, as in Linux.
pub(super) const VIRT_BASE: u64 = 0xFFFF_FFFF_8000_0000;

/// Where a made-up kernel keeps its notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotesIn {
    Segment,
    Section,
}

/// A segment of a made-up kernel.
#[derive(Clone)]
pub(super) struct TestSegment {
    pub(super) vaddr: u64,
    pub(super) paddr: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) memory_len: u64,
}

/// A kernel to be written.
#[derive(Clone)]
pub(super) struct TestKernel {
    pub(super) segments: Vec<TestSegment>,
    pub(super) notes: Vec<(u32, Vec<u8>)>,
    pub(super) notes_in: NotesIn,
}

impl TestKernel {
    /// A kernel with the segments and notes of a Linux, scaled down: code at 16 MiB, data, and
    /// per-processor data whose virtual address is 0.
    pub(super) fn linux() -> Self {
        let segment = |paddr: u64, vaddr, len: usize, memory_len| TestSegment {
            vaddr,
            paddr,
            bytes: (0..len)
                .map(|at| (at as u64 * 31 + (paddr >> 12)) as u8 | 1)
                .collect(),
            memory_len,
        };
        let kernel = Self {
            segments: vec![
                segment(0x100_0000, VIRT_BASE + 0x100_0000, 0x2345, 0x2345),
                segment(0x100_3000, VIRT_BASE + 0x100_3000, 0x1000, 0x1800),
                segment(0x100_5000, 0, 0x123, 0x400),
                segment(0x100_6010, VIRT_BASE + 0x100_6010, 0x10, 0x2_0000),
            ],
            notes: Vec::new(),
            notes_in: NotesIn::Segment,
        };
        kernel
            .with(ElfNote::GuestOs, b"linux\0")
            .with(ElfNote::GuestVersion, b"2.6\0")
            .with(ElfNote::InterfaceVersion, b"xen-3.0\0")
            .with_number(ElfNote::VirtBase, VIRT_BASE)
            .with_number(ElfNote::InitP2m, 0x80_0000_0000)
            .with_number(ElfNote::Entry, VIRT_BASE + 0x100_61C0)
            .with(
                ElfNote::Features,
                b"!writable_page_tables|pae_pgdir_above_4gb",
            )
            .with(ElfNote::SupportedFeatures, &0x8801_u32.to_le_bytes())
            .with(ElfNote::PaeMode, b"yes\0")
            .with(ElfNote::Loader, b"generic\0")
            .with(
                ElfNote::L1MfnValid,
                &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
            )
            .with(ElfNote::SuspendCancel, &1_u32.to_le_bytes())
            .with(ElfNote::ModStartPfn, &1_u32.to_le_bytes())
            .with_number(ElfNote::HvStartLow, 0xFFFF_8000_0000_0000)
            .with_number(ElfNote::PaddrOffset, 0)
    }

    /// The same kernel with this note, in place of one of its type.
    pub(super) fn with(self, note: ElfNote, description: &[u8]) -> Self {
        let mut kernel = self.without(note);
        kernel.notes.push((note.number(), description.to_vec()));
        kernel
    }

    pub(super) fn with_number(self, note: ElfNote, number: u64) -> Self {
        self.with(note, &number.to_le_bytes())
    }

    pub(super) fn without(mut self, note: ElfNote) -> Self {
        self.notes.retain(|(kept, _)| *kept != note.number());
        self
    }

    /// A kernel of one segment of `len` bytes from guest-physical `start` on.
    pub(super) fn of_size(start: u64, len: u64) -> Self {
        let mut kernel = Self::linux().with_number(ElfNote::Entry, VIRT_BASE + start);
        kernel.segments = vec![TestSegment {
            vaddr: VIRT_BASE + start,
            paddr: start,
            bytes: vec![0x90],
            memory_len: len,
        }];
        kernel
    }

    /// The ELF file.
    pub(super) fn elf(&self) -> Vec<u8> {
        let mut notes = Vec::new();
        // A note of another owner comes first, as in a file that `ld` makes.
        put_note(&mut notes, b"GNU\0", 3, &[0xAB; 20]);
        for (note_type, description) in &self.notes {
            put_note(&mut notes, b"Xen\0", *note_type, description);
        }
        let in_segment = self.notes_in == NotesIn::Segment;
        let nr_headers = self.segments.len() + usize::from(in_segment);
        let mut body = vec![0; 64 + 56 * nr_headers];
        let mut headers = Vec::new();
        for segment in &self.segments {
            let offset = body.len() as u64;
            body.extend(&segment.bytes);
            let file_len = segment.bytes.len() as u64;
            put_header(
                &mut headers,
                1,
                [
                    offset,
                    segment.vaddr,
                    segment.paddr,
                    file_len,
                    segment.memory_len,
                ],
            );
        }
        body.resize(body.len().next_multiple_of(4), 0);
        let notes_at = body.len() as u64;
        body.extend(&notes);
        let mut sections = 0_u64;
        if in_segment {
            put_header(
                &mut headers,
                4,
                [notes_at, 0, 0, notes.len() as u64, notes.len() as u64],
            );
        } else {
            sections = body.len() as u64;
            body.extend([0; 64]);
            body.extend(0_u32.to_le_bytes());
            body.extend(7_u32.to_le_bytes());
            for field in [0, 0, notes_at, notes.len() as u64, 0, 4, 0_u64] {
                body.extend(field.to_le_bytes());
            }
        }
        let mut file = b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend(2_u16.to_le_bytes());
        file.extend(62_u16.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for field in [0x100_0000, 64, sections] {
            file.extend(field.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        let nr_sections = if in_segment { 0 } else { 2 };
        for field in [64, 56, nr_headers as u16, 64, nr_sections, 0] {
            file.extend(field.to_le_bytes());
        }
        file.extend(headers);
        file.extend(&body[file.len()..]);
        file
    }
}

fn put_note(notes: &mut Vec<u8>, owner: &[u8], note_type: u32, description: &[u8]) {
    for field in [owner.len() as u32, description.len() as u32, note_type] {
        notes.extend(field.to_le_bytes());
    }
    for text in [owner, description] {
        notes.extend(text);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
}

/// Offset, virtual address, physical address, length in the file, length in memory.
fn put_header(headers: &mut Vec<u8>, kind: u32, fields: [u64; 5]) {
    headers.extend(kind.to_le_bytes());
    headers.extend(7_u32.to_le_bytes());
    for field in fields {
        headers.extend(field.to_le_bytes());
    }
    headers.extend(0x1000_u64.to_le_bytes());
}

/// A bzImage around a compressed stream that declares to unpack to `unpacked_len` bytes.
pub(super) fn bzimage(stream: &[u8], unpacked_len: usize) -> Vec<u8> {
    let payload = [stream, &(unpacked_len as u32).to_le_bytes()].concat();
    bzimage_around(&payload)
}

/// A bzImage with this payload.
pub(super) fn bzimage_around(payload: &[u8]) -> Vec<u8> {
    const SETUP_SECTORS: usize = 3;
    const PAYLOAD_OFFSET: usize = 0x2C;
    let mut file = vec![0; (SETUP_SECTORS + 1) * 512 + PAYLOAD_OFFSET];
    file[..2].copy_from_slice(b"MZ");
    file[0x1F1] = SETUP_SECTORS as u8;
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x206..0x208].copy_from_slice(&0x020F_u16.to_le_bytes());
    file[0x248..0x24C].copy_from_slice(&(PAYLOAD_OFFSET as u32).to_le_bytes());
    file[0x24C..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file.extend(payload);
    file.extend(b"a signature behind the payload");
    file
}

/// Compresses as `compression` says.
pub(super) fn pack(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    use lzma_rust2::Write;
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let deflated = miniz_oxide::deflate::compress_to_vec(bytes, 6);
            let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes);
            let header = b"\x1F\x8B\x08\0\0\0\0\0\x02\x03";
            [
                &header[..],
                &deflated,
                &crc.to_le_bytes(),
                &(bytes.len() as u32).to_le_bytes(),
            ]
            .concat()
        }
        Compression::Xz => {
            let mut options = lzma_rust2::XzOptions::with_preset(6);
            options.set_check_sum_type(lzma_rust2::CheckType::Crc32);
            options.prepend_pre_filter(lzma_rust2::FilterType::BcjX86, 0);
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        Compression::Lz4Legacy => {
            let mut stream = b"\x02\x21\x4C\x18".to_vec();
            for block in bytes.chunks(8 << 20) {
                let packed = lz4_flex::block::compress(block);
                stream.extend((packed.len() as u32).to_le_bytes());
                stream.extend(packed);
            }
            stream
        }
        Compression::Zstd => {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        }
        Compression::Bzip2 => b"BZh91AY&SY".to_vec(),
        Compression::LzmaAlone => b"\x5D\0\0\x80\0".to_vec(),
        Compression::Lzo => b"\x89LZO\0\r\n".to_vec(),
    }
}
