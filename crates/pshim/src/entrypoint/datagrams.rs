//! The forwarder of packets. Each client, by its address and port, has an instance for as long as it sends something.

use alloc::vec::Vec;

use pshim::target::Protocol;

use crate::board::{self, Board};
use crate::network;
use crate::system::{self, Poll, Socket, SocketAddress};

/// How many clients of one port are remembered.
const MOST: usize = 1024;
/// How long a client is remembered without a packet, in milliseconds.
const MEMORY: u64 = 60_000;
/// How many packets of one socket are passed on before the others have their turn.
const BATCH: usize = 64;
/// The longest packet.
const LONGEST: usize = 64 * 1024;

/// A client and the way to its instance.
struct Session {
    client: SocketAddress,
    /// A socket that only the instance can send to.
    socket: i32,
    list: u64,
    place: usize,
    /// The list that the board spoke of when the client came. The board may be a moment behind the file.
    board_list: u64,
    last: u64,
    is_broken: bool,
}

/// Passes packets on forever. `socket` has the port.
pub(crate) fn serve(board: &'static Board, socket: i32, port: u16) -> ! {
    system::never_wait(socket);
    let mut sessions: Vec<Session> = Vec::with_capacity(MOST);
    let mut files: Vec<Poll> = Vec::with_capacity(MOST + 1);
    let mut packet = [0; LONGEST];
    let mut turn = 0_usize;
    loop {
        files.clear();
        files.push(Poll::for_read(socket));
        files.extend(sessions.iter().map(|session| Poll::for_read(session.socket)));
        let _ = system::poll(&mut files, Some(1000));
        let now = system::milliseconds();
        for (session, file) in sessions.iter_mut().zip(&files[1..]) {
            if file.happened() {
                answer(socket, session, &mut packet, now);
            }
        }
        if files[0].happened() {
            for _ in 0..BATCH {
                let Ok((length, client)) = system::receive(socket, &mut packet) else { break };
                let known = sessions.iter().position(|session| session.client == client);
                let at = match known {
                    Some(at) => Some(at),
                    None => {
                        turn = turn.wrapping_add(1);
                        open(board, client, port, turn).map(|session| {
                            make_room(&mut sessions);
                            sessions.push(session);
                            sessions.len() - 1
                        })
                    }
                };
                if let Some(session) = at.and_then(|at| sessions.get_mut(at)) {
                    session.last = now;
                    let _ = system::write(session.socket, &packet[..length]);
                }
            }
        }
        let mut at = 0;
        while let Some(session) = sessions.get(at) {
            // The next packet of a client that is forgotten goes to an instance of the list of now.
            let now_list = board.list();
            let is_other = ![0, session.list, session.board_list].contains(&now_list);
            let is_left = is_other || board.is_sick(session.list, session.place);
            if session.is_broken || is_left || now >= session.last + MEMORY {
                system::close(session.socket);
                sessions.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }
}

/// Passes the instance's packets on to the client.
fn answer(socket: i32, session: &mut Session, packet: &mut [u8], now: u64) {
    for _ in 0..BATCH {
        match system::read(session.socket, packet) {
            Ok(length) => {
                session.last = now;
                system::send(socket, &packet[..length], &session.client);
            }
            Err(system::EAGAIN) => return,
            // The instance has nothing on the port, or is gone.
            Err(_) => {
                session.is_broken = true;
                return;
            }
        }
    }
}

/// Forgets the client that was silent for longest if there is no room for another one.
fn make_room(sessions: &mut Vec<Session>) {
    if sessions.len() < MOST {
        return;
    }
    if let Some((oldest, _)) = sessions.iter().enumerate().min_by_key(|(_, session)| session.last) {
        system::close(sessions.swap_remove(oldest).socket);
    }
}

fn open(board: &'static Board, client: SocketAddress, port: u16, turn: usize) -> Option<Session> {
    board::read(|list, fingerprint| {
        let mut targets = board::in_order(board, (list, fingerprint), (Protocol::Udp, port), turn);
        targets.find_map(|(place, target)| {
            let address = network::resolve(target.host)?;
            let socket = system::socket(Socket::Datagram).ok()?;
            system::never_wait(socket);
            if system::connect(socket, address, target.port).is_err() {
                system::close(socket);
                return None;
            }
            let (list, board_list) = (fingerprint, board.list());
            Some(Session { client, socket, list, place, board_list, last: 0, is_broken: false })
        })
    })?
}
