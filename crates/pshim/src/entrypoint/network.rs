//! The lookup of names, and connections.

use pshim::dns;

use crate::system::{self, Errno, Poll, Socket};

/// How long the engine's name server may take for an answer, in milliseconds.
const NAME_PATIENCE: u64 = 1000;

/// Asks the engine's name server for the address of a container on the same network.
pub(crate) fn resolve(name: &[u8]) -> Option<[u8; 4]> {
    let id = system::milliseconds() as u16;
    let question = dns::question(id, name)?;
    let socket = system::socket(Socket::Datagram).ok()?;
    let answer = ask(socket, id, &question);
    system::close(socket);
    answer
}

fn ask(socket: i32, id: u16, question: &[u8]) -> Option<[u8; 4]> {
    system::connect(socket, dns::SERVER, 53).ok()?;
    let mut answer = [0; dns::LONGEST_ANSWER];
    for _ in 0..2 {
        system::write(socket, question).ok()?;
        let mut waiting = [Poll::for_read(socket)];
        if system::poll(&mut waiting, Some(NAME_PATIENCE)).ok()? > 0 {
            let count = system::read(socket, &mut answer).ok()?;
            return dns::address(id, &answer[..count]);
        }
    }
    None
}

/// Connects within `patience` milliseconds. Later reads and writes of the socket do not block.
pub(crate) fn connect(address: [u8; 4], port: u16, patience: u64) -> Result<i32, Errno> {
    let socket = system::socket(Socket::Stream)?;
    system::never_wait(socket);
    let result = match system::connect(socket, address, port) {
        Err(system::EINPROGRESS) => {
            let mut waiting = [Poll::for_write(socket)];
            match system::poll(&mut waiting, Some(patience)) {
                Ok(0) => Err(system::EAGAIN),
                Ok(_) => system::connection_error(socket),
                Err(error) => Err(error),
            }
        }
        result => result,
    };
    match result {
        Ok(()) => {
            system::hurry(socket);
            Ok(socket)
        }
        Err(error) => {
            system::close(socket);
            Err(error)
        }
    }
}
