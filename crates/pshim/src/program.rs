//! The files that may hold the program of a command.

use alloc::vec::Vec;

use crate::environment;

/// The folders that are searched if there is no `PATH`, as in the `execvp` of C libraries.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Lists the files to try for a command, in order. Each path ends in a NUL byte.
///
/// A command with a slash is itself a path. For any other command, each directory of the app's own `PATH` is tried;
/// an empty directory means the current one.
#[must_use]
pub fn candidates(command: &[u8], environment: &[&[u8]]) -> Vec<Vec<u8>> {
    if command.is_empty() {
        return Vec::new();
    }
    if command.contains(&b'/') {
        return [terminated(command)].into();
    }
    let path = environment::value(environment, b"PATH").unwrap_or(DEFAULT_PATH);
    let in_directory = |directory: &[u8]| {
        let directory = if directory.is_empty() { b"." } else { directory };
        let mut file = Vec::with_capacity(directory.len() + command.len() + 2);
        file.extend_from_slice(directory);
        file.push(b'/');
        file.extend_from_slice(command);
        file.push(0);
        file
    };
    path.split(|byte| *byte == b':').map(in_directory).collect()
}

/// Adds the closing NUL byte that the kernel requires.
#[must_use]
pub fn terminated(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

/// The result of one attempt to run a file that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// There is no such file, so the next one is tried.
    Missing,
    /// The file may not be run. The next one is tried, but the exit code will report this failure.
    Denied,
    /// The file cannot be run for another reason, so no further file is tried.
    Failed,
}

/// Returns the exit code after all attempts have failed, as shells and docker define it.
#[must_use]
pub fn exit_code(attempts: &[Attempt]) -> u8 {
    if attempts.iter().all(|attempt| *attempt == Attempt::Missing) { crate::NOT_FOUND } else { crate::NOT_EXECUTABLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_means_the_file_itself() {
        assert_eq!(candidates(b"./run", &[b"PATH=/bin"]), [b"./run\0"]);
        assert_eq!(candidates(b"/bin/true", &[]), [b"/bin/true\0"]);
    }

    #[test]
    fn the_apps_own_path_is_searched_in_order() {
        assert_eq!(candidates(b"app", &[b"PATH=/a:/b"]), [b"/a/app\0", b"/b/app\0"]);
        assert_eq!(candidates(b"app", &[b"PATH=/a:"]), [&b"/a/app\0"[..], b"./app\0"]);
        assert_eq!(candidates(b"app", &[]).len(), 6);
        assert!(candidates(b"", &[b"PATH=/a"]).is_empty());
    }

    #[test]
    fn codes_are_dockers() {
        assert_eq!(exit_code(&[]), 127);
        assert_eq!(exit_code(&[Attempt::Missing, Attempt::Missing]), 127);
        assert_eq!(exit_code(&[Attempt::Missing, Attempt::Denied, Attempt::Missing]), 126);
        assert_eq!(exit_code(&[Attempt::Failed]), 126);
    }
}
