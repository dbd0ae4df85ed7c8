//! Signed webhooks: each delivery is a POST of its JSON to the URL of the subscription.
//!
//! ```text
//! POST /hook HTTP/1.1
//! Content-Type: application/json
//! X-Ofd-Delivery: 5f0c2b7791aa03de            the id of the delivery: the same again is the same delivery
//! X-Ofd-Timestamp: 1772445600                 seconds since 1970 when this attempt was made
//! X-Ofd-Signature: k2=9f86d0…, k1=60303a…     by key id: HMAC-SHA256 in hex over timestamp, a dot and the body
//! ```
//!
//! The file of secrets has a line for each key, `<key id> <secret>`, the newest first, 4 at most. It is read for each delivery:
//! a new key is put in front, receivers take it over while both sign, then the old line goes.
//!
//! A receiver answers 2xx when it has it. 410 ends it for good; anything else is tried again.
//!
//! What keeps it from being turned against our own network: only `https`, unless the options say otherwise; no redirects, no
//! proxy; addresses that are not public are refused where the name leads to, behind the look-up; answers are bounded and not kept.
//!
//! Invariants: a signature is what the documentation says (test: `the_signature_is_that_of_the_documentation`); nothing inside our
//! network is reached (test: `addresses_of_inner_networks_are_no_targets`).
//!
//! Source: RFC 2104 (HMAC); RFC 6890 (addresses for special use).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::machine::{Pool, now_s};
use crate::error::{Error, ErrorKind};
use crate::host::{Answering, Channel, Delivery, DeliveryOutcome};
use crate::secrets::{client_tls, read_secret};

/// Below the time-out of a channel: a thread is never left behind.
const TIMEOUT: Duration = Duration::from_secs(25);
/// Keys that sign at once.
const KEYS_MAX: usize = 4;
/// What is read of an answer, bytes, so that its connection can be used again.
const ANSWER_LEN_MAX: u64 = 16 * 1024;

/// How webhooks are made.
#[derive(Clone, Debug, Default)]
pub struct WebhookOptions {
    /// The file of secrets.
    pub secret_file: PathBuf,
    /// Deliveries at once, 1..=128; 0 = 16.
    pub threads: usize,
    /// Targets in inner networks are allowed: for tests, and for receivers of the same house.
    pub inner_networks: bool,
    /// Targets without TLS are allowed.
    pub plain_http: bool,
    /// PEM of the authorities that certify receivers; none: those that browsers trust.
    pub authority_file: Option<PathBuf>,
}

/// The channel.
pub struct Webhook {
    pool: Pool,
    maker: Arc<Maker>,
}

struct Maker {
    agent: ureq::Agent,
    options: WebhookOptions,
}

impl Webhook {
    /// # Errors
    /// `Fix` when the secrets or the authorities cannot be read; of the system.
    pub fn new(options: WebhookOptions) -> Result<Self, Error> {
        let fix = |what: &str, error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Fix, format!("webhooks: {what}: {error}"))
        };
        let text = read_secret(&options.secret_file).map_err(|error| fix("the secrets", &error))?;
        keys(&text).map_err(|error| fix("the secrets", &error))?;
        let tls = client_tls(options.authority_file.as_deref(), None);
        let tls = tls.map_err(|error| fix("TLS", &error))?;
        let config = Config::builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .https_only(!options.plain_http)
            .proxy(None)
            .max_response_header_size(16 * 1024)
            .user_agent("ofd-engine")
            .tls_config(tls)
            .build();
        let resolver =
            OuterResolver { inner_networks: options.inner_networks, lookup: DefaultResolver::default() };
        let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), resolver);
        let threads = if options.threads == 0 { 16 } else { options.threads.min(128) };
        let pool = Pool::new("ofd-webhook", threads).map_err(|error| fix("threads", &error))?;
        Ok(Self { pool, maker: Arc::new(Maker { agent, options }) })
    }
}

impl Channel for Webhook {
    fn deliver(&self, delivery: Delivery) -> Answering<DeliveryOutcome> {
        let maker = Arc::clone(&self.maker);
        self.pool.run(move || maker.post(&delivery))
    }

    fn at_once_max(&self) -> usize {
        self.pool.threads()
    }
}

impl Maker {
    fn post(&self, delivery: &Delivery) -> DeliveryOutcome {
        if !is_target(&delivery.to, self.options.plain_http) {
            return DeliveryOutcome::Refused;
        }
        let keys = read_secret(&self.options.secret_file).ok().and_then(|text| keys(&text).ok());
        let Some(keys) = keys else {
            tracing::error!("alarm: the secrets of webhooks cannot be read");
            return DeliveryOutcome::Retry;
        };
        let at_s = now_s();
        let sent = self
            .agent
            .post(&delivery.to)
            .header("content-type", "application/json")
            .header("x-ofd-delivery", format!("{:016x}", delivery.id))
            .header("x-ofd-timestamp", at_s.to_string())
            .header("x-ofd-signature", signatures(&keys, at_s, &delivery.body))
            .send(&delivery.body[..]);
        match sent {
            Ok(mut answer) => {
                let status = answer.status().as_u16();
                // Not looked at, read for the sake of the connection only.
                let _ = answer.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec();
                match status {
                    200..=299 => DeliveryOutcome::Delivered,
                    410 => DeliveryOutcome::Refused,
                    _ => DeliveryOutcome::Retry,
                }
            }
            // An error of the library may hold the address, so it is not logged.
            Err(_) => DeliveryOutcome::Retry,
        }
    }
}

/// Whether a URL can be a target at all: of the right scheme, with a host and without a user.
fn is_target(to: &str, plain_http: bool) -> bool {
    let Ok(uri) = to.parse::<Uri>() else { return false };
    let scheme = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => plain_http,
        _ => false,
    };
    scheme && uri.authority().is_some_and(|it| !it.host().is_empty() && !it.as_str().contains('@'))
}

/// Key ids and secrets of a file.
fn keys(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
    let key = |line: &str| {
        let (id, secret) = line.split_once(char::is_whitespace)?;
        let fits = id.len() <= 32 && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it));
        let secret = secret.trim();
        (fits && secret.len() >= 16).then(|| (id.to_owned(), secret.to_owned()))
    };
    let keys: Option<Vec<_>> = lines.map(key).collect();
    match keys {
        Some(keys) if (1..=KEYS_MAX).contains(&keys.len()) => Ok(keys),
        _ => Err("a line a key, 1 to 4 of them: its id, a space, a secret of 16 bytes at least"),
    }
}

fn signatures(keys: &[(String, String)], at_s: u64, body: &[u8]) -> String {
    let one = |(id, secret): &(String, String)| {
        // A key of any length will do.
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
        mac.update(at_s.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        let digest = mac.finalize().into_bytes();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("{id}={hex}"))
    };
    keys.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

/// Leaves nothing but public addresses of what a name leads to.
#[derive(Debug)]
struct OuterResolver {
    inner_networks: bool,
    lookup: DefaultResolver,
}

impl Resolver for OuterResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.lookup.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in found.iter().filter(|it| self.inner_networks || is_public(it.ip())) {
            allowed.push(*address);
        }
        if allowed.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(allowed) }
    }
}

/// Whether an address is one of the public network.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => is_public_v4(it),
        IpAddr::V6(it) => is_public_v6(it),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, _, _)
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inside) = address.to_ipv4() {
        return is_public_v4(inside);
    }
    let [first, second, ..] = address.segments();
    match (first, second) {
        // Translated from IPv4, tunnels and documentation.
        (0x64, 0xFF9B) | (0x2001, 0..=0x1FF | 0xDB8) | (0x2002 | 0x3FFF, _) => false,
        // Global unicast; all else is for special use.
        (0x2000..=0x3FFF, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // Receivers verify it with ten lines of their own; the digests are those of Python's hmac module.
    #[test]
    fn the_signature_is_that_of_the_documentation() {
        let keys = keys("# newest first\nk2 correct horse battery staple\n\n k1\tanother secret of ours \n")
            .unwrap();
        assert_eq!(
            signatures(&keys, 1_772_445_600, b"{\"id\":\"1\"}"),
            "k2=c6e657aff2ea2ab0af7bad8511de0e0b5741ff0a5c55b13cbc7d5a31a8ff2ebc, k1=6cfc9d10bf3317f9d166e07758b3627ad8034afcfacac1a54e15166fe1f67d19"
        );
    }

    #[test]
    fn a_file_of_secrets_that_does_not_fit_is_refused() {
        for text in ["", "k1", "k1 short", "k/1 0123456789abcdef", "# only this"] {
            assert!(keys(text).is_err(), "{text}");
        }
        let five: String = (0..5).map(|it| format!("k{it} 0123456789abcdef\n")).collect();
        assert!(keys(&five).is_err());
    }

    // A subscription names any URL, and we call it from inside.
    #[test]
    fn addresses_of_inner_networks_are_no_targets() {
        for inner in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:a00:1::",
        ] {
            assert!(!is_public(inner.parse().unwrap()), "{inner}");
        }
        for outer in [
            "8.8.8.8",
            "77.88.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "192.1.0.1",
            "2a02:6b8::1",
            "2600::1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(outer.parse().unwrap()), "{outer}");
        }
        for (to, is) in [
            ("https://shop.example/hook?a=1", true),
            ("http://shop.example/hook", false),
            ("https://user:word@shop.example/", false),
            ("ftp://shop.example/", false),
            ("file:///etc/passwd", false),
            ("shop.example", false),
            ("https://", false),
        ] {
            assert_eq!(is_target(to, false), is, "{to}");
        }
        assert!(is_target("http://127.0.0.1:8080/", true));
    }
}
