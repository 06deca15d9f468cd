//! Who is asking: set-up link, login, sessions, API tokens.

mod actor;
mod guard;
mod limit;
mod origin;
pub(crate) mod password;
mod session;

pub(crate) use actor::NotSignedIn;
pub use actor::{Actor, Via};
pub(crate) use guard::{form_encode, guard};
pub(crate) use session::{LIFETIME, clear_cookie, cookie, session_secret, set_cookie};

use limit::{Limiter, STRICT, WIDE};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::{Store, StoreError};

/// The secret of the one-time set-up link (`/setup?token=…`) for the program to print; `None`
/// once there is a user. Asking again voids the earlier link.
///
/// # Errors
/// Database failure.
pub async fn setup_token(store: &Store) -> Result<Option<String>, StoreError> {
    store.create_setup_secret().await
}

/// Sign-in limits and idle times; lives as long as the program.
pub(crate) struct Auth {
    /// By address, and by account and address.
    strict: Mutex<Limiter>,
    /// By account.
    wide: Mutex<Limiter>,
    idle: Mutex<session::Idle>,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            strict: Mutex::new(Limiter::new(STRICT)),
            wide: Mutex::new(Limiter::new(WIDE)),
            idle: Mutex::default(),
        }
    }
}

impl Auth {
    /// Takes one try at a password from the budgets of the address, of the account as tried from
    /// this address, and of the account in all.
    ///
    /// The last one is wide: if five wrong guesses from anywhere closed an account, anybody could
    /// lock its owner out.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn try_password(&self, from: IpAddr, account: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut strict = lock(&self.strict);
        strict.take(&address_key(from), now)?;
        strict.take(&pair_key(from, account), now)?;
        lock(&self.wide).take(&account.to_lowercase(), now)
    }

    /// The password was right: the try does not count.
    pub(crate) fn was_right(&self, from: IpAddr, account: &str) {
        let mut strict = lock(&self.strict);
        strict.give_back(&address_key(from));
        strict.give_back(&pair_key(from, account));
        lock(&self.wide).give_back(&account.to_lowercase());
    }

    fn idle(&self) -> MutexGuard<'_, session::Idle> {
        lock(&self.idle)
    }
}

fn address_key(from: IpAddr) -> String {
    format!("ip {}", network_of(from))
}

fn pair_key(from: IpAddr, account: &str) -> String {
    format!("pair {} {}", network_of(from), account.to_lowercase())
}

/// One IPv6 host owns at least a /64, so that is what counts as one address.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

/// These tables are valid after any panic: every update is a single assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn one_account_from_many_addresses_and_many_accounts_from_one_are_both_bounded() {
        let auth = Auth::default();
        let granted = (0..500).filter(|n| auth.try_password(address(*n), "root").is_ok());
        assert!(granted.count() <= 101);
        let auth = Auth::default();
        let granted = (0..50).filter(|n| auth.try_password(address(1), &format!("u{n}")).is_ok());
        assert!(granted.count() <= 10);
    }

    #[test]
    fn guessing_from_one_address_locks_nobody_out_at_another() {
        let auth = Auth::default();
        let granted = (0..1000).filter(|_| auth.try_password(address(1), "root").is_ok());
        assert!(granted.count() <= 10);
        assert!(auth.try_password(address(2), "root").is_ok());
    }

    #[test]
    fn the_spelling_of_a_name_or_address_is_no_second_budget() {
        let auth = Auth::default();
        let spellings = ["root", "ROOT", "Root"];
        let granted = (0..600).filter(|n| {
            let from = address(*n as u32);
            auth.try_password(from, spellings[n % 3]).is_ok()
        });
        assert!(granted.count() <= 101);
        let a: IpAddr = "2001:db8::1".parse().expect("address");
        let b: IpAddr = "2001:db8::ffff:2".parse().expect("address");
        assert_eq!(network_of(a), network_of(b));
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("address");
        assert_eq!(network_of(mapped), IpAddr::V4([10, 0, 0, 1].into()));
    }
}
