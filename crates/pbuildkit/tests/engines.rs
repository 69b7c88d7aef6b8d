//! Builds on real engines: `PBUILD_TEST_MODERN`, `PBUILD_TEST_CONTAINERD` and `PBUILD_TEST_OLD` hold a `DOCKER_HOST` each,
//! with the image `busybox` in it. Run by `scripts/test`; without the variables every test fails and says so.

mod support;

use support::{Flavour, builder, dockerfile};

#[tokio::test]
async fn every_engine_says_what_it_can_do() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let capabilities = builder.capabilities().await.expect("capabilities are answered");
        assert!(capabilities.operation("exec.mount.secret"), "{flavour:?}");
        assert_eq!(capabilities.operation("exec.secretenv"), flavour != Flavour::Old, "{flavour:?}");
        assert!(!builder.workers().await.expect("workers are listed").is_empty());
    }
}

#[tokio::test]
async fn a_dockerfile_from_memory_becomes_an_image() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let request = dockerfile("FROM busybox\nRUN echo hello-from-the-step >/made\n");
        let built = support::run(&builder, request).await;
        let result = built.outcome.as_ref().expect("the build succeeds");
        assert!(result.image_digest().is_some_and(|digest| digest.starts_with("sha256:")), "{flavour:?} {result:?}");
        assert!(built.names().iter().any(|name| name.contains("RUN echo hello-from-the-step")), "{:?}", built.names());
    }
}
