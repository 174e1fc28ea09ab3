//! Packets: requests are encoded, replies decoded.

use bytes::{Buf, Bytes, BytesMut};

use super::error::PacketError;

/// The longest packet that is accepted: OpenSSH's limit of its own.
const MAX_PACKET_BYTES: usize = 256 * 1024;

/// The longest path or name that is believed (`PATH_MAX`).
const MAX_NAME_BYTES: usize = 4096;

/// The longest handle (draft-ietf-secsh-filexfer-02, 6.3).
const MAX_HANDLE_BYTES: usize = 256;

/// Characters of a server's words that are kept.
const MAX_MESSAGE: usize = 1000;

/// The most bytes skipped before the first packet: what a login shell prints.
const MAX_NOISE_BYTES: usize = 64 * 1024;

/// Bytes of that which are kept, for an error.
const PRINTED_BYTES: usize = 400;

/// Bytes that tell the first packet from anything else: its length, its type, its version.
const HEAD_BYTES: usize = 9;

/// The longest first packet that is believed: the server's extensions are in it.
const MAX_VERSION_BYTES: u32 = 16 * 1024;

/// `SSH_FXP_*` of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum RequestType {
    Init = 1,
    Open = 3,
    Close = 4,
    Read = 5,
    Write = 6,
    Lstat = 7,
    Fstat = 8,
    Fsetstat = 10,
    Opendir = 11,
    Readdir = 12,
    Remove = 13,
    Mkdir = 14,
    Rmdir = 15,
    Realpath = 16,
    Stat = 17,
    Rename = 18,
    Extended = 200,
}

/// A request being encoded.
#[derive(Debug)]
pub(super) struct Packet(Vec<u8>);

impl Packet {
    /// A request with this identifier, or [`RequestType::Init`] with this version.
    pub(super) fn new(kind: RequestType, id: u32) -> Self {
        let mut bytes = vec![0; 4];
        bytes.push(kind as u8);
        bytes.extend_from_slice(&id.to_be_bytes());
        Self(bytes)
    }

    /// `SSH_FXP_EXTENDED` of this name.
    pub(super) fn extended(id: u32, name: &[u8]) -> Self {
        Self::new(RequestType::Extended, id).string(name)
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// At most 4 GiB long: paths, handles, data.
    pub(super) fn string(mut self, value: &[u8]) -> Self {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// `ATTRS` with permission bits, or empty.
    pub(super) fn mode(self, mode: Option<u32>) -> Self {
        match mode {
            Some(mode) => self.u32(HAS_MODE).u32(mode & 0o7777),
            None => self.u32(0),
        }
    }

    /// `ATTRS` with user and group.
    pub(super) fn owner(self, user: u32, group: u32) -> Self {
        self.u32(HAS_OWNER).u32(user).u32(group)
    }

    /// `ATTRS` with a size.
    pub(super) fn size(self, size_bytes: u64) -> Self {
        self.u32(HAS_SIZE).u64(size_bytes)
    }

    /// The whole packet.
    pub(super) fn bytes(mut self) -> Bytes {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0.into()
    }
}

const HAS_SIZE: u32 = 1;
const HAS_OWNER: u32 = 2;
const HAS_MODE: u32 = 4;
const HAS_TIMES: u32 = 8;
const HAS_MORE: u32 = 0x8000_0000;

/// What a server says of a file (`ATTRS`). What it does not say is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// In bytes.
    pub size: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Numeric user and group, where the server says so.
    pub owner: Option<(u32, u32)>,
    /// In seconds since 1970.
    pub modified: u32,
}

/// `SSH_FXP_*` of replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Version(Vec<(Vec<u8>, Vec<u8>)>),
    Status { code: u32, message: String },
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<(Bytes, Attributes)>),
    Attributes(Attributes),
    Extended(Bytes),
}

/// Cuts a server's bytes into packets.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    bytes: BytesMut,
    /// Whether the first packet began.
    begun: bool,
    /// Bytes skipped before it.
    noise: usize,
    /// The first of them.
    printed: Vec<u8>,
}

impl Decoder {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole packet, with its identifier.
    ///
    /// # Errors
    /// [`PacketError`].
    pub(super) fn next(&mut self) -> Result<Option<(u32, Reply)>, PacketError> {
        self.skip_noise()?;
        if !self.begun {
            return Ok(None);
        }
        let Some(length) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_PACKET_BYTES {
            return Err(PacketError::TooLong(length));
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        self.bytes.advance(4);
        let packet = self.bytes.split_to(length).freeze();
        parse(packet).map(Some).ok_or(PacketError::Malformed)
    }

    /// What came before the first packet, its beginning.
    pub(super) fn printed(&self) -> &[u8] {
        &self.printed
    }

    /// Whatever a login shell prints, zero bytes included: the first packet is where its length,
    /// type and version are those of `SSH_FXP_VERSION`.
    fn skip_noise(&mut self) -> Result<(), PacketError> {
        if self.begun {
            return Ok(());
        }
        let heads = self.bytes.windows(HEAD_BYTES);
        let first = heads.enumerate().find_map(|(at, head)| Some((at, Head::of(head)?)));
        if let Some((_, Head::Echo)) = first {
            return Err(PacketError::Echo);
        }
        let noise = match first {
            Some((at, _)) => at,
            // The first packet may begin in what is left.
            None => self.bytes.len().saturating_sub(HEAD_BYTES - 1),
        };
        let skipped = self.bytes.split_to(noise);
        let room = PRINTED_BYTES.saturating_sub(self.printed.len()).min(skipped.len());
        self.printed.extend_from_slice(&skipped[..room]);
        self.noise += noise;
        self.begun = first.is_some();
        if self.noise > MAX_NOISE_BYTES {
            return Err(PacketError::NoFirstPacket);
        }
        Ok(())
    }

    /// Takes down what is left as words: no first packet comes any more.
    pub(super) fn end(&mut self) {
        if !self.begun {
            let left = self.bytes.split();
            let room = PRINTED_BYTES.saturating_sub(self.printed.len()).min(left.len());
            self.printed.extend_from_slice(&left[..room]);
        }
    }
}

/// What the first bytes of a packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Version,
    /// It is `SSH_FXP_INIT`, which only a client sends.
    Echo,
}

impl Head {
    fn of(head: &[u8]) -> Option<Self> {
        let (length, head) = head.split_first_chunk::<4>()?;
        let (&kind, version) = head.split_first()?;
        let version = u32::from_be_bytes(*version.first_chunk::<4>()?);
        match (kind, u32::from_be_bytes(*length)) {
            (2, 5..=MAX_VERSION_BYTES) if (1..=6).contains(&version) => Some(Self::Version),
            (1, 5) if version == 3 => Some(Self::Echo),
            _ => None,
        }
    }
}

fn parse(mut packet: Bytes) -> Option<(u32, Reply)> {
    let kind = packet.try_get_u8().ok()?;
    let id = packet.try_get_u32().ok()?;
    let reply = match kind {
        2 => {
            let mut extensions = Vec::new();
            while packet.has_remaining() {
                extensions.push((string(&mut packet)?.to_vec(), string(&mut packet)?.to_vec()));
            }
            return Some((0, Reply::Version(extensions)));
        }
        101 => {
            let code = packet.try_get_u32().ok()?;
            // Old servers send no message.
            let message = string(&mut packet).unwrap_or_default();
            let message = String::from_utf8_lossy(&message).chars().take(MAX_MESSAGE).collect();
            Reply::Status { code, message }
        }
        102 => Reply::Handle(copied(&mut packet, MAX_HANDLE_BYTES)?),
        103 => Reply::Data(string(&mut packet)?),
        104 => {
            let count = packet.try_get_u32().ok()?;
            let mut names = Vec::new();
            for _ in 0..count {
                let name = copied(&mut packet, MAX_NAME_BYTES)?;
                string(&mut packet)?;
                names.push((name, attributes(&mut packet)?));
            }
            Reply::Names(names)
        }
        105 => Reply::Attributes(attributes(&mut packet)?),
        201 => Reply::Extended(packet),
        _ => return None,
    };
    Some((id, reply))
}

fn string(packet: &mut Bytes) -> Option<Bytes> {
    let length = packet.try_get_u32().ok()? as usize;
    (packet.remaining() >= length).then(|| packet.split_to(length))
}

/// A short string that is kept: a slice would keep its whole packet.
fn copied(packet: &mut Bytes, limit: usize) -> Option<Bytes> {
    let bytes = string(packet)?;
    (bytes.len() <= limit).then(|| Bytes::copy_from_slice(&bytes))
}

fn attributes(packet: &mut Bytes) -> Option<Attributes> {
    let flags = packet.try_get_u32().ok()?;
    let mut found = Attributes::default();
    if flags & HAS_SIZE != 0 {
        found.size = packet.try_get_u64().ok()?;
    }
    if flags & HAS_OWNER != 0 {
        found.owner = Some((packet.try_get_u32().ok()?, packet.try_get_u32().ok()?));
    }
    if flags & HAS_MODE != 0 {
        found.mode = packet.try_get_u32().ok()?;
    }
    if flags & HAS_TIMES != 0 {
        packet.try_get_u32().ok()?;
        found.modified = packet.try_get_u32().ok()?;
    }
    if flags & HAS_MORE != 0 {
        for _ in 0..packet.try_get_u32().ok()? {
            string(packet)?;
            string(packet)?;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version() -> Vec<u8> {
        let mut packet =
            Packet::new(RequestType::Init, 3).string(b"name").string(b"1").bytes().to_vec();
        packet[4] = 2;
        packet
    }

    #[test]
    fn what_a_shell_prints_before_is_passed_over() {
        let mut decoder = Decoder::default();
        decoder.push(b"Welcome!\nlength \xff\n");
        assert_eq!(decoder.next(), Ok(None));
        decoder.push(&version());
        let (_, Reply::Version(found)) = decoder.next().unwrap().unwrap() else { panic!() };
        assert_eq!(found, [(b"name".to_vec(), b"1".to_vec())]);
        assert_eq!(decoder.printed(), b"Welcome!\nlength \xff\n");
        let mut endless = Decoder::default();
        endless.push(&[b'x'; MAX_NOISE_BYTES + HEAD_BYTES]);
        assert!(endless.next().is_err());
    }

    #[test]
    fn a_zero_byte_in_what_a_shell_prints_is_no_packet() {
        for noise in
            [&b"\0"[..], b"\0\n", b"a\0\0b\n", b"\0\0\0\x05Hello", b"\0\0\0\x09\x02\0\0", b"\0\0\0"]
        {
            let bytes = [noise, &version()].concat();
            for cut in 0..bytes.len() {
                let mut decoder = Decoder::default();
                decoder.push(&bytes[..cut]);
                let early = decoder.next().unwrap();
                decoder.push(&bytes[cut..]);
                let found = early.or_else(|| decoder.next().unwrap());
                assert!(
                    matches!(found, Some((_, Reply::Version(_)))),
                    "{noise:?} {cut}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn what_sends_back_what_it_gets_is_no_server() {
        let mut decoder = Decoder::default();
        decoder.push(b"Hi\n");
        decoder.push(&Packet::new(RequestType::Init, 3).bytes());
        assert_eq!(decoder.next(), Err(PacketError::Echo));
    }

    #[test]
    fn a_packet_that_is_too_long_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&version());
        assert!(decoder.next().unwrap().is_some());
        decoder.push(&[0, 255, 255, 255]);
        assert!(decoder.next().is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder { begun: true, ..Decoder::default() };
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next() {}
        }

        /// However a stream is cut, its packets are the same.
        #[test]
        fn packets_survive_any_cut(data in prop::collection::vec(any::<u8>(), 0..200), at in 0..200usize) {
            let mut stream = version();
            let mut packet = Packet::new(RequestType::Init, 7).string(&data).bytes().to_vec();
            packet[4] = 103;
            stream.extend_from_slice(&packet);
            let at = at.min(stream.len());
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in [&stream[..at], &stream[at..]] {
                decoder.push(part);
                while let Some(packet) = decoder.next().unwrap() {
                    found.push(packet);
                }
            }
            prop_assert_eq!(found.len(), 2);
            prop_assert_eq!(&found[1], &(7, Reply::Data(data.into())));
        }
    }
}
