//! Starts that are interrupted, killed, or overlap with another start, and rolls under load (R7, R13, R17).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use acceptance::App;
use ptest::{Engine, Flavour};

const SLOW: &str = "[env]\nROUND = \"N\"\n[[init]]\nname = \"slow\"\ncommand = [\"sleep\", \"3\"]\n\
    [run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n";

fn round(number: u32) -> String {
    SLOW.replace("\"N\"", &format!("\"{number}\""))
}

#[test]
fn ctrl_c_leaves_what_ran_and_nothing_half_made() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "stopped");
    for number in 1..=2 {
        app.manifest(&round(number));
        let mut running = app.prun(&["start"]).spawn();
        assert!(app.becomes(|| app.instances().contains(&format!("{number}.1"))), "the new instance is there");
        let began = Instant::now();
        running.interrupt();
        running.finish().expect_code(130).expect_stderr("stopped");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        if number == 1 {
            assert!(app.containers().is_empty(), "{:?}", app.containers());
            app.start();
        }
    }
    assert_eq!(app.instances(), ["1.1"]);
    assert!(app.get("/healthz").ends_with("ok\n"));
}

#[test]
fn r17_what_a_killed_start_left_is_adopted_or_removed_by_the_next() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "killed");
    app.manifest(&round(1));
    app.start();
    app.manifest(&round(2));
    let mut running = app.prun(&["start"]).spawn();
    assert!(app.becomes(|| app.instances().contains(&"2.1".to_owned())), "the new instance is there");
    running.kill();
    assert!(running.finish().was_killed());
    assert_eq!(app.instances(), ["1.1", "2.1"]);
    assert!(app.get("/healthz").ends_with("ok\n"), "the old one answers meanwhile");
    app.start();
    assert_eq!(app.instances(), ["2.1"]);
    assert!(app.get("/healthz").ends_with("ok\n"));
}

#[test]
fn r7_two_starts_of_one_project_do_not_meet() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "twice");
    app.manifest(&round(1));
    let mut first = app.prun(&["start"]).spawn();
    assert!(app.becomes(|| !app.containers().is_empty()), "the first one works");
    // The second start waits until the first one has finished, and then has nothing to do.
    app.start().expect_stderr("nothing to change");
    first.wait_for("healthy");
    first.finish().expect_code(0);
    assert_eq!(app.instances(), ["1.1"]);
}

#[test]
fn r13_an_instance_that_the_engine_starts_again_has_its_values_and_runs_its_init_again() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "restart");
    let key = app.scene.oracle().token("APP_KEY");
    app.manifest(&format!("[secrets]\nAPP_KEY = {{}}\n{}", round(1).replace("\"sleep\", \"3\"", "\"true\"")));
    app.prun(&["start"]).env("APP_KEY", key.text()).run().expect_code(0);
    let container = format!("{}.1.1", app.project);
    engine.docker(&["restart", &container]);
    assert!(app.becomes(|| app.get("/healthz").ends_with("ok\n")), "it is reached under its name again");
    assert_eq!(app.digest_of("APP_KEY"), App::digest(key.value()));
    let logs = app.prun(&["logs"]).run();
    assert_eq!(logs.stderr().matches("prun: init slow finished").count(), 2, "{logs:?}");
}

#[test]
fn no_request_is_lost_while_instances_are_replaced() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "roll");
    let manifest = |number: u32| {
        app.manifest(&format!(
            "[env]\nROUND = \"{number}\"\n[run]\nreplicas = 2\nports = [\"@PORT@:8080\"]\nhealth = {{ http = \"/healthz\" }}\n"
        ));
    };
    manifest(1);
    app.start();
    let (answered, failed, done) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let count = if app.get("/healthz").ends_with("ok\n") { &answered } else { &failed };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let rolled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 2..=3 {
                manifest(number);
                app.start().expect_stderr("retired   2");
            }
            assert!(app.becomes(|| answered.load(Ordering::Relaxed) + failed.load(Ordering::Relaxed) >= 2000));
        }));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = rolled {
            std::panic::resume_unwind(panic);
        }
    });
    let (answered, failed) = (answered.into_inner(), failed.into_inner());
    assert!(failed == 0 && answered >= 2000, "{answered} answered, {failed} failed");
    assert_eq!(app.instances(), ["3.1", "3.2"]);
}
