//! What other threads tell a worker.

use super::engine::Message;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, OnceLock};
use std::thread::{self, ThreadId};

/// A queue with a descriptor that becomes readable when something is in it.
pub(super) struct Inbox {
    queue: Mutex<Vec<Message>>,
    wake: EventFd,
    /// The worker's thread, which need not wake itself.
    owner: OnceLock<ThreadId>,
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
            owner: OnceLock::new(),
        })
    }

    /// Says that the worker runs on this thread.
    pub(super) fn claim(&self) {
        let _ = self.owner.set(thread::current().id());
    }

    /// Puts a message in and wakes the worker. The worker itself looks into its inbox after each batch of
    /// requests anyway.
    pub(super) fn post(&self, message: Message) {
        self.queue
            .lock()
            .expect("no panic while held")
            .push(message);
        if self.owner.get() != Some(&thread::current().id()) {
            // Only a counter at its end refuses, and then it is readable already.
            let _ = self.wake.write(1);
        }
    }

    /// Everything that came, oldest first, in exchange for an empty vector.
    pub(super) fn take(&self, taken: &mut Vec<Message>) {
        std::mem::swap(taken, &mut *self.queue.lock().expect("no panic while held"));
    }

    /// The worker is awake.
    pub(super) fn woken(&self) {
        let _ = self.wake.read();
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
