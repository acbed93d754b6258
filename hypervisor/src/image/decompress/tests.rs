//! Streams made by each format's own tool unpack to the sample; every damaged variant is refused.

use super::*;

const GZIP: &[u8] = include_bytes!("../testdata/named.gz");
const XZ_X86: &[u8] = include_bytes!("../testdata/x86-crc32.xz");
const XZ_BLOCKS: &[u8] = include_bytes!("../testdata/blocks-crc64.xz");
const XZ_NO_CHECK: &[u8] = include_bytes!("../testdata/no-check.xz");
const XZ_SHA256: &[u8] = include_bytes!("../testdata/sha256.xz");
const XZ_DELTA: &[u8] = include_bytes!("../testdata/delta.xz");
const XZ_LARGE_DICTIONARY: &[u8] = include_bytes!("../testdata/dictionary-128m.xz");
const LZ4: &[u8] = include_bytes!("../testdata/legacy.lz4");
/// What a kernel's build makes: from a pipe, at the highest level.
const ZSTD_PIPED: &[u8] = include_bytes!("../testdata/window-128m.zst");
const ZSTD_SINGLE: &[u8] = include_bytes!("../testdata/single-segment.zst");

const GOOD: [&[u8]; 8] = [
    GZIP,
    XZ_X86,
    XZ_BLOCKS,
    XZ_LARGE_DICTIONARY,
    XZ_NO_CHECK,
    LZ4,
    ZSTD_PIPED,
    ZSTD_SINGLE,
];
const SAMPLE_LEN: usize = 40_000;

/// What the streams were made from: a byte pattern with call instructions to one address in it.
fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < SAMPLE_LEN {
        let position = bytes.len() as u32;
        if position % 64 == 40 {
            bytes.push(0xE8);
            bytes.extend(0x1000_u32.wrapping_sub(position + 5).to_le_bytes());
        } else {
            bytes.push((position % 61 * 7) as u8);
        }
    }
    bytes
}

fn unpack(stream: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let compression = Compression::detect(stream).unwrap();
    let mut output = vec![0xAA; limit];
    let len = decompress(compression, stream, &mut output, &mut |_| {})?;
    output.truncate(len);
    Ok(output)
}

#[test]
fn streams_of_every_format_unpack_to_the_sample() {
    for stream in GOOD {
        for limit in [SAMPLE_LEN, SAMPLE_LEN + 1, 3 * SAMPLE_LEN] {
            assert!(
                unpack(stream, limit).unwrap() == sample(),
                "{:?}, {limit}",
                Compression::detect(stream)
            );
        }
    }
}

#[test]
fn progress_ends_with_all_of_the_stream() {
    for stream in GOOD {
        let mut reports = Vec::new();
        let compression = Compression::detect(stream).unwrap();
        decompress(compression, stream, &mut [0; SAMPLE_LEN], &mut |consumed| {
            reports.push(consumed)
        })
        .unwrap();
        assert!(reports.is_sorted(), "{compression}: {reports:?}");
        let trailer = if compression == Compression::Gzip {
            8
        } else {
            0
        };
        assert!(
            reports.last().unwrap() + trailer >= stream.len() - 4,
            "{compression}: {reports:?}"
        );
    }
}

#[test]
fn bytes_behind_the_stream_are_ignored() {
    for stream in [GZIP, XZ_X86, ZSTD_PIPED] {
        let padded = [stream, b"behind"].concat();
        assert!(unpack(&padded, SAMPLE_LEN).unwrap() == sample());
    }
}

#[test]
fn output_that_is_too_short_is_named() {
    for stream in GOOD {
        for limit in [0, 1, 100, SAMPLE_LEN - 1] {
            let compression = Compression::detect(stream).unwrap();
            let result = unpack(stream, limit);
            let names_it = matches!(result, Err(DecodeError::DoesNotFit { .. }));
            assert!(names_it, "{compression}, {limit}: {result:?}");
        }
    }
}

#[test]
fn every_truncation_is_refused_as_one() {
    for stream in GOOD {
        let compression = Compression::detect(stream).unwrap();
        for len in 6..stream.len() {
            match unpack(&stream[..len], SAMPLE_LEN) {
                Err(DecodeError::Truncated(_)) => {}
                other => panic!("{compression}: {len} of {}: {other:?}", stream.len()),
            }
        }
    }
}

#[test]
fn flipped_bits_never_pass_for_the_sample() {
    for stream in [GZIP, XZ_X86, XZ_BLOCKS, ZSTD_PIPED, ZSTD_SINGLE] {
        let compression = Compression::detect(stream).unwrap();
        let signature = if compression == Compression::Gzip {
            2
        } else {
            6
        };
        let mut wrong_checksums = 0;
        for at in signature..stream.len() {
            let mut damaged = stream.to_vec();
            damaged[at] ^= 1 << (at % 8);
            match unpack(&damaged, SAMPLE_LEN) {
                Ok(output) => assert!(output == sample(), "{compression}: bit in byte {at} passes"),
                Err(DecodeError::ChecksumWrong(_)) => wrong_checksums += 1,
                Err(_) => {}
            }
        }
        assert!(
            wrong_checksums > 4,
            "{compression}: the checksum caught only {wrong_checksums}"
        );
    }
}

#[test]
fn flipped_bits_where_there_is_no_checksum_do_not_panic() {
    for stream in [LZ4, XZ_NO_CHECK] {
        for at in 6..stream.len() {
            let mut damaged = stream.to_vec();
            damaged[at] ^= 1 << (at % 8);
            let _ = unpack(&damaged, SAMPLE_LEN);
        }
    }
}

#[test]
fn a_wrong_stored_checksum_is_named() {
    // The last bytes: gzip's trailer, zstd's checksum; in xz, the check of the only block.
    let xz_check_at = XZ_X86.len() - 12 - 12 - 4;
    for (stream, at) in [
        (GZIP, GZIP.len() - 8),
        (XZ_X86, xz_check_at),
        (ZSTD_PIPED, ZSTD_PIPED.len() - 1),
    ] {
        let mut damaged = stream.to_vec();
        damaged[at] ^= 1;
        let compression = Compression::detect(stream).unwrap();
        assert_eq!(
            unpack(&damaged, SAMPLE_LEN),
            Err(DecodeError::ChecksumWrong(compression))
        );
    }
}

#[test]
fn parts_of_xz_that_are_not_offered_are_named() {
    let detail = |stream| match unpack(stream, SAMPLE_LEN) {
        Err(DecodeError::Unsupported { detail, .. }) => detail,
        other => panic!("{other:?}"),
    };
    assert_eq!(detail(XZ_SHA256), "SHA-256 as its checksum");
    assert!(detail(XZ_DELTA).contains("filter"));
}

#[test]
fn formats_that_are_not_offered_are_recognised() {
    let streams: [(&[u8], &str); 3] = [
        (b"BZh91AY", "bzip2"),
        (b"\x5D\0\0\x80\0", "lzma"),
        (b"\x89LZO\0", "lzo"),
    ];
    for (stream, name) in streams {
        let error = unpack(stream, SAMPLE_LEN).unwrap_err();
        assert_eq!(
            error.to_string().split([' ', ';']).nth(5),
            Some(name),
            "{error}"
        );
    }
    assert_eq!(Compression::detect(b"MZ"), None);
    assert_eq!(Compression::detect(b""), None);
}

#[test]
fn memory_is_bounded_by_the_output() {
    // The frame asks for 128 MiB.
    assert!(heap_needed(Compression::Zstd, ZSTD_PIPED, SAMPLE_LEN) < 2 << 20);
    assert!(heap_needed(Compression::Zstd, ZSTD_PIPED, 64 << 20) < 66 << 20);
    assert!(heap_needed(Compression::Xz, XZ_X86, 65 << 20) < 64 << 10);
    assert_eq!(heap_needed(Compression::Lz4Legacy, LZ4, SAMPLE_LEN), 0);
}

#[test]
fn gzip_header_fields_are_skipped() {
    let (name_end, _) = GZIP
        .iter()
        .enumerate()
        .skip(10)
        .find(|(_, byte)| **byte == 0)
        .unwrap();
    let mut header = GZIP[..10].to_vec();
    header[3] = 0b1_1110;
    let with_all = [
        &header[..],
        &[3, 0, 1, 2, 3],
        b"name\0",
        b"comment\0",
        &[0, 0],
        &GZIP[name_end + 1..],
    ]
    .concat();
    assert!(unpack(&with_all, SAMPLE_LEN).unwrap() == sample());
}

#[test]
fn several_zstd_frames_and_skippable_ones_are_one_stream() {
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 9, 9, 9];
    let stream = [ZSTD_PIPED, &skippable, ZSTD_SINGLE].concat();
    assert!(unpack(&stream, 2 * SAMPLE_LEN).unwrap() == [sample(), sample()].concat());
}

#[test]
fn an_appended_lz4_frame_continues_the_stream() {
    let stream = [LZ4, LZ4].concat();
    assert!(unpack(&stream, 2 * SAMPLE_LEN).unwrap() == [sample(), sample()].concat());
}

#[test]
fn window_bytes_are_monotonic() {
    let windows: Vec<_> = (0..=u8::MAX).map(super::zstd::window_len).collect();
    assert!(windows.is_sorted_by(|a, b| a < b));
    assert_eq!(windows[0], 1 << 10);
    for limit in [0, 1, 128 << 10, (128 << 10) + 1, 64 << 20, 1 << 40] {
        let byte = super::zstd::sufficient_window(limit);
        assert!(super::zstd::window_len(byte) >= limit as u64);
    }
}
