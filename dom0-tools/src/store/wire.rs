//! Messages as bytes: taking a stream apart, and what answers look like.

use guest_abi::errno::Errno;
use guest_abi::store_wire::{MAX_PAYLOAD, MessageHeader, MessageType, OK, error_name};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of a header.
pub const HEADER_BYTES: usize = size_of::<MessageHeader>();
/// Bytes of a payload at most.
pub const PAYLOAD_BYTES: usize = MAX_PAYLOAD as usize;

/// A message's bytes.
///
/// # Panics
///
/// Never: what is sent has been cut to what a message can hold.
#[must_use]
pub fn encode(message_type: MessageType, req_id: u32, tx_id: u32, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..PAYLOAD_BYTES).unwrap_or(payload);
    let header = MessageHeader {
        message_type: message_type as u32,
        req_id,
        tx_id,
        len: u32::try_from(payload.len()).unwrap_or(MAX_PAYLOAD),
    };
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// The answer to a request, as it is sent.
#[must_use]
pub fn encode_answer(request: &MessageHeader, answer: Result<&[u8], Errno>) -> Vec<u8> {
    let mut header = *request;
    let mut terminated = Vec::new();
    let payload = match answer {
        Ok(payload) if payload.len() <= PAYLOAD_BYTES => payload,
        other => {
            header.message_type = MessageType::Error as u32;
            let error = other.err().unwrap_or(Errno::E2BIG);
            terminated.extend_from_slice(error_name(error).as_bytes());
            terminated.push(0);
            &terminated
        }
    };
    header.len = u32::try_from(payload.len()).unwrap_or(MAX_PAYLOAD);
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// The payload of an answer that has nothing to say.
#[must_use]
pub fn done() -> Vec<u8> {
    text(OK)
}

/// A terminated text.
#[must_use]
pub fn text(content: &str) -> Vec<u8> {
    let mut bytes = content.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// The texts of a payload, each of which must be terminated.
///
/// # Errors
///
/// `EINVAL` if the last one is not, or there is none.
pub fn texts(payload: &[u8]) -> Result<Vec<&[u8]>, Errno> {
    let content = payload.strip_suffix(&[0]).ok_or(Errno::EINVAL)?;
    Ok(content.split(|&byte| byte == 0).collect())
}

/// The only text of a payload.
///
/// # Errors
///
/// `EINVAL` if there is another number of them.
pub fn only_text(payload: &[u8]) -> Result<&[u8], Errno> {
    match texts(payload)?.as_slice() {
        [text] => Ok(text),
        _ => Err(Errno::EINVAL),
    }
}

/// The first text of a payload, and what follows its terminator.
///
/// # Errors
///
/// `EINVAL` if it is not terminated.
pub fn first_text(payload: &[u8]) -> Result<(&[u8], &[u8]), Errno> {
    let end = payload
        .iter()
        .position(|&byte| byte == 0)
        .ok_or(Errno::EINVAL)?;
    let (text, rest) = payload.split_at(end);
    Ok((text, rest.get(1..).unwrap_or_default()))
}

/// A number in decimal, without sign or blanks.
///
/// # Errors
///
/// `EINVAL` if it is none, or does not fit.
pub fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, Errno> {
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return Err(Errno::EINVAL);
    }
    let text = str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    text.parse().map_err(|_| Errno::EINVAL)
}

/// A message that no client may send: it is longer than the protocol allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

/// The beginning of a message whose rest has not arrived. Never more than one message.
#[derive(Default, Debug)]
pub struct Assembler {
    bytes: Vec<u8>,
}

impl Assembler {
    /// One that has this much already.
    #[must_use]
    pub fn with(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// What has arrived of the message.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that must be [added](Self::add) before there can be a message.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if that would be more than a message can have.
    pub fn missing(&self) -> Result<usize, TooLong> {
        match self.header() {
            None => Ok(HEADER_BYTES - self.bytes.len()),
            Some(header) if header.len > MAX_PAYLOAD => Err(TooLong),
            Some(header) => {
                let all = HEADER_BYTES + header.len as usize;
                Ok(all.saturating_sub(self.bytes.len()))
            }
        }
    }

    /// Adds bytes, no more than are [missing](Self::missing).
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The message, if it is complete.
    pub fn take(&mut self) -> Option<(MessageHeader, Vec<u8>)> {
        let header = self.header()?;
        if self.bytes.len() < HEADER_BYTES + header.len as usize {
            return None;
        }
        let payload = self.bytes.split_off(HEADER_BYTES);
        self.bytes.clear();
        Some((header, payload))
    }

    fn header(&self) -> Option<MessageHeader> {
        let (header, _) = MessageHeader::read_from_prefix(&self.bytes).ok()?;
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_put_together_from_any_pieces() {
        let sent = encode(MessageType::Write, 7, 3, b"/a\0value");
        for piece in 1..sent.len() {
            let mut assembler = Assembler::default();
            let mut rest = &sent[..];
            let (header, payload) = loop {
                if let Some(message) = assembler.take() {
                    break message;
                }
                let take = assembler.missing().unwrap().min(piece).min(rest.len());
                assert!(take > 0);
                assembler.add(&rest[..take]);
                rest = &rest[take..];
            };
            assert!(rest.is_empty() && assembler.bytes().is_empty());
            assert_eq!((header.req_id, header.tx_id), (7, 3));
            assert_eq!(payload, b"/a\0value");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_seen_by_its_header() {
        let mut header = encode(MessageType::Read, 0, 0, b"");
        header[12..16].copy_from_slice(&(MAX_PAYLOAD + 1).to_le_bytes());
        let mut assembler = Assembler::default();
        assembler.add(&header);
        assert_eq!(assembler.missing(), Err(TooLong));
        assert!(assembler.take().is_none());
    }

    #[test]
    fn answers_that_do_not_fit_are_refusals() {
        let (request, _) =
            MessageHeader::read_from_prefix(&encode(MessageType::Directory, 9, 2, b"")).unwrap();
        let answer = encode_answer(&request, Ok(&[b'x'; PAYLOAD_BYTES + 1]));
        assert_eq!(&answer[HEADER_BYTES..], b"E2BIG\0");
        assert_eq!(answer[0], MessageType::Error as u8);
        let answer = encode_answer(&request, Ok(&[b'x'; PAYLOAD_BYTES]));
        assert_eq!(answer.len(), HEADER_BYTES + PAYLOAD_BYTES);
        assert_eq!(answer[0], MessageType::Directory as u8);
    }

    #[test]
    fn texts_are_terminated() {
        assert_eq!(texts(b"a\0b\0"), Ok(vec![&b"a"[..], b"b"]));
        assert_eq!(texts(b"\0"), Ok(vec![&b""[..]]));
        assert_eq!(texts(b"a\0b"), Err(Errno::EINVAL));
        assert_eq!(texts(b""), Err(Errno::EINVAL));
        assert_eq!(only_text(b"a\0b\0"), Err(Errno::EINVAL));
        assert_eq!(first_text(b"a\0b"), Ok((&b"a"[..], &b"b"[..])));
        assert_eq!(number::<u16>(b"65535"), Ok(65535));
        for bad in [&b"65536"[..], b"", b"-1", b"+1", b" 1", b"1x"] {
            assert_eq!(number::<u16>(bad), Err(Errno::EINVAL));
        }
    }
}
