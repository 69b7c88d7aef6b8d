//! `examples/shop` from its sources to its page: it is built with its private dependency, started with generated
//! credentials, and uses its database and its cache.

use acceptance::{App, ImageName, Index, example, on_every_engine};
use ptest::{Engine, Flavour};

on_every_engine!(the_shop_is_built_started_migrated_and_serves_its_page);

fn the_shop_is_built_started_migrated_and_serves_its_page(engine: &Engine) {
    let mut app = App::new(engine, "run-shop");
    let (token, key) = (app.scene.oracle().token("INDEX_TOKEN"), app.scene.oracle().token("APP_KEY"));
    let image = ImageName::new(engine, "run-shop");
    let index = Index::start(engine, &format!("{}-index", app.project), &token);
    let file = if engine.flavour() == Flavour::Old { "Dockerfile.old" } else { "Dockerfile" };
    let built = app
        .scene
        .pbuild()
        .args([
            "build",
            "--trust-config",
            "--add-host",
            &format!("index:{}", index.address()),
            "-t",
            image.as_str(),
            "-f",
        ])
        .arg(example().join(file))
        .arg(example())
        .env("INDEX_TOKEN", token.text())
        .env("APP_KEY", key.text())
        .run();
    drop(index);
    built.expect_code(0).expect_stderr("migration skipped");
    app.image = image;

    // The manifest of the example, with names of this test.
    let text = std::fs::read_to_string(example().join("app.toml")).expect("the example's manifest");
    let own: String = text
        .lines()
        .skip_while(|line| !line.starts_with('['))
        .map(|line| line.replace("127.0.0.1:8080:8080", "@PORT@:8080") + "\n")
        .collect();
    app.manifest(&own);
    // A start does not need the token of the build, so the test does not set it.
    let outcome = app.prun(&["start"]).env("APP_KEY", key.text()).run();
    outcome.expect_code(0).expect_stderr("init      migrate").expect_stderr("healthy   1 of 1 instance");
    for name in ["DB_PASSWORD", "DATABASE_URL", "REDIS_PASSWORD", "REDIS_URL"] {
        app.register(name);
    }
    let (first, second) = (app.get("/"), app.get("/"));
    assert!(first.contains("Tin of darjeeling"), "a ware of the database: {first}");
    assert_ne!(first, second, "the cache counts");
    app.prun(&["logs"]).run().expect_code(0).expect_stdout("[migrate] migrated: 3 wares").expect_stdout("shop open");
    let seen = app.prun(&["exec", "--", "sh", "-c", "echo ${INDEX_TOKEN-absent}"]).run();
    seen.expect_code(0).expect_stdout("absent");
    app.check_what_the_engine_tells();
    app.prun(&["stop"]).run().expect_code(0);
    assert!(app.containers().is_empty());
}
