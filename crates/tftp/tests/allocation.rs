//! Nothing is allocated per packet, counted by the allocator itself.

mod common;

use bytes::Bytes;
use common::{Served, ack, rrq};
use tftp::{Batch, Source};

/// Acknowledges `count` windows from block `first` on, and takes what each brings; the datagrams.
fn windows<S: Source>(served: &mut Served<S>, batch: &mut Batch, first: u16, count: u16) -> usize {
    let window = served.sender.agreed().windowsize;
    let mut datagrams = 0;
    for number in 0..count {
        let block = first + number * window;
        let acknowledgement = [0, 4, block.to_be_bytes()[0], block.to_be_bytes()[1]];
        served.sender.handle_datagram(served.now, &acknowledgement);
        while served.sender.poll_batch(served.now, batch, 64) {
            datagrams += batch.count();
            assert_eq!(batch.io_slices().count(), 2 * batch.count());
        }
    }
    datagrams
}

#[test]
fn a_window_from_memory_allocates_nothing() {
    for (mode, windowsize) in [("octet", 16), ("octet", 1), ("netascii", 16)] {
        let request = rrq("f", mode, &format!("blksize=1428 windowsize={windowsize}"));
        let mut served = Served::start(&request, Bytes::from(vec![7; 4 << 20]));
        let mut batch = Batch::new();
        served.sender.poll_batch(served.now, &mut batch, 64);
        windows(&mut served, &mut batch, 0, 4);
        let mut sent = 0;
        let allocated = allocation_counter::measure(|| {
            sent = windows(&mut served, &mut batch, 4 * windowsize, 100);
        });
        assert_eq!(sent, 100 * usize::from(windowsize), "{mode} {windowsize}");
        assert_eq!(allocated.count_total, 0, "{mode} {windowsize}");
    }
}

#[test]
fn datagrams_one_by_one_allocate_nothing() {
    let mut served = Served::start(
        &rrq("f", "octet", "windowsize=16"),
        Bytes::from(vec![7; 1 << 20]),
    );
    let (mut datagram, mut sent) = (Vec::new(), 0);
    served.sender.poll_transmit(served.now, &mut datagram);
    for window in 0..100_u16 {
        let acknowledgement = ack(window * 16);
        let allocated = allocation_counter::measure(|| {
            served.sender.handle_datagram(served.now, &acknowledgement);
            while served.sender.poll_transmit(served.now, &mut datagram) {
                sent += 1;
            }
        });
        assert!(window < 4 || allocated.count_total == 0, "window {window}");
    }
    assert_eq!(sent, 1_600);
}
