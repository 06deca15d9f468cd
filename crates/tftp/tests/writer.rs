//! The writer, datagram by datagram: what is acknowledged, when, and with what.

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{ack, beginning, block, error, oack, wrq};
use tftp::{Ask, ErrorCode, ErrorPacket, Limits, OutcomeKind, Put, Writer, parse_request, writer};

/// A write transfer with the time it lives in and the content it handed out.
struct Written {
    writer: Writer,
    now: Instant,
    received: Vec<u8>,
}

impl Written {
    fn start(options: &str) -> Self {
        Self::with(&wrq("up/x", "octet", options), u64::MAX)
    }

    fn with(datagram: &[u8], cap: u64) -> Self {
        let request = parse_request(datagram).expect("a request");
        let now = beginning();
        let writer = Writer::start(&request, cap, &Limits::default(), now).expect("it is taken");
        Self {
            writer,
            now,
            received: Vec::new(),
        }
    }

    fn handle(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.writer
            .handle_datagram(self.now, datagram, &mut self.received);
        self.transmit()
    }

    fn transmit(&mut self) -> Vec<Vec<u8>> {
        let (mut sent, mut out) = (Vec::new(), Vec::new());
        while self.writer.poll_transmit(&mut out) {
            sent.push(out.clone());
            assert!(sent.len() < 100, "it sends without end");
        }
        sent
    }

    /// Lets time pass; what is sent meanwhile.
    fn wait(&mut self, duration: Duration) -> Vec<Vec<u8>> {
        let (end, mut sent) = (self.now + duration, Vec::new());
        for _ in 0..1_000 {
            let Some(due) = self.writer.poll_timeout().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.writer.handle_timeout(self.now);
            sent.append(&mut self.transmit());
        }
        self.now = end;
        sent
    }

    fn kind(&self) -> Option<OutcomeKind> {
        self.writer.outcome().map(|outcome| outcome.kind)
    }
}

const FULL: [u8; 512] = [7; 512];

#[test]
fn without_options_ack_0_opens_and_each_block_is_acknowledged() {
    let mut written = Written::start("");
    assert_eq!(written.transmit(), [ack(0)]);
    assert!(!written.writer.is_proved());
    assert_eq!(written.handle(&block(1, &FULL)), [ack(1)]);
    assert!(written.writer.is_proved());
    assert_eq!(written.handle(&block(2, b"end")), [] as [Vec<u8>; 0]);
    assert!(written.writer.needs_commit());
    assert_eq!(written.kind(), None);
    written.writer.committed(written.now);
    assert_eq!(written.transmit(), [ack(2)]);
    assert_eq!(written.kind(), Some(OutcomeKind::Completed));
    assert_eq!(written.received, [&FULL[..], b"end"].concat());
}

#[test]
fn options_are_answered_in_the_clients_order_and_spelling() {
    let mut written =
        Written::start("tSize=0700 blksize=65464 timeout=3 multicast= windowsize=200");
    let answer = oack("tSize=0700 blksize=1468 timeout=3 windowsize=16");
    assert_eq!(written.transmit(), [answer]);
    assert_eq!(written.writer.agreed().tsize, Some(700));
    let mut only = Written::start("foo=bar blksize=7");
    assert_eq!(only.transmit(), [ack(0)]);
}

#[test]
fn windows_are_acknowledged_at_their_end_and_at_the_short_block() {
    let mut written = Written::start("windowsize=3");
    written.transmit();
    let mut acks = |number: u16, content: &[u8]| written.handle(&block(number, content)).len();
    let counts: Vec<usize> = (1..=6).map(|number| acks(number, &FULL)).collect();
    assert_eq!(counts, [0, 0, 1, 0, 0, 1]);
    assert_eq!(acks(7, b"short"), 0);
    written.writer.committed(written.now);
    assert_eq!(written.transmit(), [ack(7)]);
}

#[test]
fn a_gap_is_answered_once_with_what_is_here() {
    let mut written = Written::start("windowsize=4");
    written.transmit();
    written.handle(&block(1, &FULL));
    assert_eq!(written.handle(&block(3, &FULL)), [ack(1)]);
    assert!(written.handle(&block(4, &FULL)).is_empty());
    // The client goes back: a new window from 2 on.
    for number in 2..=4 {
        assert!(written.handle(&block(number, &FULL)).is_empty());
    }
    assert_eq!(written.handle(&block(5, &FULL)), [ack(5)]);
    // The ACK was lost and the window comes again: one more, at its end.
    let again: Vec<_> = (2..=5)
        .flat_map(|number| written.handle(&block(number, &FULL)))
        .collect();
    assert_eq!(again, [ack(5)]);
}

/// The complaint was lost: the client goes back further than it was asked to, and its window ends elsewhere than ours.
#[test]
fn a_complaint_that_was_lost_is_sent_once_more() {
    let mut written = Written::start("windowsize=8");
    written.transmit();
    for number in 1..=3 {
        assert!(written.handle(&block(number, &FULL)).is_empty());
    }
    assert_eq!(written.handle(&block(5, &FULL)), [ack(3)]);
    assert!(written.handle(&block(6, &FULL)).is_empty());
    assert_eq!(written.handle(&block(1, &FULL)), [ack(3)]);
    assert!(written.handle(&block(2, &FULL)).is_empty(), "once");
}

#[test]
fn silence_is_asked_into_and_ends_in_a_timeout() {
    let mut written = Written::start("");
    written.transmit();
    written.handle(&block(1, &FULL));
    let sent = written.wait(Duration::from_secs(120));
    assert_eq!(sent, vec![ack(1); 5]);
    assert_eq!(written.kind(), Some(OutcomeKind::TimedOut));
    assert!(written.writer.is_closed());
}

/// The source of a request is easily forged.
#[test]
fn a_client_that_never_answers_costs_three_datagrams() {
    let mut written = Written::start("blksize=1024");
    let mut sent = written.transmit();
    sent.append(&mut written.wait(Duration::from_secs(60)));
    assert_eq!(sent, vec![oack("blksize=1024"); 3]);
    assert!(written.writer.is_closed());
}

#[test]
fn the_last_ack_is_repeated_to_a_client_that_lost_it_and_never_before_it_is_durable() {
    let mut written = Written::start("");
    written.transmit();
    assert!(written.handle(&block(1, b"all")).is_empty());
    assert!(written.handle(&block(1, b"all")).is_empty());
    assert!(written.wait(Duration::from_secs(100)).is_empty());
    written.writer.committed(written.now);
    assert_eq!(written.transmit(), [ack(1)]);
    assert_eq!(written.handle(&block(1, b"all")), [ack(1)]);
    assert_eq!(written.handle(&block(1, b"all")), [ack(1)]);
    assert_eq!(written.received, b"all");
    // The disk took 100 s, the client's timer doubled meanwhile: the port stays for longer than usual.
    written.wait(Duration::from_secs(50));
    assert!(!written.writer.is_closed());
    written.wait(Duration::from_secs(11));
    assert!(written.writer.is_closed());
}

#[test]
fn what_cannot_be_kept_is_said_and_said_again_while_the_client_goes_on() {
    let full = ErrorPacket::new(ErrorCode::DiskFull, "no space left");
    let mut written = Written::start("");
    written.transmit();
    written.handle(&block(1, &FULL));
    written
        .writer
        .fail(written.now, full.clone(), "no space left on device");
    assert_eq!(written.transmit(), [full.to_datagram()]);
    let reason = "no space left on device".to_owned();
    assert_eq!(written.kind(), Some(OutcomeKind::WriteFailed { reason }));
    let repeated: usize = (0..50)
        .map(|_| written.handle(&block(2, &FULL)).len())
        .sum();
    assert_eq!(repeated, 3);
    assert_eq!(written.received.len(), 512, "nothing more is taken");
    written.wait(Duration::from_secs(4));
    assert!(written.writer.is_closed());
}

/// Also when the last block came and only making it durable failed.
#[test]
fn a_commit_that_fails_is_an_error_and_no_ack() {
    let mut written = Written::start("");
    written.transmit();
    written.handle(&block(1, b"all"));
    let exists = ErrorPacket::new(ErrorCode::FileExists, "it exists already");
    written.writer.fail(written.now, exists.clone(), "exists");
    assert_eq!(written.transmit(), [exists.to_datagram()]);
    written.writer.committed(written.now);
    assert!(written.transmit().is_empty());
}

#[test]
fn more_than_allowed_is_refused_at_once_when_announced_and_else_when_it_comes() {
    let request = parse_request(&wrq("x", "octet", "tsize=1001")).expect("a request");
    let refused = Writer::start(&request, 1_000, &Limits::default(), beginning());
    let error = refused.expect_err("it is too large");
    assert_eq!(error.code, ErrorCode::DiskFull);
    assert_eq!(error.text, "larger than the 1000 bytes that are allowed");

    let mut written = Written::with(&wrq("x", "octet", "tsize=0"), 1_000);
    written.transmit();
    assert_eq!(written.handle(&block(1, &FULL)), [ack(1)]);
    assert_eq!(written.handle(&block(2, &FULL)), [error.to_datagram()]);
    assert_eq!(written.kind(), Some(OutcomeKind::TooLarge { cap: 1_000 }));
    assert_eq!(written.received.len(), 512);
}

#[test]
fn exactly_what_is_allowed_is_taken() {
    for options in ["tsize=515", "tsize=0", ""] {
        let mut written = Written::with(&wrq("x", "octet", options), 515);
        written.transmit();
        assert_eq!(written.handle(&block(1, &FULL)), [ack(1)], "{options}");
        assert!(written.handle(&block(2, b"end")).is_empty(), "{options}");
        assert!(written.writer.needs_commit(), "{options}");
    }
}

#[test]
fn a_length_other_than_announced_is_no_upload() {
    let mut written = Written::start("tsize=100");
    written.transmit();
    let sent = written.handle(&block(1, b"too short"));
    assert_eq!(sent, [error(0, "100 bytes announced, 9 came")]);
    assert!(!written.writer.needs_commit());

    let mut unknown = Written::start("tsize=0");
    unknown.transmit();
    assert!(unknown.handle(&block(1, b"content")).is_empty());
    assert!(unknown.writer.needs_commit());
}

#[test]
fn what_is_announced() {
    let told = |options| {
        let request = parse_request(&wrq("x", "octet", options)).expect("a request");
        writer::announced(&request)
    };
    assert_eq!(told("TSIZE=5000"), Some(5_000));
    assert_eq!(told("tsize=0"), None);
    assert_eq!(told("tsize=-1"), None, "curl with a pipe as its input");
    assert_eq!(told("blksize=512"), None);
}

#[test]
fn a_held_writer_takes_one_window_more_and_asks_for_none() {
    let mut written = Written::start("windowsize=2");
    written.transmit();
    written.handle(&block(1, &FULL));
    written.writer.hold();
    assert!(written.handle(&block(2, &FULL)).is_empty());
    assert!(written.wait(Duration::from_secs(300)).is_empty());
    assert_eq!(
        written.kind(),
        None,
        "a slow disk is not the client's silence"
    );
    written.writer.release(written.now);
    assert_eq!(written.transmit(), [ack(2)]);
    assert_eq!(written.wait(Duration::from_millis(1_100)), [ack(2)]);
}

/// It sends block after block whatever is acknowledged: nothing but dropping bounds what is taken.
#[test]
fn a_client_that_does_not_wait_for_acks_fills_no_memory_while_the_writer_is_held() {
    for windowsize in [1, 4] {
        let mut written = Written::start(&format!("windowsize={windowsize}"));
        written.transmit();
        written.handle(&block(1, &FULL));
        written.writer.hold();
        for number in 2..1_000 {
            assert!(written.handle(&block(number, &FULL)).is_empty());
        }
        let most = (windowsize + 1) * FULL.len();
        assert!(
            written.received.len() <= most,
            "{} at windows of {windowsize}",
            written.received.len()
        );
        assert!(written.writer.is_full());
        let here = u16::try_from(written.received.len() / FULL.len()).expect("few");
        written.writer.release(written.now);
        assert_eq!(written.transmit(), [ack(here)]);
        // From where the ACK says it goes on, and nothing was lost in between.
        written.handle(&block(here + 1, b"end"));
        assert!(written.writer.needs_commit());
        let whole = [FULL.repeat(usize::from(here)), b"end".to_vec()].concat();
        assert!(written.received == whole);
    }
}

/// Else one octet more than announced would keep a port for two of the longest timeouts there are.
#[test]
fn a_refusal_does_not_linger_as_long_as_the_client_wants() {
    let mut written = Written::start("tsize=2 timeout=255");
    written.transmit();
    let sent = written.handle(&block(1, b"x"));
    assert_eq!(sent, [error(0, "2 bytes announced, 1 came")]);
    assert!(!written.writer.is_closed(), "the ERROR may be lost");
    written.wait(Duration::from_secs(4));
    assert!(written.writer.is_closed());
}

#[test]
fn a_request_that_comes_again_repeats_the_opening() {
    let request = wrq("up/x", "octet", "blksize=1024");
    let opening = oack("blksize=1024");
    let mut written = Written::start("blksize=1024");
    written.transmit();
    written.writer.repeat_first();
    assert_eq!(written.transmit(), std::slice::from_ref(&opening));
    assert!(!written.writer.is_proved());
    // To the transfer's own port: the client is real.
    assert_eq!(written.handle(&request), [opening]);
    assert!(written.writer.is_proved());
    // Without options: it rejects what was offered.
    assert_eq!(written.handle(&wrq("up/x", "octet", "")), [ack(0)]);
    assert_eq!(written.handle(&block(1, &FULL)), [ack(1)]);
    assert!(written.handle(&request).is_empty(), "too late");
}

#[test]
fn an_error_of_the_client_ends_it_unless_all_is_here() {
    let mut written = Written::start("");
    written.transmit();
    assert!(written.handle(&error(0, "stopped")).is_empty());
    assert!(written.writer.is_closed());

    let mut late = Written::start("");
    late.transmit();
    late.handle(&block(1, b"all"));
    late.handle(&error(0, "stopped"));
    assert!(late.writer.needs_commit());
}

#[test]
fn modes_that_are_none_are_refused() {
    let request = parse_request(&wrq("x", "mail", "")).expect("a request");
    let refused = Writer::start(&request, 1, &Limits::default(), beginning());
    assert_eq!(
        refused.expect_err("no mode").code,
        ErrorCode::IllegalOperation
    );
}

#[test]
fn oversized_and_senseless_datagrams_change_nothing() {
    let mut written = Written::start("");
    written.transmit();
    for datagram in [
        &block(1, &[1; 513])[..],
        &block(5, &FULL),
        &block(0, &FULL),
        &ack(0),
        &oack("blksize=8"),
        &[0, 3, 0],
        &[0, 9, 0, 1],
        &[],
    ] {
        assert!(written.handle(datagram).is_empty(), "{datagram:?}");
    }
    assert!(written.received.is_empty());
    assert_eq!(written.handle(&block(1, b"x")), [] as [Vec<u8>; 0]);
    assert!(written.writer.needs_commit());
}

#[test]
fn a_put_asks_in_octets_and_takes_only_what_it_asked_for() {
    let ask = Ask {
        blksize: Some(1024),
        tsize: true,
        ..Ask::plain("sw1.cfg")
    };
    let limits = Limits::default();
    let mut out = Vec::new();
    let mut put = Put::start(
        ask.clone(),
        Bytes::from(vec![1; 1_500]),
        &limits,
        beginning(),
    );
    assert!(put.poll_transmit(beginning(), &mut out));
    assert_eq!(out, wrq("sw1.cfg", "octet", "tsize=1500 blksize=1024"));
    assert!(!put.poll_transmit(beginning(), &mut out));
    put.handle_datagram(beginning(), &oack("blksize=600"));
    assert!(put.poll_transmit(beginning(), &mut out));
    assert_eq!(out, block(1, &[1; 600]));

    let mut put = Put::start(ask, Bytes::from(vec![1; 1_500]), &limits, beginning());
    put.poll_transmit(beginning(), &mut out);
    put.handle_datagram(beginning(), &oack("windowsize=2"));
    assert!(put.poll_transmit(beginning(), &mut out));
    assert_eq!(out, error(8, "option windowsize=2 was not asked for"));
    assert!(put.is_closed());
}
