//! The lines that the keeper of a project's state reads, and the lines that it answers.
//!
//! The state is a folder of numbered files. A new file is uploaded under another name and then gets the next number.
//! No file ever replaces one that has this number already, so no change of another command is lost.

/// How long the keeper waits for a line before it gives up the lock, in milliseconds.
pub const PATIENCE: u64 = 60_000;
/// The first line, which the keeper writes once it holds the lock.
pub const READY: &[u8] = b"ready\n";
/// The answer if the order was carried out. A file that was committed is then on the disk.
pub const DONE: &[u8] = b"done\n";
/// The answer if another file has the number already.
pub const TAKEN: &[u8] = b"taken\n";
/// The answer if the order cannot be carried out.
pub const FAILED: &[u8] = b"failed\n";

/// A line that the keeper reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order<'a> {
    /// Gives an uploaded file its final name, which no other file may have.
    Commit {
        /// The name under which the file was uploaded.
        uploaded: &'a [u8],
        /// The file's final name.
        name: &'a [u8],
    },
    /// Removes a file.
    Forget {
        /// The file's name.
        name: &'a [u8],
    },
    /// Shows that the client is still connected.
    Alive,
}

/// Reads a line, without its line end. Returns `None` if the line is not an order.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Order<'_>> {
    let mut words = line.split(|byte| *byte == b' ');
    let order = match (words.next()?, words.next(), words.next()) {
        (b"", None, None) => Order::Alive,
        (b"commit", Some(uploaded), Some(name)) if is_name(uploaded) && is_name(name) => {
            Order::Commit { uploaded, name }
        }
        (b"forget", Some(name), None) if is_name(name) => Order::Forget { name },
        _ => return None,
    };
    words.next().is_none().then_some(order)
}

/// Returns whether this is a plain file name, which cannot lead out of the folder.
fn is_name(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'.';
    name.first().is_some_and(u8::is_ascii_lowercase) && name.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read() {
        assert_eq!(parse(b""), Some(Order::Alive));
        assert_eq!(parse(b"commit new.1a state.7"), Some(Order::Commit { uploaded: b"new.1a", name: b"state.7" }));
        assert_eq!(parse(b"forget state.5"), Some(Order::Forget { name: b"state.5" }));
    }

    #[test]
    fn nothing_outside_of_the_folder_can_be_named() {
        for line in [
            &b"commit"[..],
            b"commit one",
            b"commit one two three",
            b"commit ../one two",
            b"commit one /two",
            b"forget .",
            b"forget ..",
            b"forget a/b",
            b"forget",
            b"forget one two",
            b" ",
            b"Commit one two",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}
