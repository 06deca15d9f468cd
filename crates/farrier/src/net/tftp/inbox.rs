//! What other threads tell a worker.

use super::engine::Message;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;

/// A queue with a descriptor that becomes readable when something is in it.
pub(super) struct Inbox {
    queue: Mutex<Vec<Message>>,
    wake: EventFd,
}

impl Inbox {
    /// # Errors
    /// When the system is out of descriptors.
    pub(super) fn new() -> std::io::Result<Inbox> {
        let wake =
            EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Inbox {
            queue: Mutex::default(),
            wake,
        })
    }

    pub(super) fn post(&self, message: Message) {
        let mut queue = self.queue.lock().expect("no panic while held");
        queue.push(message);
        if queue.len() == 1 {
            // Only a counter at its end refuses, and then it is readable already.
            let _ = self.wake.write(1);
        }
    }

    /// Everything that came, oldest first.
    pub(super) fn take(&self) -> Vec<Message> {
        let _ = self.wake.read();
        std::mem::take(&mut *self.queue.lock().expect("no panic while held"))
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
