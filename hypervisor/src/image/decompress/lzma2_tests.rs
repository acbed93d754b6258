//! The decoder for xz against the encoder and the decoder of a crate.

use super::{Compression, calls, decompress, lzma2};
use lzma_rust2::filter::bcj::{BcjReader, BcjWriter};
use lzma_rust2::{
    EncodeMode, Lzma2Options, Lzma2Reader, Lzma2Writer, LzmaOptions, MfType, Read, Write,
    XzOptions, XzWriter,
};
use proptest::prelude::*;

/// Bytes with as much order in them as programs have: repetitions from near and far, runs, calls, and noise.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (any::<u8>(), 1_usize..400).prop_map(|(byte, count)| Piece::Run(byte, count)),
        (1_usize..70_000, 1_usize..600).prop_map(|(back, count)| Piece::Again(back, count)),
        proptest::collection::vec(any::<u8>(), 1..200).prop_map(Piece::Noise),
        (0xE7_u8..0xEB, any::<u32>(), 0_u32..3)
            .prop_map(|(opcode, target, kind)| Piece::Call(opcode, target, kind)),
    ];
    proptest::collection::vec(piece, 0..200).prop_map(|pieces| {
        let mut bytes = Vec::new();
        for piece in pieces {
            piece.add_to(&mut bytes);
        }
        bytes
    })
}

#[derive(Clone, Debug)]
enum Piece {
    Run(u8, usize),
    Again(usize, usize),
    Noise(Vec<u8>),
    Call(u8, u32, u32),
}

impl Piece {
    fn add_to(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Run(byte, count) => bytes.extend(core::iter::repeat_n(byte, count)),
            Self::Again(back, count) => {
                let start = bytes.len().saturating_sub(back);
                for at in start..start + count {
                    let byte = bytes.get(at).copied().unwrap_or(7);
                    bytes.push(byte);
                }
            }
            Self::Noise(noise) => bytes.extend(noise),
            Self::Call(opcode, target, kind) => {
                bytes.push(opcode);
                // Far, near in either direction.
                let target = match kind {
                    0 => target,
                    1 => target >> 8,
                    _ => target | 0xFF00_0000,
                };
                bytes.extend(target.to_le_bytes());
            }
        }
    }
}

fn options() -> impl Strategy<Value = LzmaOptions> {
    (0_u32..=4, 0_u32..=4, 0_u32..=4, 0_u32..=6).prop_map(|(lc, lp, pb, preset)| {
        let mut options = LzmaOptions::with_preset(preset);
        (options.lc, options.lp, options.pb) = (lc, lp.min(4 - lc), pb);
        options.dict_size = 1 << 16;
        options.mode = EncodeMode::Normal;
        options.mf = MfType::Hc4;
        options
    })
}

fn packed(contents: &[u8], lzma_options: LzmaOptions) -> Vec<u8> {
    let options = Lzma2Options {
        lzma_options,
        ..Lzma2Options::default()
    };
    let mut writer = Lzma2Writer::new(Vec::new(), options);
    writer.write_all(contents).unwrap();
    writer.finish().unwrap()
}

fn unpacked(mut stream: &[u8], limit: usize) -> Result<Vec<u8>, lzma2::Lzma2Error> {
    let mut output = vec![0xAA; limit];
    let len = lzma2::decode(&mut stream, &mut output, 1 << 16, &mut |_| {})?;
    output.truncate(len);
    Ok(output)
}

/// All that a reader has, if it is no more than that.
fn read_all(mut reader: impl Read, limit: usize) -> Option<Vec<u8>> {
    let mut output = vec![0; limit + 1];
    let mut len = 0;
    loop {
        match reader.read(&mut output[len..]).ok()? {
            0 => break,
            more => len += more,
        }
    }
    output.truncate(len);
    (len <= limit).then_some(output)
}

/// What the crate makes of it.
fn expected(stream: &[u8], limit: usize) -> Option<Vec<u8>> {
    read_all(Lzma2Reader::new(stream, 1 << 16, None), limit)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_packed_comes_out_again(contents in contents(), options in options()) {
        let stream = packed(&contents, options);
        prop_assert!(unpacked(&stream, contents.len()).unwrap() == contents);
    }

    #[test]
    fn damaged_streams_come_out_as_they_do_elsewhere(
        contents in contents(),
        options in options(),
        damages in proptest::collection::vec((any::<prop::sample::Index>(), 0_u32..8), 1..4),
    ) {
        let mut stream = packed(&contents, options);
        for (at, bit) in damages {
            let at = at.index(stream.len());
            stream[at] ^= 1 << bit;
        }
        let limit = contents.len() + 100;
        prop_assert_eq!(unpacked(&stream, limit).ok(), expected(&stream, limit));
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..2000), control in 0xE0_u8..) {
        let _ = unpacked(&bytes, 5000);
        // A chunk of LZMA that begins as one does.
        let mut stream = vec![control, 0x10, 0, 7, 0xFF, 93, 0];
        stream.extend(bytes);
        let _ = unpacked(&stream, 5000);
    }

    #[test]
    fn calls_come_back(contents in contents(), start in any::<u16>()) {
        let start = u32::from(start) << 4;
        let mut writer = BcjWriter::new_x86(Vec::new(), start as usize);
        writer.write_all(&contents).unwrap();
        let mut filtered = writer.finish().unwrap();
        calls::undo(&mut filtered, start);
        prop_assert!(filtered == contents);
    }

    #[test]
    fn what_is_no_code_is_filtered_as_it_is_elsewhere(
        bytes in proptest::collection::vec(prop_oneof![Just(0xE8_u8), Just(0xE9), Just(0), Just(0xFF), any::<u8>()], 0..3000),
        start in any::<u16>(),
    ) {
        let start = u32::from(start) << 4;
        let expected = read_all(BcjReader::new_x86(&bytes[..], start as usize), bytes.len());
        let mut filtered = bytes;
        calls::undo(&mut filtered, start);
        prop_assert_eq!(Some(filtered), expected);
    }
}

#[test]
fn long_contents_of_many_chunks_come_out_again() {
    // Noise does not pack: its chunks are bytes as they are. What repeats it does.
    let mut noise = 1_u32;
    let mut contents: Vec<u8> = core::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        (noise >> 16) as u8
    })
    .take(300_000)
    .collect();
    contents.extend_from_within(..200_000);
    contents.extend(core::iter::repeat_n(0, 5 << 20));
    contents.extend_from_within(..100_000);
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
    writer.write_all(&contents).unwrap();
    let stream = writer.finish().unwrap();
    let mut output = vec![0xAA; contents.len()];
    let len = decompress(Compression::Xz, &stream, &mut output, &mut |_| {});
    assert_eq!(len, Ok(contents.len()));
    assert!(output == contents);
}
