//! Who may see what: no query runs without a [`Capability`].

use std::collections::BTreeSet;
use std::sync::Arc;

/// Somebody as the host knows him.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(pub String);

/// The part of the data that a capability opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything: the operator himself.
    Operator,
    /// Documents of these users (INN of tag 1018, digits) and nothing else.
    Users(Arc<BTreeSet<String>>),
}

/// The right to ask. Made by the host's [`Access`], or by [`Capability::operator`] inside the operator's own
/// tools; carried by every query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    scope: Scope,
}

impl Capability {
    /// Sees everything.
    pub fn operator() -> Self {
        Self { scope: Scope::Operator }
    }

    /// Sees the documents of these INNs only.
    pub fn users<I: IntoIterator<Item = String>>(inns: I) -> Self {
        Self { scope: Scope::Users(Arc::new(inns.into_iter().collect())) }
    }

    /// What it opens.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// May the holder see a document of this user? A document whose user is unknown is the operator's only. Some registers pad an
    /// INN of ten digits to twelve with zeros on the left: that is the same user, as it is in the tables of the archive.
    pub fn sees(&self, inn: Option<&str>) -> bool {
        match &self.scope {
            Scope::Operator => true,
            Scope::Users(inns) => inn.is_some_and(|inn| {
                let inn = inn.trim_end();
                // Twelve zeros mean that there is no INN.
                let padded = inn.len() == 12 && inn.bytes().any(|it| it != b'0');
                let short = inn.strip_prefix("00").filter(|_| padded);
                inns.contains(inn) || short.is_some_and(|it| inns.contains(it))
            }),
        }
    }
}

/// Turns a signed-in principal into what he may see. Answers from memory, at once.
pub trait Access: Send + Sync + 'static {
    /// The capability, or `None` when he may see nothing.
    fn capability(&self, principal: &Principal) -> Option<Capability>;
}

/// The stand-in: the principal named `operator` sees everything, nobody else anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct OperatorOnly;

impl Access for OperatorOnly {
    fn capability(&self, principal: &Principal) -> Option<Capability> {
        (principal.0 == "operator").then(Capability::operator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_never_sees_another() {
        let one = Capability::users(["7707083893".to_owned()]);
        assert!(one.sees(Some("7707083893  ")));
        assert!(!one.sees(Some("7704211201")));
        assert!(!one.sees(None));
        assert!(Capability::operator().sees(None));
    }

    // He finds in lists what his register has padded, so he must be able to open it.
    #[test]
    fn a_padded_inn_is_the_same_user() {
        let one = Capability::users(["7707083893".to_owned(), "0000000000".to_owned()]);
        assert!(one.sees(Some("007707083893")));
        assert!(!one.sees(Some("017707083893")) && !one.sees(Some("000000000000")));
        assert!(!one.sees(Some("00770708389")) && !one.sees(Some("0007707083893")));
        assert!(Capability::users(["007707083893".to_owned()]).sees(Some("007707083893")));
    }
}
