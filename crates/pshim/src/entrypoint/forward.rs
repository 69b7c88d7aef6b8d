//! The forwarder of the published ports. It passes each connection on to an instance that answers.
//!
//! Each connection has a process of its own, so that no connection can block another. The packets of one port have one
//! process, and a further one finds out which instances answer.

use alloc::vec::Vec;

use pshim::target::{self, Protocol};

use crate::board::Board;
use crate::exchange::{self, Client};
use crate::signals::{self, Signal, Signals};
use crate::system::{self, Poll, Socket};
use crate::{datagrams, say, watch};

/// How many connections are open at once. Further connections wait in the kernel's queue.
const MOST: usize = 1024;

/// Listens on the ports until a signal asks the program to end, and then waits until the open connections have ended.
pub(crate) fn forward(ports: &[&[u8]]) -> u8 {
    let (Some(signals), Some(board)) = (Signals::watch(), Board::shared()) else { return pshim::FAILED };
    let (mut listeners, mut packets) = (Vec::new(), Vec::new());
    for (protocol, port) in ports.iter().filter_map(|text| target::listened(text)) {
        let opened = match protocol {
            Protocol::Tcp => system::socket(Socket::Stream)
                .and_then(|socket| system::listen(socket, port).map(|()| listeners.push((socket, port)))),
            Protocol::Udp => system::socket(Socket::Datagram)
                .and_then(|socket| system::bind(socket, port).map(|()| packets.push((socket, port)))),
        };
        if opened.is_err() {
            say(&[b"a port cannot be listened on"]);
            return pshim::FAILED;
        }
    }
    let close_all = || listeners.iter().chain(&packets).for_each(|(socket, _)| system::close(*socket));
    // What runs beside the connections until the end.
    let mut helpers: Vec<(i32, Helper)> = Vec::with_capacity(1 + packets.len());
    let begin = |helper| {
        let id = system::fork();
        if id == Ok(0) {
            signals.restore();
            match helper {
                Helper::Watch => {
                    close_all();
                    watch::watch(board)
                }
                Helper::Packets(socket, port) => datagrams::serve(board, socket, port),
            }
        }
        // A process that could not begin is begun with the next one that ends.
        (id.unwrap_or(-1), helper)
    };
    helpers.push(begin(Helper::Watch));
    helpers.extend(packets.iter().map(|(socket, port)| begin(Helper::Packets(*socket, *port))));
    let mut open: Vec<i32> = Vec::with_capacity(MOST);
    let mut files: Vec<Poll> = Vec::with_capacity(listeners.len() + 1);
    let mut turn = 0;
    let mut ending = false;
    while !(ending && open.is_empty()) {
        let accepting = !ending && open.len() < MOST;
        files.clear();
        files.push(signals.poll());
        files.extend(listeners.iter().map(|(socket, _)| Poll::when(*socket, accepting, false)));
        let _ = system::poll(&mut files, None);
        while let Some(signal) = signals.next() {
            match signal {
                Signal::Child => {
                    while let Some((id, _)) = system::reap() {
                        if let Some(at) = open.iter().position(|child| *child == id) {
                            open.swap_remove(at);
                        } else if let Some(helper) = helpers.iter_mut().find(|helper| helper.0 == id)
                            && !ending
                        {
                            *helper = begin(helper.1);
                        }
                    }
                }
                Signal::End(_) => {
                    ending = true;
                    helpers
                        .iter()
                        .filter(|helper| helper.0 > 0)
                        .for_each(|helper| system::kill(helper.0, signals::KILL));
                }
            }
        }
        for ((socket, port), file) in listeners.iter().zip(&files[1..]) {
            if accepting && !ending && file.happened() {
                let Ok((client, address)) = system::accept(*socket) else { continue };
                match system::fork() {
                    Ok(0) => {
                        close_all();
                        signals.restore();
                        exchange::serve(board, &Client { socket: client, address, port: *port }, turn);
                        system::exit(0);
                    }
                    Ok(id) => open.push(id),
                    Err(_) => say(&[b"a connection cannot be served: too many processes"]),
                }
                turn = turn.wrapping_add(1);
                system::close(client);
            }
        }
    }
    0
}

/// A process that runs beside the connections.
#[derive(Clone, Copy)]
enum Helper {
    /// Finds out which instances answer.
    Watch,
    /// Passes on the packets of a socket with this port.
    Packets(i32, u16),
}
