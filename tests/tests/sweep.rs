//! The last of all tests: no value that a test planted is left in any engine.

use std::path::Path;

use ptest::{Engine, Flavour};

#[test]
fn no_engine_keeps_a_value_of_any_test() {
    let folder = std::env::var_os("PBUILD_TEST_CANARIES").expect("PBUILD_TEST_CANARIES is not set: run scripts/test");
    for flavour in Flavour::ALL {
        let swept = ptest::sweep(&Engine::get(flavour).data_root(), Path::new(&folder));
        eprintln!("{flavour:?}: {} canaries, {} files, {} MB", swept.canaries, swept.files, swept.bytes >> 20);
        assert!(swept.canaries > 0, "no test planted anything: the sweep proves nothing");
        assert!(swept.traces.is_empty(), "{flavour:?} keeps {:#?}", swept.traces);
    }
}
