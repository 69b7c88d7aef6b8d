//! Rotation of credentials: while everybody logs in, and after a kill at every step (R1, R8, R9, R13, P5).

use acceptance::service::{Login, MARIADB, MONGODB, MYSQL, POSTGRES, REDIS, Service, VALKEY};
use acceptance::{App, ImageName, each_service};
use ptest::{Engine, Flavour};

each_service!(r9_no_login_fails_while_credentials_rotate_and_r1_a_kill_at_any_step_is_finished_by_the_next_run_p5:
    postgres => super::POSTGRES,
    mysql => super::MYSQL,
    mariadb => super::MARIADB,
    redis => super::REDIS,
    valkey => super::VALKEY,
    mongodb => super::MONGODB,
);

/// A project whose instances log in all the time.
struct Busy<'engine> {
    app: App<'engine>,
    service: Service,
    /// The images of the app, which are removed with it.
    images: [ImageName<'engine>; 2],
}

impl<'engine> Busy<'engine> {
    fn start(engine: &'engine Engine, service: Service, replicas: u32) -> Self {
        let app = App::new(engine, &format!("rotate-{}", service.kind));
        let images = [service.busy_app(&app), service.talkative(&app)];
        let busy = Self { app, service, images };
        busy.scale(replicas);
        busy
    }

    /// Brings up so many instances. They count as soon as they run: what they are for is to log in, not to be waited
    /// for.
    fn scale(&self, replicas: u32) {
        let [image, talkative] = &self.images;
        let manifest = format!(
            "name = \"{}\"\nimage = \"{}\"\n{}[run]\nreplicas = {replicas}\nvolumes = [\"attempts:/attempts\"]\n\
             health = {{ command = [\"true\"] }}\n",
            self.app.project,
            image.as_str(),
            self.service.table().replace(self.service.image, talkative.as_str()),
        );
        self.app.scene.write("app.toml", manifest);
        self.app.start();
    }

    /// Every attempt so far, one a line.
    fn attempts(&self) -> String {
        let instance = format!("{}.{}", self.app.project, self.app.instances()[0]);
        let output = self.app.engine.docker(&["exec", &instance, "sh", "-c", "cat /attempts/*"]);
        String::from_utf8_lossy(&output).into_owned()
    }

    fn reaches(&self, count: usize) -> bool {
        let reached = || self.attempts().lines().count() >= count;
        (0..5).any(|_| self.app.becomes(reached))
    }

    #[track_caller]
    fn none_failed(&self) {
        let attempts = self.attempts();
        let failed: Vec<&str> = attempts.lines().filter(|line| *line != "ok").collect();
        assert!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), attempts.lines().count(), failed.first());
    }

    /// Checks that the old login is refused and the new one opens.
    #[track_caller]
    fn is_rotated(&self, old: &Login) -> Login {
        let new = self.service.login(&self.app);
        assert_ne!(new.password, old.password);
        assert!(self.service.opens(&self.app, &new), "the new credential opens the service");
        assert!(!self.service.opens(&self.app, old), "the old one does not");
        new
    }

    /// Checks that nothing of an interrupted run is left.
    #[track_caller]
    fn has_no_orphan(&self, replicas: u32) {
        let instances = self.app.instances();
        let generation = instances[0].split('.').next().expect("a generation").to_owned();
        let expected: Vec<String> = (1..=replicas).map(|number| format!("{generation}.{number}")).collect();
        assert_eq!(instances, expected);
        let (project, name) = (&self.app.project, self.service.name);
        let mut containers = vec![
            format!("{project}-{name}"),
            format!("{project}-{name}.values"),
            format!("{project}.{generation}.values"),
        ];
        containers.extend(instances.iter().map(|instance| format!("{project}.{instance}")));
        containers.sort();
        assert_eq!(self.app.containers(), containers);
    }
}

/// One server for both claims, because starting it and making images takes longest.
fn r9_no_login_fails_while_credentials_rotate_and_r1_a_kill_at_any_step_is_finished_by_the_next_run_p5(
    service: Service,
) {
    let engine = Engine::get(Flavour::Modern);
    let busy = Busy::start(&engine, service, 3);
    let app = &busy.app;
    app.register(&service.password());
    let first = service.login(app);
    assert!(service.put(app, &first));
    assert!(busy.reaches(100), "everybody logs in: {}", busy.attempts());
    let image = || {
        let instance = format!("{}.{}", app.project, app.instances()[0]);
        engine.docker(&["inspect", "--format", "{{.Image}}", &instance])
    };
    let before = image();

    let outcome = app.prun(&["services", "rotate", service.name]).run();
    outcome
        .expect_code(0)
        .expect_stderr("new credential enabled, login verified")
        .expect_stderr("retired   3")
        .expect_stderr("old credential revoked, login refused")
        .expect_stderr("no image was rebuilt");
    app.register(&service.password());
    busy.none_failed();
    busy.has_no_orphan(3);
    busy.is_rotated(&first);

    busy.scale(1);
    killed_at_every_point(&busy);
    let new = service.login(app);
    app.register(&service.password());
    assert!(busy.reaches(1000), "{}", busy.attempts().lines().count());
    busy.none_failed();
    assert!(service.get(app, &new), "the data is the same");
    assert_eq!(image(), before, "nothing was built");

    // The server's own restart brings nothing back.
    let server = format!("{}-{}", app.project, service.name);
    if service.prefix == "DB" && service.kind != "postgres" {
        let log = engine.docker(&["exec", &server, "cat", "/var/lib/mysql/all.log"]);
        assert!(!log.is_empty());
        app.scene.oracle().check_bytes("the server's log of statements", &log);
    }
    engine.docker(&["restart", &server]);
    assert!(app.becomes(|| service.opens(app, &new)));
    assert!(!service.opens(app, &first));
    app.check_what_the_engine_tells();
}

/// Reads from the program's own source the points at which it can be told to kill itself.
fn points() -> Vec<String> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/prun/src/fault.rs");
    let text = std::fs::read_to_string(source).expect("the list of points");
    let (_, list) = text.split_once("POINTS: [").expect("the list of points");
    let (list, _) = list.split_once("];").expect("the end of the list");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The points around which the server itself is told of a credential. All others are the same for every kind of service.
const POINTS_OF_THE_SERVER: [&str; 4] =
    ["rotation.sealed", "rotation.enabled", "rotation.revoking", "rotation.revoked"];

fn killed_at_every_point(busy: &Busy<'_>) {
    let (app, service) = (&busy.app, busy.service);
    let binaries = std::env::var("PBUILD_TEST_BINARIES").expect("PBUILD_TEST_BINARIES: run scripts/test");
    let mut points = points();
    assert!(points.len() > 10);
    // MongoDB's client takes seconds to start, and each point needs a dozen of them.
    if service.kind == "mongodb" {
        points.retain(|point| POINTS_OF_THE_SERVER.contains(&point.as_str()));
        assert_eq!(points, POINTS_OF_THE_SERVER);
    }
    let mut old = service.login(app);
    for point in points {
        let killed = app
            .scene
            .tool(format!("{binaries}/prun-with-faults"))
            .args(["services", "rotate", service.name])
            .env("PRUN_FAULT", &point)
            .run();
        assert!(killed.was_killed(), "{point}: {killed:?}");
        app.start();
        let new = busy.is_rotated(&old);
        assert_eq!(app.digest_of(&service.password()), App::digest(new.password.as_bytes()), "{point}");
        busy.has_no_orphan(1);
        busy.none_failed();
        old = new;
    }
    // Nothing is left to finish.
    app.start().expect_stderr("nothing to change");
}

#[test]
fn r8_a_rotation_while_the_app_is_down_leaves_it_down_and_is_found_by_the_next_start() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "down");
    app.manifest(&(VALKEY.table() + "[run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n"));
    app.start();
    let old = VALKEY.login(&app);
    app.prun(&["stop"]).run().expect_code(0);
    app.prun(&["services", "rotate", "--all"]).run().expect_code(0).expect_stderr("old credential revoked");
    assert!(app.instances().is_empty());
    app.start();
    let new = VALKEY.login(&app);
    assert_ne!(new.password, old.password);
    assert!(VALKEY.opens(&app, &new) && !VALKEY.opens(&app, &old));
    app.prun(&["services", "rotate", "reports"]).run().expect_code(2).expect_stderr("it uses cache");
}
