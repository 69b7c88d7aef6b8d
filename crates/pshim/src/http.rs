//! The HTTP request of a health check, and its answer.

use alloc::vec::Vec;

/// How many bytes of an answer are read. The status is among them.
pub const ENOUGH: usize = 64;

/// Makes the request for a path.
#[must_use]
pub fn request(host: &[u8], path: &[u8]) -> Vec<u8> {
    [b"GET ", path, b" HTTP/1.1\r\nHost: ", host, b"\r\nUser-Agent: prun\r\nConnection: close\r\n\r\n"].concat()
}

/// Reads the status of an answer. Returns `None` until its three digits have arrived, and for an answer that is not
/// HTTP/1.0 or 1.1.
#[must_use]
pub fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let [b'0' | b'1', b' ', digits @ ..] = rest else { return None };
    let digits: [u8; 3] = digits.get(..3)?.try_into().ok()?;
    digits
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
}

/// Returns whether a status means healthy.
#[must_use]
pub fn is_healthy(status: u16) -> bool {
    (200..400).contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_host_and_path() {
        let request = request(b"shop-1", b"/healthz?full=1");
        assert!(request.starts_with(b"GET /healthz?full=1 HTTP/1.1\r\nHost: shop-1\r\n"));
        assert!(request.ends_with(b"\r\n\r\n"));
    }

    #[test]
    fn statuses_are_told_apart() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503"), Some(503));
        for other in [&b""[..], b"HTTP/1.1 20", b"HTTP/2 200", b"SSH-2.0", b"HTTP/1.1 2x0"] {
            assert_eq!(status(other), None);
        }
        assert!(is_healthy(204) && is_healthy(302) && !is_healthy(404) && !is_healthy(500));
    }
}
