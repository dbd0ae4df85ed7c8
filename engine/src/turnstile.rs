//! The turnstile: who may connect, counted over all ports of an engine.
//!
//! ```text
//! a token of the bucket ─▶ accept ─▶ the total ─▶ the network (/24, /64) ─▶ a connection, counted until it ends
//! ```
//!
//! Unit: one engine; asked once a connection, never for a document.
//!
//! Invariants: a connection that was let in is counted until [`Turnstile::leave`], once in the total and once in its
//! network; a network without connections costs no memory (test: turnstile::tests::what_leaves_is_forgotten).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::Limits;

/// A /24 of IPv4 (mapped, so that families do not meet) or a /64 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network([u8; 15]);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        let mut network = [0; 15];
        let (octets, kept) = match address.to_canonical() {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped().octets(), 15),
            IpAddr::V6(v6) => (v6.octets(), 8),
        };
        for (place, octet) in network.iter_mut().zip(octets.into_iter().take(kept)) {
            *place = octet;
        }
        Self(network)
    }
}

/// Why nobody else is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Total,
    Network,
}

#[derive(Debug, Default)]
struct Inside {
    total: u64,
    networks: BTreeMap<Network, u64>,
    bucket: Bucket,
}

/// Tokens for new connections, in millionths, so that no rate is lost by rounding. A second's worth fits in.
#[derive(Debug, Default)]
struct Bucket {
    millionths: u64,
    filled_us: Option<u64>,
}

impl Bucket {
    /// Takes a token, or says after how many microseconds there is one.
    fn take(&mut self, now_us: u64, per_s: u64) -> Result<(), u64> {
        const ONE: u64 = 1_000_000;
        let most = per_s.saturating_mul(ONE);
        let passed_us = self.filled_us.map_or(ONE, |filled_us| now_us.saturating_sub(filled_us));
        self.filled_us = Some(now_us);
        self.millionths = self.millionths.saturating_add(passed_us.saturating_mul(per_s)).min(most);
        match self.millionths.checked_sub(ONE) {
            Some(left) => {
                self.millionths = left;
                Ok(())
            }
            None => Err(ONE.saturating_sub(self.millionths).div_ceil(per_s.max(1))),
        }
    }
}

/// The turnstile of one engine.
#[derive(Debug, Default)]
pub(crate) struct Turnstile {
    inside: Mutex<Inside>,
}

impl Turnstile {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// May a connection be accepted now? Otherwise in how many microseconds.
    pub(crate) fn pace(&self, limits: &Limits, now_us: u64) -> Result<(), u64> {
        self.inside().bucket.take(now_us, limits.accepts_per_s)
    }

    /// Lets a connection in.
    pub(crate) fn enter(&self, limits: &Limits, address: IpAddr) -> Result<Network, Full> {
        let network = Network::of(address);
        let mut inside = self.inside();
        if inside.total >= limits.connections_max {
            return Err(Full::Total);
        }
        let known = inside.networks.get(&network).copied().unwrap_or_default();
        if known >= limits.network_connections_max {
            return Err(Full::Network);
        }
        inside.networks.insert(network, known.saturating_add(1));
        inside.total = inside.total.saturating_add(1);
        Ok(network)
    }

    /// A connection has ended.
    pub(crate) fn leave(&self, network: Network) {
        let mut inside = self.inside();
        inside.total = inside.total.saturating_sub(1);
        if let Some(known) = inside.networks.get_mut(&network) {
            *known = known.saturating_sub(1);
            if *known == 0 {
                inside.networks.remove(&network);
            }
        }
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> u64 {
        self.inside().total
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// One network must not take the places of all, and its neighbour must not be taken for it.
    #[test]
    fn a_network_is_a_24_or_a_64_and_has_a_cap_of_its_own() {
        let limits = Limits { connections_max: 5, network_connections_max: 2, ..Limits::default() };
        let turnstile = Turnstile::default();
        let first = turnstile.enter(&limits, address("10.0.0.1")).unwrap();
        // The same network, written as IPv6.
        assert_eq!(turnstile.enter(&limits, address("::ffff:10.0.0.200")), Ok(first));
        assert_eq!(turnstile.enter(&limits, address("10.0.0.7")), Err(Full::Network));
        assert!(turnstile.enter(&limits, address("10.0.1.7")).is_ok());
        assert!(turnstile.enter(&limits, address("2001:db8::1")).is_ok());
        assert!(turnstile.enter(&limits, address("2001:db8:0:0:ffff::2")).is_ok());
        assert_eq!(turnstile.enter(&limits, address("2001:db8:0:1::2")), Err(Full::Total));
        turnstile.leave(first);
        assert_eq!(turnstile.enter(&limits, address("2001:db8::5")), Err(Full::Network));
        assert!(turnstile.enter(&limits, address("10.0.0.7")).is_ok());
    }

    /// An attacker with many addresses must not leave memory behind.
    #[test]
    fn what_leaves_is_forgotten() {
        let (limits, turnstile) = (Limits::default(), Turnstile::default());
        for third in 0..=255u8 {
            let network = turnstile.enter(&limits, IpAddr::from([10, 0, third, 1])).unwrap();
            assert_eq!(turnstile.open(), 1);
            turnstile.leave(network);
        }
        assert_eq!(turnstile.open(), 0);
        assert!(turnstile.inside().networks.is_empty());
    }

    /// The bucket holds a second's worth, says how long to wait, and loses no token to rounding.
    #[test]
    fn new_connections_come_at_the_rate_and_no_faster() {
        let limits = Limits { accepts_per_s: 3, ..Limits::default() };
        let turnstile = Turnstile::default();
        let burst = (0..10).filter(|_| turnstile.pace(&limits, 5_000_000).is_ok()).count();
        assert_eq!(burst, 3);
        assert_eq!(turnstile.pace(&limits, 5_000_000), Err(333_334));
        assert_eq!(turnstile.pace(&limits, 5_333_333), Err(1));
        assert_eq!(turnstile.pace(&limits, 5_333_334), Ok(()));
        let mut taken = 0;
        for ms in 0..10_000 {
            taken += usize::from(turnstile.pace(&limits, 6_000_000 + ms * 1_000).is_ok());
        }
        assert!((30..=33).contains(&taken), "{taken} in ten seconds");
    }
}
