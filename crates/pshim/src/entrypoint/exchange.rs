//! One connection that is passed on: to which instance, the bytes in both directions, and its end.

use alloc::vec::Vec;

use pshim::conversation::{Conversation, State};
use pshim::target::{self, Protocol};

use crate::board::{self, Board};
use crate::network;
use crate::system::{self, Errno, Poll, SocketAddress};

/// How long one instance may take to accept a connection, in milliseconds.
const CONNECT_PATIENCE: u64 = 2000;
/// How long the forwarder tries instances in turn, in milliseconds. An instance that restarts is usually back by
/// then.
const PATIENCE: u64 = 5000;
/// How often a connection looks whether its instance is still to be used, in milliseconds.
const LOOK: u64 = 200;
/// How long no byte must have come before a connection without a request is closed, in milliseconds. A client that sends
/// its next request at once keeps the connection until its instance closes it.
const QUIET: u64 = 20;
/// An answer that has paused for so long counts as ended if its instance leaves, in milliseconds. It may be a stream
/// without an end.
const LONGEST_PAUSE: u64 = 3000;
const BUFFER: usize = 16 * 1024;

/// A client's connection.
pub(crate) struct Client {
    /// The connection.
    pub(crate) socket: i32,
    /// The client's address.
    pub(crate) address: SocketAddress,
    /// The port on which the forwarder accepted it.
    pub(crate) port: u16,
}

/// Passes a connection on to an instance until it ends.
pub(crate) fn serve(board: &'static Board, client: &Client, turn: usize) {
    system::never_wait(client.socket);
    system::hurry(client.socket);
    if let Some(instance) = reach(board, client.port, turn) {
        if instance.proxy {
            system::write_all(instance.socket, &introduction(client));
        }
        exchange(board, client.socket, instance);
    }
}

/// A connection to an instance, and the instance's place in the list.
struct Instance {
    socket: i32,
    listen: u16,
    host: Vec<u8>,
    port: u16,
    proxy: bool,
    list: u64,
    place: usize,
    /// The places of the other instances that could take the connection.
    others: Vec<usize>,
}

impl Instance {
    /// Returns whether new connections go to other instances.
    fn is_left(&mut self, board: &Board) -> bool {
        if board.list() != self.list && self.find() == Some(false) {
            return true;
        }
        let is_sick = |place| board.is_sick(self.list, place);
        is_sick(self.place) && self.others.iter().any(|place| !is_sick(*place))
    }

    /// Finds the instance's place in the list of now. Returns whether it has one, or `None` if the list cannot be read
    /// now.
    fn find(&mut self) -> Option<bool> {
        board::read(|list, fingerprint| {
            let mut of_port = target::in_turn(list, Protocol::Tcp, self.listen, 0);
            let is_this = |target: &target::Target<'_>| target.host == self.host && target.port == self.port;
            let Some((place, _)) = of_port.find(|(_, target)| is_this(target)) else { return false };
            let others = target::in_turn(list, Protocol::Tcp, self.listen, 0).map(|(place, _)| place);
            self.others = others.filter(|other| *other != place).collect();
            (self.list, self.place) = (fingerprint, place);
            true
        })
    }
}

/// Connects to the instance whose turn it is, or else to the next one that accepts the connection.
fn reach(board: &'static Board, port: u16, turn: usize) -> Option<Instance> {
    let deadline = system::milliseconds() + PATIENCE;
    loop {
        // The list is read anew in each round, because it changes while instances are replaced.
        let reached = board::read(|list, fingerprint| {
            let all = || board::in_order(board, (list, fingerprint), (Protocol::Tcp, port), turn);
            for (place, target) in all() {
                let address = network::resolve(target.host);
                if let Some(Ok(socket)) = address.map(|to| network::connect(to, target.port, CONNECT_PATIENCE)) {
                    let others = all().map(|(place, _)| place).filter(|other| *other != place).collect();
                    let host = target.host.into();
                    let (listen, port, proxy, list) = (target.listen, target.port, target.proxy, fingerprint);
                    return Some(Instance { socket, listen, host, port, proxy, list, place, others });
                }
                if board.note_refusal(fingerprint, place) {
                    crate::say(&[pshim::LEFT_OUT.as_bytes(), target.host]);
                }
            }
            None
        });
        if let Some(instance) = reached.flatten() {
            return Some(instance);
        }
        if system::milliseconds() >= deadline {
            return None;
        }
        system::sleep(50);
    }
}

/// Makes the line that tells an instance the client's address (PROXY protocol, version 1).
fn introduction(client: &Client) -> Vec<u8> {
    let Ok(own) = system::own_address(client.socket) else { return target::UNKNOWN_CLIENT.into() };
    let ([a, b, c, d], [e, f, g, h]) = (client.address.address(), own.address());
    let (from, to) = (client.address.port(), own.port());
    alloc::format!("PROXY TCP4 {a}.{b}.{c}.{d} {e}.{f}.{g}.{h} {from} {to}\r\n").into_bytes()
}

/// The bytes that are copied from one socket to the other.
struct Direction {
    from: i32,
    to: i32,
    buffer: [u8; BUFFER],
    start: usize,
    end: usize,
    source: Source,
}

#[derive(PartialEq, Eq)]
enum Source {
    Open,
    Ended,
    Told,
}

impl Direction {
    fn new(from: i32, to: i32) -> Self {
        Self { from, to, buffer: [0; BUFFER], start: 0, end: 0, source: Source::Open }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn wants_read(&self) -> bool {
        self.source == Source::Open && self.is_empty()
    }

    fn wants_write(&self) -> bool {
        !self.is_empty()
    }

    /// Reads and writes whatever is possible without waiting, and calls `note` with what was read. An error ends the
    /// whole exchange.
    fn step(&mut self, note: impl FnOnce(&[u8])) -> Result<(), Errno> {
        if self.wants_read() {
            match system::read(self.from, &mut self.buffer) {
                Ok(0) => self.source = Source::Ended,
                Ok(count) => {
                    (self.start, self.end) = (0, count);
                    note(&self.buffer[..count]);
                }
                Err(system::EAGAIN) => {}
                Err(error) => return Err(error),
            }
        }
        if self.wants_write() {
            match system::write(self.to, &self.buffer[self.start..self.end]) {
                Ok(count) => self.start += count,
                Err(system::EAGAIN) => {}
                Err(error) => return Err(error),
            }
        }
        if self.source == Source::Ended && self.is_empty() {
            system::finish_sending(self.to);
            self.source = Source::Told;
        }
        Ok(())
    }
}

/// Copies bytes in both directions until both sides have ended, or until the instance leaves and no request is open.
fn exchange(board: &'static Board, client: i32, mut instance: Instance) {
    let mut there = Direction::new(client, instance.socket);
    let mut back = Direction::new(instance.socket, client);
    let mut conversation = Conversation::default();
    let mut heard = system::milliseconds();
    let mut looked = heard;
    let mut is_left = false;
    while there.source != Source::Told || back.source != Source::Told {
        let mut files = [
            Poll::when(client, there.wants_read(), back.wants_write()),
            Poll::when(instance.socket, back.wants_read(), there.wants_write()),
        ];
        let patience = if is_left { QUIET } else { LOOK };
        if system::poll(&mut files, Some(patience)).is_err() {
            return;
        }
        let now = system::milliseconds();
        let of_client = |bytes: &[u8]| {
            conversation.client_sent(bytes);
            heard = now;
        };
        if there.step(of_client).is_err() {
            return;
        }
        let of_instance = |bytes: &[u8]| {
            conversation.instance_sent(bytes);
            heard = now;
        };
        if back.step(of_instance).is_err() {
            return;
        }
        if now >= looked + LOOK {
            looked = now;
            is_left = instance.is_left(board);
        }
        if is_left && there.is_empty() && back.is_empty() {
            match conversation.state() {
                State::Idle if now >= heard + QUIET => return,
                State::Answering if now >= heard + LONGEST_PAUSE => return,
                _ => {}
            }
        }
    }
}
