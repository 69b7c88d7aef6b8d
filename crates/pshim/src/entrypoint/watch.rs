//! The process that finds out which instances answer, so that the forwarder can leave out those that do not.

use pshim::target::{Fingerprint, Target};

use crate::board::{self, Board};
use crate::{network, probe, say, system};

/// How often the list is looked at, in milliseconds.
const LOOK: u64 = 200;
/// How long a connection attempt may take, in milliseconds.
const CONNECT_PATIENCE: u64 = 2000;

/// Checks the instances of the list again and again.
pub(crate) fn watch(board: &'static Board) -> ! {
    let path = pshim::program::terminated(pshim::TARGETS_FILE.as_bytes());
    let mut next = 0;
    loop {
        let now = system::milliseconds();
        // A list that was seen while it was being written is another one at the next look.
        if now >= next || fingerprint(&path) != Some(board.list()) {
            board::read(|list, fingerprint| {
                board.turn_to(fingerprint, list.pause);
                let own = list.targets.iter().enumerate().filter(|(place, _)| list.place_of_health(*place) == *place);
                for (place, target) in own {
                    begin(board, fingerprint, place, target);
                }
            });
            while system::wait().is_some() {}
            next = now + board.pause();
        }
        system::sleep(LOOK);
    }
}

/// Begins the check of one instance in a process of its own. An instance without a check is only asked after it refused
/// a connection, because it may not like to be asked.
fn begin(board: &'static Board, list: u64, place: usize, target: &Target<'_>) {
    if target.check.is_none() && board.failures(list, place) == 0 {
        return;
    }
    if system::fork() == Ok(0) {
        let is_healthy = match target.check {
            Some(check) => {
                let first: &[u8] = if target.proxy { pshim::target::UNKNOWN_CLIENT } else { b"" };
                let place = probe::Place { instance: target.host, port: check.port, first };
                let request = pshim::http::request(check.host, check.path, check.headers());
                probe::ask(&place, &request, u64::from(check.patience)).is_ok_and(pshim::http::is_healthy)
            }
            None => {
                let socket = network::resolve(target.host)
                    .and_then(|address| network::connect(address, target.port, CONNECT_PATIENCE).ok());
                socket.is_some()
            }
        };
        match is_healthy {
            true if board.note_answer(list, place) => say(&[b"answers again: ", target.host]),
            false if board.note_failure(list, place) => say(&[pshim::LEFT_OUT.as_bytes(), target.host]),
            _ => {}
        }
        system::exit(0);
    }
}

/// Computes the fingerprint of the list as it is now, without any allocation.
fn fingerprint(path: &[u8]) -> Option<u64> {
    let file = system::open(path).ok()?;
    let mut sum = Fingerprint::default();
    let mut buffer = [0; 4096];
    let result = loop {
        match system::read(file, &mut buffer) {
            Ok(0) => break Some(sum.value()),
            Ok(count) => sum = sum.with(&buffer[..count]),
            Err(_) => break None,
        }
    };
    system::close(file);
    result
}
