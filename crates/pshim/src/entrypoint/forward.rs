//! The forwarder of the published ports. It passes each connection on to an instance that accepts it.
//!
//! Each connection has a process of its own, so that no connection can block another.

use alloc::vec::Vec;

use pshim::target;

use crate::signals::{Signal, Signals};
use crate::system::{self, Poll, Socket};
use crate::{network, say};

/// How many connections are open at once. Further connections wait in the kernel's queue.
const MOST: usize = 1024;
/// How long one instance may take to accept a connection, in milliseconds.
const CONNECT_PATIENCE: u64 = 2000;
/// How long the forwarder tries instances in turn, in milliseconds. An instance that restarts is usually back by
/// then.
const PATIENCE: u64 = 5000;
const BUFFER: usize = 16 * 1024;

/// Listens on the ports until a signal asks the program to end, and then waits until the open connections have ended.
pub(crate) fn forward(ports: &[&[u8]]) -> u8 {
    let Some(signals) = Signals::watch() else { return pshim::FAILED };
    let mut listeners = Vec::new();
    for port in ports.iter().filter_map(|port| core::str::from_utf8(port).ok()?.parse::<u16>().ok()) {
        match system::socket(Socket::Stream).and_then(|socket| system::listen(socket, port).map(|()| socket)) {
            Ok(socket) => listeners.push((socket, port)),
            Err(_) => {
                say(&[b"a port cannot be listened on"]);
                return pshim::FAILED;
            }
        }
    }
    let mut open = 0;
    let mut turn = 0;
    let mut ending = false;
    while !(ending && open == 0) {
        let accepting = !ending && open < MOST;
        let mut files: Vec<Poll> = Vec::with_capacity(listeners.len() + 1);
        files.push(signals.poll());
        files.extend(listeners.iter().map(|(socket, _)| Poll::when(*socket, accepting, false)));
        let _ = system::poll(&mut files, None);
        while let Some(signal) = signals.next() {
            match signal {
                Signal::Child => {
                    while system::reap().is_some() {
                        open -= 1
                    }
                }
                Signal::End(_) => ending = true,
            }
        }
        for ((socket, port), file) in listeners.iter().zip(&files[1..]) {
            if accepting && !ending && file.happened() {
                let Ok(client) = system::accept(*socket) else { continue };
                match system::fork() {
                    Ok(0) => {
                        listeners.iter().for_each(|(socket, _)| system::close(*socket));
                        signals.restore();
                        serve(client, *port, turn);
                        system::exit(0);
                    }
                    Ok(_) => open += 1,
                    Err(_) => say(&[b"a connection cannot be served: too many processes"]),
                }
                turn = turn.wrapping_add(1);
                system::close(client);
            }
        }
    }
    0
}

fn serve(client: i32, port: u16, turn: usize) {
    system::never_wait(client);
    system::hurry(client);
    if let Some(instance) = reach(port, turn) {
        exchange(client, instance);
    }
}

/// Connects to the instance whose turn it is, or else to the next one that accepts the connection.
fn reach(port: u16, turn: usize) -> Option<i32> {
    let deadline = system::milliseconds() + PATIENCE;
    loop {
        // The list is read anew in each round, because it changes while instances are replaced.
        let list = system::read_file(pshim::TARGETS_FILE).unwrap_or_default();
        let targets = target::parse(&list).unwrap_or_default();
        for target in target::in_turn(&targets, port, turn) {
            if let Some(address) = network::resolve(target.host)
                && let Ok(socket) = network::connect(address, target.port, CONNECT_PATIENCE)
            {
                return Some(socket);
            }
        }
        if system::milliseconds() >= deadline {
            return None;
        }
        system::sleep(50);
    }
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

    /// Reads and writes whatever is possible without waiting. An error ends the whole exchange.
    fn step(&mut self) -> Result<(), system::Errno> {
        if self.wants_read() {
            match system::read(self.from, &mut self.buffer) {
                Ok(0) => self.source = Source::Ended,
                Ok(count) => (self.start, self.end) = (0, count),
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

/// Copies bytes in both directions until both sides have ended.
fn exchange(client: i32, instance: i32) {
    let mut there = Direction::new(client, instance);
    let mut back = Direction::new(instance, client);
    while there.source != Source::Told || back.source != Source::Told {
        let mut files = [
            Poll::when(client, there.wants_read(), back.wants_write()),
            Poll::when(instance, back.wants_read(), there.wants_write()),
        ];
        if system::poll(&mut files, None).is_err() || there.step().is_err() || back.step().is_err() {
            return;
        }
    }
}
