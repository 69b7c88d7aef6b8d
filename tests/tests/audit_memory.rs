//! A layer that was clean before is not searched again. A layer that only claims to be the same one is searched.

use std::fs;
use std::path::PathBuf;

use acceptance::{ImageName, named};
use ptest::{Archive, Canary, Compression, Engine, Flavour, Image, Layer, Outcome, Scene};

const KNOWN: &str = "known from before";

fn audit(scene: &Scene, token: &Canary, arguments: &[&str]) -> Outcome {
    scene.pbuild().args(["audit", "--secret", "id=TOKEN"]).args(arguments).env("TOKEN", token.text()).run()
}

fn clean() -> Layer {
    Layer::new().file("srv/conf", "key = none\n").file("srv/big", "x".repeat(100_000))
}

fn unpack(scene: &Scene, archive: &Archive) -> PathBuf {
    for member in archive.names() {
        scene.write_secret(&format!("layout/{member}"), archive.get(member).expect("a member"));
    }
    scene.project().join("layout")
}

fn memory(scene: &Scene) -> Vec<PathBuf> {
    let folder = fs::read_dir(scene.home().join(".cache/pbuild/layers"));
    folder.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[track_caller]
fn expect_no_memory(outcome: &Outcome) {
    assert!(!outcome.stdout().contains(KNOWN), "{}", outcome.stdout());
}

#[test]
fn a_clean_layer_is_left_out_the_second_time_for_the_same_secrets_alone() {
    let scene = Scene::new();
    let (token, other) = (scene.oracle().token("TOKEN"), scene.oracle().token("OTHER"));
    let image = Image::new().packed_layer(clean(), Compression::Gzip, "COPY conf /srv").packed_layer(
        Layer::new().whiteout("srv/conf"),
        Compression::Gzip,
        "RUN rm",
    );
    unpack(&scene, &image.oci());
    expect_no_memory(audit(&scene, &token, &["oci:layout"]).expect_code(0));
    audit(&scene, &token, &["oci:layout"]).expect_code(0).expect_stdout("2 layers known from before");
    expect_no_memory(audit(&scene, &token, &["oci:layout", "--no-cache"]).expect_code(0));
    expect_no_memory(audit(&scene, &other, &["oci:layout"]).expect_code(0));
    let both = scene.pbuild().args(["audit", "oci:layout", "--secret", "id=TOKEN", "--secret", "id=OTHER"]);
    expect_no_memory(both.env("TOKEN", token.text()).env("OTHER", other.text()).run().expect_code(0));
    // A known layer is not searched again, but the files that it deletes are still reported.
    let leaking = Image::new()
        .packed_layer(Layer::new().file("srv/conf", token.text()), Compression::Gzip, "RUN make")
        .packed_layer(Layer::new().whiteout("srv/conf"), Compression::Gzip, "RUN rm");
    fs::remove_dir_all(scene.project().join("layout")).expect("ours");
    unpack(&scene, &leaking.oci());
    let found = audit(&scene, &token, &["oci:layout"]);
    found.expect_code(10).expect_stdout("1 layer known").expect_stdout("deleted in layer 2");
}

/// A layout and an archive that hold other bytes under the digest of a clean layer are searched in full.
#[test]
fn a_forged_digest_of_a_clean_layer_is_searched_in_full() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let image = Image::new().packed_layer(clean(), Compression::Plain, "COPY conf /srv");
    let mut archive = image.docker_oci("shop:1");
    unpack(&scene, &archive);
    audit(&scene, &token, &["oci:layout"]).expect_code(0);
    audit(&scene, &token, &["oci:layout"]).expect_code(0).expect_stdout(KNOWN);
    let layer = archive.names().find(|name| archive.get(name).is_some_and(|bytes| bytes.len() > 50_000));
    let layer = layer.expect("the layer").to_owned();
    let forged = Layer::new().file("srv/conf", token.text()).file("srv/big", "x".repeat(100_000)).tar();
    archive.replace(&layer, forged.clone());
    scene.write_secret(&format!("layout/{layer}"), forged);
    let found = audit(&scene, &token, &["oci:layout"]);
    found.expect_code(10).expect_stdout("/srv/conf").expect_stdout("do not match their digest");
    scene.write_secret("forged.tar", archive.tar());
    audit(&scene, &token, &["docker-archive:forged.tar"]).expect_code(10).expect_stdout("/srv/conf");
}

/// A user who can write to the folder of the memory but does not have its key cannot make a layer known.
#[test]
fn what_somebody_else_wrote_into_the_memory_counts_for_nothing() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    unpack(&scene, &Image::new().packed_layer(clean(), Compression::Gzip, "COPY").oci());
    audit(&scene, &token, &["oci:layout"]).expect_code(0);
    let [file] = memory(&scene).try_into().expect("one layer");
    let right = fs::read_to_string(&file).expect("a file of the memory");
    for wrong in [right.replace("\"bytes\":", "\"bytes\":1"), right.replace("seal\":\"", "seal\":\"0"), String::new()] {
        assert_ne!(wrong, right);
        fs::write(&file, wrong).expect("ours");
        expect_no_memory(audit(&scene, &token, &["oci:layout"]).expect_code(0));
    }
    audit(&scene, &token, &["oci:layout"]).expect_code(0).expect_stdout(KNOWN);
    // A key that others can read is not used.
    let key = scene.home().join(".local/state/pbuild/layers.key");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&key).expect("the key")) & 0o777, 0o600);
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("ours");
    expect_no_memory(audit(&scene, &token, &["oci:layout"]).expect_code(0));
}

#[test]
fn a_layer_with_a_finding_is_searched_again() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    unpack(&scene, &Image::new().layer(Layer::new().file("srv/conf", token.text()), "RUN make").oci());
    for _ in 0..2 {
        let outcome = audit(&scene, &token, &["oci:layout"]);
        expect_no_memory(outcome.expect_code(10));
    }
    assert_eq!(memory(&scene), Vec::<PathBuf>::new());
}

/// The engine's own store guarantees its layers, so they need no search the second time.
#[test]
fn an_engine_s_layer_is_left_out_the_second_time() {
    for flavour in Flavour::ALL {
        let engine = Engine::get(flavour);
        let scene = Scene::on(&engine);
        let token = scene.oracle().token("TOKEN");
        let name = ImageName::new(&engine, "memory");
        let image = Image::new().packed_layer(clean(), Compression::Plain, "COPY conf /srv");
        let archive = if flavour == Flavour::Old {
            image.docker_legacy(name.as_str())
        } else {
            named(image.docker_oci(name.as_str()), name.as_str())
        };
        let path = scene.write("image.tar", archive.tar());
        let _ = engine.docker(&["load", "--input", path.to_str().expect("UTF-8")]);
        expect_no_memory(audit(&scene, &token, &[name.as_str()]).expect_code(0));
        audit(&scene, &token, &[name.as_str()]).expect_code(0).expect_stdout("1 layer known from before");
    }
}
