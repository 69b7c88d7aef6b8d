//! Tests the bridge with a BuildKit that answers from memory: over a pipe, as a frontend has it, and without any
//! connection.

mod fake;

use std::collections::BTreeMap;
use std::time::Duration;

use fake::Fake;
use pgateway::{
    Bridge, BuildId, CacheEntry, CacheMount, Container, Files, Mount, ProcessNews, Reference, SecretMount, StateMount,
    channel, error_at,
};
use pllb::SourceLines;
use serde_json::json;

fn state(id: &str) -> Reference {
    Reference { id: id.to_owned(), definition: None }
}

/// A frontend runs another one, changes its graph, and returns it, all over one pipe.
#[tokio::test]
async fn a_frontend_on_a_pipe_changes_a_graph_and_returns_it() {
    let fake = Fake::default();
    let (stdio, buildkit) = tokio::io::duplex(1 << 16);
    let server = tonic::transport::Server::builder().add_service(fake.server());
    let served = tokio::spawn(server.serve_with_incoming(tokio_stream::once(Ok::<_, std::io::Error>(buildkit))));
    let mut bridge = Bridge::of_frontend(channel::open(stdio, None).await.unwrap());

    let inputs = bridge.inputs().await.unwrap();
    assert_eq!(inputs["base"].def.len(), 2);
    let options = BTreeMap::from([("target".to_owned(), "runtime".to_owned())]);
    let mut solved = bridge.solve_frontend("dockerfile.v0", &options, inputs).await.unwrap();
    assert_eq!(solved.metadata["containerimage.config"], b"{}");
    let cache = CacheEntry { kind: "registry".to_owned(), attributes: BTreeMap::new() };
    let mut empty = Vec::new();
    for (platform, reference) in solved.references_mut() {
        match reference.definition.take() {
            Some(definition) => {
                *reference = bridge.solve_definition(definition, std::slice::from_ref(&cache)).await.unwrap()
            }
            None => empty.push(platform),
        }
    }
    assert_eq!(empty, [Some("linux/arm64".to_owned())]);
    bridge.finish(solved).await.unwrap();
    drop(bridge);
    served.await.unwrap().unwrap();

    fake.asked(|asked| {
        let [forwarded, changed] = asked.solves.as_slice() else { panic!("{} solves", asked.solves.len()) };
        assert_eq!(
            (forwarded.frontend.as_str(), forwarded.frontend_opt["target"].as_str()),
            ("dockerfile.v0", "runtime")
        );
        assert!(forwarded.frontend_inputs.contains_key("base") && forwarded.allow_result_return);
        assert_eq!((changed.definition.as_ref().unwrap().def.len(), changed.cache_imports.len()), (2, 1));
        let result = asked.returns[0].result.clone().unwrap();
        assert_eq!(result.attestations.len(), 1, "attestations are handed on");
        let Some(refs) = result.result else { panic!("nothing was returned") };
        assert!(format!("{refs:?}").contains("changed"), "{refs:?}");
    });
}

#[tokio::test]
async fn only_a_client_s_calls_name_a_build() {
    let fake = Fake::default();
    let build = BuildId::random();
    Bridge::of_frontend(fake.server()).capabilities().await.unwrap();
    Bridge::of_build(fake.server(), &build).capabilities().await.unwrap();
    assert_eq!(fake.asked(|asked| asked.builds.clone()), [None, Some(build.as_str().to_owned())]);
    assert_ne!(build, BuildId::random());
}

#[tokio::test]
async fn a_container_sees_states_secrets_and_a_folder_of_the_builder() {
    let fake = Fake::default();
    let bridge = Bridge::of_frontend(fake.server());
    let at = |path: &str| path.to_owned();
    let mounts = [
        Mount::from(&StateMount { reference: state("scanner"), at: at("/") }),
        Mount::Secret(SecretMount { id: at("TOKEN"), at: at("/run/pbuild-secrets/0") }),
        Mount::Cache(CacheMount { id: at("pbuild-gate"), at: at("/var/pbuild") }),
    ];
    let container = Container::new(&bridge, mounts).await.unwrap();
    // The input is longer than one message.
    let input = vec![b'x'; 200_000];
    let mut process = container.run(&["/plook"], input.clone()).await.unwrap();
    let mut news = Vec::new();
    while let Some(one) = process.next().await.unwrap() {
        news.push(one);
    }
    assert_eq!(news, [ProcessNews::Output(b"out".into()), ProcessNews::Error(b"error".into()), ProcessNews::Exit(3)]);
    container.release().await.unwrap();
    fake.asked(|asked| {
        assert_eq!(asked.input, input);
        let request = &asked.containers[0];
        let [root, secret, cache] = request.mounts.as_slice() else { panic!("{:?}", request.mounts) };
        assert_eq!((root.dest.as_str(), root.result_id.as_str()), ("/", "scanner"));
        let option = secret.secret_opt.as_ref().unwrap();
        assert_eq!((option.id.as_str(), option.optional, option.mode), ("TOKEN", true, 0o400));
        assert_eq!(cache.cache_opt.as_ref().unwrap().id, "pbuild-gate");
        assert!(request.mounts.iter().all(|mount| mount.input == -1 && mount.output == -1));
        assert_eq!(asked.released, [request.container_id.as_str()]);
    });
}

#[tokio::test]
async fn a_container_that_is_dropped_is_released() {
    let fake = Fake::default();
    let bridge = Bridge::of_frontend(fake.server());
    drop(Container::new(&bridge, &[StateMount { reference: state("a"), at: "/".to_owned() }]).await.unwrap());
    for _ in 0..100 {
        if fake.asked(|asked| asked.released.len() == 1) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the container is still there");
}

#[tokio::test]
async fn an_error_names_the_lines_that_docker_marks() {
    let fake = Fake::default();
    let mut bridge = Bridge::of_frontend(fake.server());
    let lines = SourceLines { file: "Dockerfile".to_owned(), first: 2, last: 3, text: Vec::new() };
    bridge.fail(&error_at("the image would contain a secret", &lines, b"FROM a\nRUN \\\n b\n")).await.unwrap();
    bridge.fail(&tonic::Status::cancelled("given up")).await.unwrap();
    fake.asked(|asked| {
        let [at_lines, plain] = [0, 1].map(|nth: usize| asked.returns[nth].error.clone().unwrap());
        assert_eq!((at_lines.code, at_lines.message.as_str()), (2, "the image would contain a secret"));
        assert!(at_lines.details[0].type_url.ends_with("errdefs.Source+json"));
        let detail: serde_json::Value = serde_json::from_slice(&at_lines.details[0].value).unwrap();
        let expected = json!({
            "info": { "filename": "Dockerfile", "data": "RlJPTSBhClJVTiBcCiBiCg==" },
            "ranges": [{ "start": { "line": 2 }, "end": { "line": 3 } }],
        });
        assert_eq!(detail, expected);
        assert_eq!((plain.code, plain.message.as_str(), plain.details.len()), (1, "given up", 0));
    });
}

#[tokio::test]
async fn a_warning_belongs_to_a_step() {
    let fake = Fake::default();
    Bridge::of_frontend(fake.server()).warn("sha256:ab", "nothing was searched", &["name a secret"]).await.unwrap();
    fake.asked(|asked| {
        let warning = &asked.warnings[0];
        assert_eq!((warning.digest.as_str(), warning.level), ("sha256:ab", 1));
        assert_eq!((warning.short.as_slice(), warning.detail.len()), (b"nothing was searched".as_slice(), 1));
    });
}

#[tokio::test]
async fn a_file_is_compared_to_its_last_byte_and_no_further() {
    let file: Vec<u8> = (0..3 << 20).map(|number: u32| number as u8).collect();
    let fake = Fake::of_file(&file);
    let mut bridge = Bridge::of_frontend(fake.server());
    let mut is = async |expected: &[u8]| bridge.file_is(&state("a"), "/a", expected).await.unwrap();
    assert!(is(&file).await);
    assert!(!is(&file[..file.len() - 1]).await, "the file is longer");
    assert!(!is(&[file.as_slice(), b"x"].concat()).await, "the file is shorter");
    let mut other = file.clone();
    other[2 << 20] ^= 1;
    assert!(!is(&other).await);
    assert_eq!(bridge.read_file(&state("a"), "/a").await.unwrap(), file);
}

#[tokio::test]
async fn an_old_builder_evaluates_by_looking() {
    let fake = Fake::default();
    let mut bridge = Bridge::of_frontend(fake.server());
    bridge.evaluate(&state("")).await.unwrap();
    assert!(fake.asked(|asked| asked.stats.is_empty()), "an empty state has nothing to run");
    bridge.evaluate(&state("lazy")).await.unwrap();
    assert_eq!(fake.asked(|asked| asked.stats.clone()), ["/"]);
}

/// The [`Outcome`] is not that of a solve: a check returns nothing.
#[tokio::test]
async fn a_build_without_files_returns_nothing() {
    let fake = Fake::default();
    let nothing = pgateway::Solved::default();
    assert!(matches!(nothing.files, Files::Nothing));
    Bridge::of_frontend(fake.server()).finish(nothing).await.unwrap();
    assert!(fake.asked(|asked| asked.returns[0].result.as_ref().unwrap().result.is_none()));
}
