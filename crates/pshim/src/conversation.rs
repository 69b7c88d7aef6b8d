//! Tells when a connection that the forwarder passes on carries no request, so that it can be closed without harm.
//!
//! Only HTTP/1 says so. Of any other protocol the forwarder knows nothing, and leaves its connections alone.

use crate::http::Answer;

/// What one connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No request is open: each was answered, or the client has not sent one yet.
    Idle,
    /// A request was sent, and its answer has not begun.
    Waiting,
    /// An answer has begun and not ended.
    Answering,
    /// The connection carries another protocol than HTTP/1, or no longer HTTP/1.
    Unknown,
}

/// The requests and answers of one connection, as far as their ends must be known.
pub struct Conversation {
    kind: Kind,
    answer: Answer,
    /// How many requests are open. A client may send the next one before it has the answer.
    open: u32,
    has_begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The client has sent nothing so far.
    Silent,
    Http,
    Other,
}

/// The longest name of a method that begins a request.
const LONGEST_METHOD: usize = 20;

impl Default for Conversation {
    fn default() -> Self {
        Self { kind: Kind::Silent, answer: Answer::default(), open: 0, has_begun: false }
    }
}

impl Conversation {
    /// Notes bytes of the client.
    pub fn client_sent(&mut self, bytes: &[u8]) {
        if self.kind == Kind::Silent {
            self.kind = if begins_request(bytes) { Kind::Http } else { Kind::Other };
        }
        // Bytes that do not begin a request are the body of the open one.
        if self.kind == Kind::Http && (self.open == 0 || begins_request(bytes)) {
            if self.open == 0 {
                self.answer = if bytes.starts_with(b"HEAD ") { Answer::without_body() } else { Answer::default() };
            } else if bytes.starts_with(b"HEAD ") {
                // Which of several answers has no body is not followed.
                self.kind = Kind::Other;
            }
            self.open += 1;
        }
    }

    /// Notes bytes of the instance.
    pub fn instance_sent(&mut self, mut bytes: &[u8]) {
        if self.kind == Kind::Silent {
            // In HTTP the client speaks first.
            self.kind = Kind::Other;
        }
        while self.kind == Kind::Http && !bytes.is_empty() {
            if self.open == 0 {
                // An answer without a request, such as the one of a server that closes an idle connection.
                return;
            }
            self.has_begun = true;
            let read = self.answer.push(bytes);
            bytes = &bytes[read..];
            if !self.answer.is_whole() {
                return;
            }
            match self.answer.status() {
                None | Some(101) => self.kind = Kind::Other,
                Some(_) if self.answer.is_interim() => self.answer.restart(),
                Some(_) => {
                    self.open -= 1;
                    self.has_begun = false;
                    self.answer = Answer::default();
                }
            }
        }
    }

    /// Returns what the connection carries.
    #[must_use]
    pub fn state(&self) -> State {
        match self.kind {
            Kind::Silent => State::Idle,
            Kind::Other => State::Unknown,
            Kind::Http if self.open == 0 => State::Idle,
            Kind::Http if self.has_begun => State::Answering,
            Kind::Http => State::Waiting,
        }
    }
}

/// Returns whether bytes begin with the method of an HTTP/1 request. The preface of HTTP/2, `PRI * HTTP/2.0`, does not.
fn begins_request(bytes: &[u8]) -> bool {
    let method = bytes.iter().take(LONGEST_METHOD).take_while(|byte| byte.is_ascii_uppercase()).count();
    method > 0 && bytes.get(method) == Some(&b' ') && !bytes.starts_with(b"PRI ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    fn after(parts: &[(bool, &[u8])]) -> State {
        let mut conversation = Conversation::default();
        for (of_client, bytes) in parts {
            if *of_client { conversation.client_sent(bytes) } else { conversation.instance_sent(bytes) }
        }
        conversation.state()
    }

    #[test]
    fn a_request_is_open_until_its_answer_has_ended() {
        assert_eq!(after(&[]), State::Idle);
        assert_eq!(after(&[(true, REQUEST)]), State::Waiting);
        for end in 1..ANSWER.len() {
            assert_eq!(after(&[(true, REQUEST), (false, &ANSWER[..end])]), State::Answering, "{end}");
        }
        assert_eq!(after(&[(true, REQUEST), (false, ANSWER)]), State::Idle);
        assert_eq!(after(&[(true, REQUEST), (false, ANSWER), (true, REQUEST)]), State::Waiting);
    }

    #[test]
    fn bodies_and_interim_answers_belong_to_their_request() {
        let post: (bool, &[u8]) = (true, b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
        let interim: (bool, &[u8]) = (false, b"HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(after(&[post, interim]), State::Answering);
        assert_eq!(after(&[post, interim, (true, b"a=b"), (false, ANSWER)]), State::Idle);
        let both = [interim.1, ANSWER].concat();
        assert_eq!(after(&[post, (true, b"a=b"), (false, &both)]), State::Idle);
        assert_eq!(after(&[(true, b"HEAD / HTTP/1.1\r\n\r\n"), (false, &ANSWER[..ANSWER.len() - 5])]), State::Idle);
    }

    #[test]
    fn requests_that_are_sent_ahead_are_counted() {
        let two = [(true, REQUEST), (true, REQUEST), (false, ANSWER)];
        assert_eq!(after(&two), State::Waiting);
        assert_eq!(after(&[two[0], two[1], two[2], two[2]]), State::Idle);
        let both = [ANSWER, ANSWER].concat();
        assert_eq!(after(&[two[0], two[1], (false, &both)]), State::Idle);
    }

    #[test]
    fn another_protocol_is_left_alone() {
        let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(after(&[(true, REQUEST), (false, upgrade)]), State::Unknown);
        assert_eq!(after(&[(true, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")]), State::Unknown);
        assert_eq!(after(&[(true, b"\x16\x03\x01")]), State::Unknown);
        assert_eq!(after(&[(false, b"220 mail.example ESMTP\r\n")]), State::Unknown);
        assert_eq!(after(&[(true, REQUEST), (false, b"HTTP/1.1 200 OK\r\n\r\nuntil the end")]), State::Answering);
    }

    proptest! {
        #[test]
        fn however_an_answer_is_cut_the_end_is_the_same(first in 0..ANSWER.len(), second in 0..ANSWER.len()) {
            let (first, second) = (first.min(second), first.max(second));
            let parts = [(true, REQUEST), (false, &ANSWER[..first]), (false, &ANSWER[first..second]), (false, &ANSWER[second..])];
            prop_assert_eq!(after(&parts), State::Idle);
        }

        #[test]
        fn no_bytes_make_it_panic(parts in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..6)) {
            let mut conversation = Conversation::default();
            conversation.client_sent(REQUEST);
            for (of_client, bytes) in parts {
                if of_client { conversation.client_sent(&bytes) } else { conversation.instance_sent(&bytes) }
            }
            let _ = conversation.state();
        }
    }
}
