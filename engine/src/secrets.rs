//! What a host names by file path and nothing else: passwords, secrets, certificates.
//!
//! Channels and the client of the tax service read them; the engine itself has none.

use std::io::Read as _;
use std::path::Path;

#[cfg(any(feature = "webhook", feature = "tax-http"))]
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// Longest file of secrets, bytes.
const SECRET_LEN_MAX: u64 = 64 * 1024;

/// The text of a file of secrets, read anew for each delivery: whoever rotates one replaces the file.
///
/// # Errors
/// Of the system; `InvalidData` when it is too long or no text.
#[cfg_attr(
    not(test),
    expect(clippy::disallowed_methods, reason = "what reads them is the host's side of the seam")
)]
pub(crate) fn read_secret(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(SECRET_LEN_MAX.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > SECRET_LEN_MAX {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    Ok(text)
}

/// TLS of a client over HTTP: who certifies the other side (`None`: whom browsers trust), and who we are, certificates and key in
/// one file or in two.
///
/// # Errors
/// Which file says nothing that can be used, and why.
#[cfg(any(feature = "webhook", feature = "tax-http"))]
pub(crate) fn client_tls(
    authority: Option<&Path>,
    identity: Option<(&Path, &Path)>,
) -> Result<TlsConfig, String> {
    let named = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let read = |path: &Path| read_secret(path).map_err(|error| named(path, &error));
    let all = |path: &Path| certificates(&read(path)?).map_err(|error| named(path, &error));
    let key_of =
        |path: &Path| PrivateKey::from_pem(read(path)?.as_bytes()).map_err(|error| named(path, &error));
    let roots = authority.map(all).transpose()?.map_or(RootCerts::WebPki, RootCerts::from);
    let identity = match identity {
        Some((chain, key)) => Some(ClientCert::new_with_certs(&all(chain)?, key_of(key)?)),
        None => None,
    };
    Ok(TlsConfig::builder().root_certs(roots).client_cert(identity).build())
}

/// All certificates of a PEM.
#[cfg(any(feature = "webhook", feature = "tax-http"))]
fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, String> {
    let mut all = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(it) = item.map_err(|error| error.to_string())? {
            all.push(it);
        }
    }
    if all.is_empty() { Err("there is no certificate".to_owned()) } else { Ok(all) }
}

#[cfg(all(test, any(feature = "webhook", feature = "tax-http")))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failed test may panic")]
    use super::*;

    // Whoever has three files wants to know which one.
    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (absent, empty) = (dir.path().join("absent.pem"), dir.path().join("empty.pem"));
        std::fs::write(&empty, "").unwrap();
        let told = |authority, identity| client_tls(authority, identity).map(drop).unwrap_err();
        for (error, why) in [
            (told(Some(&absent), None), "absent.pem: No such file"),
            (told(Some(&empty), None), "empty.pem: there is no certificate"),
            (told(None, Some((&empty, &empty))), "empty.pem: there is no certificate"),
        ] {
            assert!(error.contains(why) && error.matches(".pem").count() == 1, "{error}");
        }
    }

    // A house that changes its authority has both in the file.
    #[test]
    fn all_authorities_of_a_file_are_taken() {
        let pem = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let two = format!("# old\n{}# new\n{}", pem("MAA="), pem("MAE="));
        let found: Vec<Vec<u8>> = certificates(&two).unwrap().iter().map(|it| it.der().to_vec()).collect();
        assert_eq!(found, [vec![0x30, 0], vec![0x30, 1]]);
        assert!(certificates("nothing").is_err());
        assert!(certificates(&pem("!")).is_err());
    }
}
