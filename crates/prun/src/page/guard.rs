//! Decides which requests the page's server answers: only those of the page itself, which was opened with a token
//! that the terminal printed.
//!
//! Any program of this machine can send requests to the address, and any website can make a browser send some. So a
//! request must name the exact address as its host. A request for anything but the page's own files must also come
//! from the page's own origin and carry the key that the page got for its token. A token opens one page. The key is
//! only in the memory of that page, so it is lost when the page is closed.

use http::header::{HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use pcredential::Ledger;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The header with the page's key. A page of another origin cannot send the header without asking first, and the
/// server refuses that question.
pub(crate) const KEY: HeaderName = HeaderName::from_static("prun-key");
/// The header that names the project, if the page shows several.
pub(crate) const PROJECT: HeaderName = HeaderName::from_static("prun-project");
/// The header in which browsers tell whether a request comes from the same site.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The reason why a request is refused. The words go to the client that sent it; they repeat nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request names another host, or several, or none.
    Host,
    /// The request does not come from the page.
    Origin,
    /// The request is neither for a file nor a question.
    Method,
    /// The request does not carry the page's key.
    Key,
}

impl Refusal {
    /// Returns the reason in words.
    #[must_use]
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Host => "this page answers only under the address that `prun ui` printed",
            Self::Origin => "only the page itself may ask",
            Self::Method => "only GET for the page's files and POST for everything else",
            Self::Key => "the key is missing or not the newest; the terminal where `prun ui` runs has a new address",
        }
    }
}

/// What a request may get, before its key is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// One of the page's files, which hold nothing about any project.
    File,
    /// An answer, if the key is right.
    Question,
}

/// Checks host, origin and method of a request to `address`, which is `127.0.0.1:PORT`.
///
/// # Errors
///
/// Returns the [`Refusal`] of the first check that fails.
pub(crate) fn admit(request: &Parts, address: &str) -> Result<Admission, Refusal> {
    let is_named = |name: HeaderName, text: &str| single(&request.headers, name) == Some(text.as_bytes());
    if !is_named(HOST, address) || request.uri.authority().is_some_and(|named| named.as_str() != address) {
        return Err(Refusal::Host);
    }
    let own = format!("http://{address}");
    let is_own = is_named(ORIGIN, &own);
    if request.headers.contains_key(ORIGIN) && !is_own {
        return Err(Refusal::Origin);
    }
    match request.method {
        Method::GET => Ok(Admission::File),
        // Browsers send the origin with every POST, and a page cannot change it.
        Method::POST if is_own && (!request.headers.contains_key(SITE) || is_named(SITE, "same-origin")) => {
            Ok(Admission::Question)
        }
        Method::POST => Err(Refusal::Origin),
        _ => Err(Refusal::Method),
    }
}

/// Returns the value of a header that occurs exactly once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only.as_bytes()),
        (None, _) | (Some(_), Some(_)) => None,
    }
}

/// The token that no page has used yet, and the key of the page that was opened last. Only digests are kept and
/// compared, so the time of an answer tells nothing about the token or the key.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    token: Option<[u8; 32]>,
    key: Option<[u8; 32]>,
}

impl Keys {
    /// Makes a token. The token before it does not open a page any more.
    pub(crate) fn token(&mut self) -> Zeroizing<String> {
        let token = fresh();
        self.token = Some(digest(token.as_bytes()));
        token
    }

    /// Exchanges a token for a key. The token is used up, and the page that was opened before loses its key.
    pub(crate) fn enter(&mut self, token: &[u8]) -> Option<Zeroizing<String>> {
        self.token.take_if(|kept| *kept == digest(token))?;
        let key = fresh();
        self.key = Some(digest(key.as_bytes()));
        Some(key)
    }

    /// Checks that the request carries the key.
    ///
    /// # Errors
    ///
    /// Returns [`Refusal::Key`] if it does not.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = single(headers, KEY).map(digest);
        if given.is_some() && given == self.key { Ok(()) } else { Err(Refusal::Key) }
    }
}

/// Makes a text of 48 letters and digits. It has 285 random bits, so it cannot be guessed.
fn fresh() -> Zeroizing<String> {
    Zeroizing::new([Ledger::fresh_owner(), Ledger::fresh_owner(), Ledger::fresh_owner()].concat())
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const ADDRESS: &str = "127.0.0.1:4567";

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_the_exact_host_and_the_pages_own_origin_are_admitted() {
        let (host, own) = (("host", ADDRESS), ("origin", "http://127.0.0.1:4567"));
        let (file, question) = (Ok(Admission::File), Ok(Admission::Question));
        let (no_host, no_origin, no_method) = (Err(Refusal::Host), Err(Refusal::Origin), Err(Refusal::Method));
        type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Result<Admission, Refusal>);
        let table: &[Row<'_>] = &[
            ("GET", "/", &[host], file),
            ("GET", "/", &[host, own], file),
            ("GET", "http://127.0.0.1:4567/", &[host], file),
            ("POST", "/look", &[host, own], question),
            ("POST", "/look", &[host, own, ("sec-fetch-site", "same-origin")], question),
            // The hosts: another name of this machine, another port, no port, none, two, and a name that resolves to
            // this machine.
            ("GET", "/", &[], no_host),
            ("GET", "/", &[("host", "localhost:4567")], no_host),
            ("GET", "/", &[("host", "127.0.0.1:4568")], no_host),
            ("GET", "/", &[("host", "127.0.0.1")], no_host),
            ("GET", "/", &[("host", "127.0.0.1:4567.evil.example")], no_host),
            ("GET", "/", &[("host", "evil.example:4567")], no_host),
            ("GET", "/", &[("host", "[::1]:4567")], no_host),
            ("GET", "/", &[host, host], no_host),
            ("GET", "http://evil.example/", &[host], no_host),
            ("POST", "/look", &[("host", "localhost:4567"), own], no_host),
            // The origins: none, another port of the same address, a file, a website.
            ("POST", "/look", &[host], no_origin),
            ("POST", "/look", &[host, ("origin", "http://127.0.0.1:4568")], no_origin),
            ("POST", "/look", &[host, ("origin", "http://127.0.0.1")], no_origin),
            ("POST", "/look", &[host, ("origin", "https://127.0.0.1:4567")], no_origin),
            ("POST", "/look", &[host, ("origin", "http://localhost:4567")], no_origin),
            ("POST", "/look", &[host, ("origin", "null")], no_origin),
            ("POST", "/look", &[host, own, own], no_origin),
            ("POST", "/look", &[host, own, ("sec-fetch-site", "same-site")], no_origin),
            ("POST", "/look", &[host, own, ("sec-fetch-site", "cross-site")], no_origin),
            ("GET", "/page.js", &[host, ("origin", "http://127.0.0.1:4568")], no_origin),
            ("OPTIONS", "/look", &[host, ("origin", "http://127.0.0.1:4568")], no_origin),
            // A request that changes something can only be a POST.
            ("OPTIONS", "/look", &[host], no_method),
            ("PUT", "/look", &[host, own], no_method),
            ("DELETE", "/look", &[host, own], no_method),
            ("HEAD", "/", &[host], no_method),
            ("post", "/look", &[host, own], no_method),
        ];
        for (method, uri, headers, expected) in table {
            assert_eq!(admit(&parts(method, uri, headers), ADDRESS), *expected, "{method} {uri} {headers:?}");
        }
    }

    #[test]
    fn a_token_opens_once_and_the_key_of_the_newest_page_alone_counts() {
        let mut keys = Keys::default();
        let carrying = |key: &str| parts("POST", "/look", &[("prun-key", key)]).headers;
        assert_eq!(keys.check(&carrying("")), Err(Refusal::Key), "before anybody entered nothing opens");
        assert!(keys.enter(b"").is_none());
        let old = keys.token();
        let token = keys.token();
        assert!(keys.enter(old.as_bytes()).is_none(), "a new token takes the place of the one before");
        assert!(keys.enter(b"a guess").is_none(), "a wrong token uses up nothing");
        let first = keys.enter(token.as_bytes()).unwrap();
        assert!(keys.enter(token.as_bytes()).is_none(), "once");
        assert_eq!(keys.check(&carrying(&first)), Ok(()));
        for wrong in ["", "a guess", token.as_str(), &first[1..]] {
            assert_eq!(keys.check(&carrying(wrong)), Err(Refusal::Key), "{wrong}");
        }
        let twice = parts("POST", "/look", &[("prun-key", first.as_str()), ("prun-key", first.as_str())]).headers;
        assert_eq!(keys.check(&twice), Err(Refusal::Key));
        assert_eq!(keys.check(&HeaderMap::new()), Err(Refusal::Key));
        let again = keys.token();
        assert_eq!(keys.check(&carrying(&first)), Ok(()), "a token that nobody used closes no page");
        let second = keys.enter(again.as_bytes()).unwrap();
        assert_eq!(keys.check(&carrying(&first)), Err(Refusal::Key));
        assert_eq!(keys.check(&carrying(&second)), Ok(()));
        assert_eq!((first.len(), second.len()), (48, 48));
        assert_ne!(*first, *second);
    }
}
