//! What dhcproto, a decoder that is not ours, reads in our answers.

mod common;

use common::{Verdict, broadcast, serve, unicast};
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder};
use std::net::{Ipv4Addr, SocketAddrV4};
use testkit::packet::{LEASE, Packet, SERVER};
use testkit::site::std_catalog;

fn read(verdict: Verdict) -> Message {
    let Verdict::Reply(reply) = verdict else {
        panic!("no answer: {verdict:?}");
    };
    Message::decode(&mut Decoder::new(&reply.bytes)).expect("dhcproto reads it")
}

#[test]
fn dhcproto_reads_what_we_mean() {
    let mut relayed = Packet::d0();
    relayed.giaddr = Ipv4Addr::new(10, 44, 0, 1);
    relayed.flags = 0;
    let (d0, r0) = (Packet::d0(), Packet::r0());
    let from = SocketAddrV4::new(LEASE, 4011);
    for (asked, kind, bytes) in [
        (&d0, MessageType::Offer, d0.encode()),
        (&relayed, MessageType::Offer, relayed.encode()),
        (&r0, MessageType::Ack, r0.encode()),
    ] {
        let received = match kind {
            MessageType::Offer => broadcast(&bytes, SERVER),
            _ => unicast(&bytes, from, SERVER),
        };
        let answer = read(serve(&received, &std_catalog()));
        assert_eq!(answer.opcode(), Opcode::BootReply);
        assert_eq!((answer.xid(), answer.chaddr()), (asked.xid, &asked.mac[..]));
        assert_eq!((answer.hops(), answer.secs()), (0, 0));
        assert_eq!(answer.yiaddr(), Ipv4Addr::UNSPECIFIED);
        assert_eq!((answer.siaddr(), answer.giaddr()), (SERVER, asked.giaddr));
        assert_eq!(answer.ciaddr(), asked.ciaddr);
        assert_eq!(answer.flags().broadcast(), asked.ciaddr.is_unspecified());
        assert_eq!(answer.fname(), Some(&b"snponly.efi\0"[..]));
        let options = answer.opts();
        assert_eq!(options.msg_type(), Some(kind));
        let server = options.get(OptionCode::ServerIdentifier);
        assert_eq!(server, Some(&DhcpOption::ServerIdentifier(SERVER)));
        let class = options.get(OptionCode::ClassIdentifier);
        let expected = DhcpOption::ClassIdentifier(b"PXEClient".to_vec());
        assert_eq!(class, Some(&expected));
    }
}
