//! Packets of RFC 1350 and RFC 2347, from octets and back.
//!
//! ```text
//! RRQ/WRQ  0001|0002  name 00  mode 00  { option 00 value 00 }*
//! DATA     0003       block    0..=blksize octets
//! ACK      0004       block
//! ERROR    0005       code     text 00
//! OACK     0006       { option 00 value 00 }*
//! ```

use thiserror::Error;

/// Longest request that is looked at, in octets. RFC 2347 says 512; real clients with long paths and many
/// options go over it, and one Ethernet frame's payload (1500 - 20 - 8 - 4) bounds what a sane one can send.
pub const REQUEST_CAP: usize = 1468;

/// Longest error text kept or sent, in octets: what fits on two lines of a firmware's screen. Open TFTP Server
/// overflowed on longer ones (CVE-2008-2161), so neither do we send them nor keep them.
pub const ERROR_TEXT_CAP: usize = 128;

const OP_RRQ: u16 = 1;
const OP_WRQ: u16 = 2;
const OP_DATA: u16 = 3;
const OP_ACK: u16 = 4;
const OP_ERROR: u16 = 5;
const OP_OACK: u16 = 6;

/// Reads a request as it arrives on the well-known port.
///
/// The name is kept as the raw octets: what it may mean is for the caller's own grammar to say.
///
/// # Errors
///
/// [`Malformed`] for everything that gets no answer at all: other packet kinds, too long, cut off.
pub fn parse_request(datagram: &[u8]) -> Result<Request, Malformed> {
    if datagram.len() > REQUEST_CAP {
        return Err(Malformed::TooLong {
            length: datagram.len(),
        });
    }
    let (opcode, rest) = split_opcode(datagram).ok_or(Malformed::TooShort {
        length: datagram.len(),
    })?;
    let kind = match opcode {
        OP_RRQ => RequestKind::Read,
        OP_WRQ => RequestKind::Write,
        _ => return Err(Malformed::NotARequest { opcode }),
    };
    let (name, rest) = split_string(rest).ok_or(Malformed::NameUnterminated)?;
    if name.is_empty() {
        return Err(Malformed::NameEmpty);
    }
    let (mode, rest) = split_string(rest).ok_or(Malformed::ModeUnterminated)?;
    if mode.is_empty() {
        return Err(Malformed::ModeEmpty);
    }
    Ok(Request {
        kind,
        name: name.to_vec(),
        mode: Mode::parse(mode),
        options: parse_options(rest),
        wire_len: datagram.len(),
    })
}

/// A client's wish to read or write one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Read (RRQ) or write (WRQ).
    pub kind: RequestKind,
    /// The file name exactly as sent, without its NUL; never empty, any other octet is possible.
    pub name: Vec<u8>,
    /// Transfer mode.
    pub mode: Mode,
    /// Options in the client's order and spelling. The tail after the first broken pair is left out
    /// (a value without NUL, an empty name), as every tolerant server does.
    pub options: Vec<OptionPair>,
    /// Octets of the datagram it came in; bounds what may be sent back before the client proved its address.
    pub wire_len: usize,
}

impl Request {
    /// The ERROR that this request gets whatever file it names, or `None` when it can be served.
    ///
    /// Writing is switched off (ERROR 2); `mail` and unknown modes are no transfers (ERROR 4).
    #[must_use]
    pub fn refusal(&self) -> Option<ErrorPacket> {
        match (self.kind, self.mode) {
            (RequestKind::Write, _) => Some(ErrorPacket::new(
                ErrorCode::AccessViolation,
                "writing is not allowed here",
            )),
            (RequestKind::Read, Mode::Mail | Mode::Unknown) => Some(ErrorPacket::new(
                ErrorCode::IllegalOperation,
                "mode must be octet or netascii",
            )),
            (RequestKind::Read, Mode::Octet | Mode::Netascii) => None,
        }
    }

    /// Writes the request's octets to the end of `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let opcode = match self.kind {
            RequestKind::Read => OP_RRQ,
            RequestKind::Write => OP_WRQ,
        };
        out.extend_from_slice(&opcode.to_be_bytes());
        put_string(out, &self.name);
        put_string(out, self.mode.as_str().as_bytes());
        for option in &self.options {
            put_string(out, &option.name);
            put_string(out, &option.value);
        }
    }
}

/// Which way the file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// RRQ: the client wants the file.
    Read,
    /// WRQ: the client brings a file.
    Write,
}

/// Transfer mode, compared without regard to case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Octets as they are.
    Octet,
    /// Text with CR LF line ends on the wire (RFC 1350, RFC 764).
    Netascii,
    /// Obsolete; nobody serves it.
    Mail,
    /// Anything else.
    Unknown,
}

impl Mode {
    fn parse(octets: &[u8]) -> Self {
        if octets.eq_ignore_ascii_case(b"octet") {
            Self::Octet
        } else if octets.eq_ignore_ascii_case(b"netascii") {
            Self::Netascii
        } else if octets.eq_ignore_ascii_case(b"mail") {
            Self::Mail
        } else {
            Self::Unknown
        }
    }

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Octet => "octet",
            Self::Netascii => "netascii",
            Self::Mail => "mail",
            Self::Unknown => "unknown",
        }
    }
}

/// One option of a request or OACK, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionPair {
    /// Name in the sender's spelling, not empty.
    pub name: Vec<u8>,
    /// Value, without its NUL; may be empty (`multicast`).
    pub value: Vec<u8>,
}

/// Why a datagram on the well-known port gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Fewer than the two octets of an opcode.
    #[error("request of {length} octets has no opcode")]
    TooShort {
        /// Octets received.
        length: usize,
    },
    /// More than [`REQUEST_CAP`] octets.
    #[error("request of {length} octets is longer than {REQUEST_CAP}")]
    TooLong {
        /// Octets received.
        length: usize,
    },
    /// DATA, ACK, ERROR, OACK or nonsense: answering these makes loops between servers (CVE-2024-2169).
    #[error("opcode {opcode} is not a request")]
    NotARequest {
        /// The opcode received.
        opcode: u16,
    },
    /// File name without its NUL.
    #[error("file name is not terminated")]
    NameUnterminated,
    /// File name of no octets.
    #[error("file name is empty")]
    NameEmpty,
    /// Mode missing or without its NUL.
    #[error("mode is not terminated")]
    ModeUnterminated,
    /// Mode of no octets.
    #[error("mode is empty")]
    ModeEmpty,
}

impl Malformed {
    /// A short stable word for counters.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::TooShort { .. } => "too_short",
            Self::TooLong { .. } => "too_long",
            Self::NotARequest { .. } => "not_a_request",
            Self::NameUnterminated => "name_unterminated",
            Self::NameEmpty => "name_empty",
            Self::ModeUnterminated => "mode_unterminated",
            Self::ModeEmpty => "mode_empty",
        }
    }
}

/// A packet of a running transfer, borrowed from its datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A request again: clients that recycle ports send it to the transfer's own port.
    Request(Request),
    /// One block of the file.
    Data {
        /// Block number, modulo 65,536.
        block: u16,
        /// 0 to blksize octets; fewer than blksize ends the transfer.
        data: &'a [u8],
    },
    /// Acknowledgement of everything up to a block.
    Ack {
        /// Block number, modulo 65,536.
        block: u16,
    },
    /// The peer gives up, or only wanted the size.
    Error(ErrorPacket),
    /// Option acknowledgement of RFC 2347.
    Oack(Vec<OptionPair>),
}

impl<'a> Packet<'a> {
    /// Reads a datagram of a running transfer; `None` for what is to be ignored (shorter than four octets,
    /// unknown opcode): an ERROR 4 for such would start loops.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (opcode, rest) = split_opcode(datagram)?;
        match opcode {
            OP_RRQ | OP_WRQ => parse_request(datagram).ok().map(Self::Request),
            OP_OACK => Some(Self::Oack(parse_options(rest))),
            OP_DATA | OP_ACK | OP_ERROR => {
                let (number, rest) = split_opcode(rest)?;
                Some(match opcode {
                    OP_DATA => Self::Data {
                        block: number,
                        data: rest,
                    },
                    OP_ACK => Self::Ack { block: number },
                    _ => Self::Error(ErrorPacket {
                        code: ErrorCode::from_wire(number),
                        text: printable(rest),
                    }),
                })
            }
            _ => None,
        }
    }
}

/// Writes an ACK to the end of `out`.
pub fn encode_ack(block: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&OP_ACK.to_be_bytes());
    out.extend_from_slice(&block.to_be_bytes());
}

/// Writes the four octets in front of a DATA packet's content to the end of `out`.
pub fn encode_data_header(block: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&OP_DATA.to_be_bytes());
    out.extend_from_slice(&block.to_be_bytes());
}

/// Writes an OACK with these pairs, in this order, to the end of `out`.
pub fn encode_oack<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, out: &mut Vec<u8>) {
    out.extend_from_slice(&OP_OACK.to_be_bytes());
    for (name, value) in pairs {
        put_string(out, name);
        put_string(out, value);
    }
}

/// An ERROR packet: the end of a transfer, never acknowledged and never answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPacket {
    /// What went wrong.
    pub code: ErrorCode,
    /// For the person in front of the screen: printable ASCII, at most [`ERROR_TEXT_CAP`] octets, and in
    /// those we send never a path of the server.
    pub text: String,
}

impl ErrorPacket {
    /// An ERROR with this text, made printable and cut to [`ERROR_TEXT_CAP`] octets.
    #[must_use]
    pub fn new(code: ErrorCode, text: &str) -> Self {
        Self {
            code,
            text: printable(text.as_bytes()),
        }
    }

    /// Writes the packet to the end of `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&OP_ERROR.to_be_bytes());
        out.extend_from_slice(&self.code.to_wire().to_be_bytes());
        put_string(out, self.text.as_bytes());
    }

    /// The packet as one datagram.
    #[must_use]
    pub fn to_datagram(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(5 + self.text.len());
        self.encode(&mut out);
        out
    }
}

/// Error codes of RFC 1350 and RFC 2347.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// 0: see the text.
    Undefined,
    /// 1: no such file.
    FileNotFound,
    /// 2: not allowed.
    AccessViolation,
    /// 3: disk full or quota used up.
    DiskFull,
    /// 4: illegal operation.
    IllegalOperation,
    /// 5: unknown transfer id (the sender's port is not this transfer's).
    UnknownTransferId,
    /// 6: file exists already.
    FileExists,
    /// 7: no such user.
    NoSuchUser,
    /// 8: option negotiation refused; EDK2's way to end a size probe.
    OptionRefused,
    /// Any other number a peer made up.
    Other(u16),
}

impl ErrorCode {
    /// From the number on the wire.
    #[must_use]
    pub fn from_wire(number: u16) -> Self {
        match number {
            0 => Self::Undefined,
            1 => Self::FileNotFound,
            2 => Self::AccessViolation,
            3 => Self::DiskFull,
            4 => Self::IllegalOperation,
            5 => Self::UnknownTransferId,
            6 => Self::FileExists,
            7 => Self::NoSuchUser,
            8 => Self::OptionRefused,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> u16 {
        match self {
            Self::Undefined => 0,
            Self::FileNotFound => 1,
            Self::AccessViolation => 2,
            Self::DiskFull => 3,
            Self::IllegalOperation => 4,
            Self::UnknownTransferId => 5,
            Self::FileExists => 6,
            Self::NoSuchUser => 7,
            Self::OptionRefused => 8,
            Self::Other(number) => number,
        }
    }
}

fn split_opcode(octets: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = octets.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// The octets before the first NUL, and what follows it.
fn split_string(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = octets.iter().position(|&octet| octet == 0)?;
    Some((&octets[..end], &octets[end + 1..]))
}

/// Pairs up to the first broken one. atftpd read past such lists (CVE-2021-46671).
fn parse_options(mut rest: &[u8]) -> Vec<OptionPair> {
    let mut options = Vec::new();
    while let Some((name, after_name)) = split_string(rest) {
        let Some((value, after_value)) = split_string(after_name) else {
            break;
        };
        if name.is_empty() {
            break;
        }
        options.push(OptionPair {
            name: name.to_vec(),
            value: value.to_vec(),
        });
        rest = after_value;
    }
    options
}

fn put_string(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(octets);
    out.push(0);
}

/// Text up to its NUL with everything that could write into a log or terminal replaced.
fn printable(octets: &[u8]) -> String {
    octets
        .iter()
        .take(ERROR_TEXT_CAP)
        .take_while(|&&octet| octet != 0)
        .map(|&octet| match octet {
            0x20..=0x7e => char::from(octet),
            _ => '?',
        })
        .collect()
}
