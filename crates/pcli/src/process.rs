//! Protection of each tool's own process.

use std::io::Write as _;
use std::panic;
use std::process::Command;

use crate::OWN_VARIABLES;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Keeps other processes from reading this process's memory, and data out of its panic messages.
///
/// No core dump is written, and no other process of the same user may attach (K12), because both would expose
/// secrets. A panic prints its place and not its message, because the message may hold data.
///
/// If the kernel refuses, the process goes on without the protection, which is only a second line of defence. Only
/// Linux keeps other processes of the same user away; other systems only write no core dump.
pub fn protect() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    panic::set_hook(Box::new(|information| {
        let place =
            information.location().map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        // This writes to standard error directly, because the printer may be locked, or may itself have panicked. The
        // text holds no data.
        let _ = writeln!(std::io::stderr(), "error: internal error{place}; please report this line");
    }));
}

/// Removes the tools' own variables from the environment of a child process.
///
/// All other variables stay. A provider logs in with variables of its own (`VAULT_TOKEN`,
/// `OP_SERVICE_ACCOUNT_TOKEN`), so a program gets the same environment as in the caller's shell.
pub fn scrub(command: &mut Command) -> &mut Command {
    OWN_VARIABLES.iter().fold(command, |command, variable| command.env_remove(variable))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    const CHILD: &str = "PCLI_TEST_PROTECTED_CHILD";

    /// The test runs itself again as a child process, so that the panic hook and the limits do not affect other
    /// tests.
    #[test]
    fn a_protected_process_has_no_core_no_debugger_and_no_talk_k12() {
        if std::env::var_os(CHILD).is_some() {
            super::protect();
            let status = std::fs::read_to_string("/proc/self/limits").expect("our own limits");
            let core = status.lines().find(|line| line.starts_with("Max core file size")).expect("a limit of cores");
            assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
            let dumpable = rustix::process::dumpable_behavior().expect("prctl");
            assert_eq!(dumpable, rustix::process::DumpableBehavior::NotDumpable);
            let payload = format!("c4n4ry-{}", 9 * 9);
            panic!("{payload}");
        }
        let test = "process::tests::a_protected_process_has_no_core_no_debugger_and_no_talk_k12";
        let output = Command::new(std::env::current_exe().expect("this test"))
            .args([test, "--exact", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .expect("the child runs");
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success());
        assert!(said.contains("internal error at") && said.contains("process.rs"), "{said}");
        assert!(!said.contains("c4n4ry-81"), "{said}");
    }
}
