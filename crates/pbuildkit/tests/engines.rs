//! Builds on real engines. `PBUILD_TEST_MODERN`, `PBUILD_TEST_CONTAINERD` and `PBUILD_TEST_OLD` each hold the
//! `DOCKER_HOST` of an engine that has the image `busybox`. `PBUILD_TEST_BUILDX` is the command line of a real
//! `docker buildx`. `scripts/test` sets these variables; without them, every test fails with a message.

mod injection;
mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pbuildkit::status::StatusUpdate;
use pbuildkit::{
    BuildError, BuildRequest, ContextObserver, FailureKind, FileObserver, History, Local, Permission, SecretAnswer,
    SecretProvider, Transform, shared_key,
};
use pgateway::Capabilities;
use pllb::{Definition, Mode, Plan, PlannedSecret};
use support::{Flavour, Proxy, builder, buildx, dockerfile, processes_with, run, run_with, unique};
use tempfile::TempDir;

/// A transformation that injects secrets, as pbuild does.
struct Inject(Vec<&'static str>);

impl Transform for Inject {
    type Error = pllb::InjectError;

    fn transform(
        &mut self,
        capabilities: &Capabilities,
        _: Option<&str>,
        definition: Definition,
    ) -> Result<Definition, Self::Error> {
        let secrets = self.0.iter().map(|name| PlannedSecret::variable(name)).collect();
        let plan = Plan { secrets, ..Plan::default() };
        let with_environment = capabilities.operation(Capabilities::SECRET_ENVIRONMENT);
        let mode = if with_environment { Mode::Environment } else { Mode::Mounts };
        pllb::inject(definition, &plan, mode).map(|injected| injected.definition)
    }
}

/// A transformation that changes nothing.
struct Same;

impl Transform for Same {
    type Error = std::convert::Infallible;

    fn transform(&mut self, _: &Capabilities, _: Option<&str>, same: Definition) -> Result<Definition, Self::Error> {
        Ok(same)
    }
}

struct Values(BTreeMap<String, Vec<u8>>);

impl SecretProvider for Values {
    fn secret(&self, id: &str) -> Option<Vec<u8>> {
        self.0.get(id).cloned()
    }
}

fn values(pairs: &[(&str, &str)]) -> Arc<Values> {
    Arc::new(Values(pairs.iter().map(|(id, value)| ((*id).to_owned(), value.as_bytes().to_vec())).collect()))
}

/// Makes a request for a build of a directory that holds a Dockerfile.
fn directory(root: &Path) -> BuildRequest {
    let mut request = BuildRequest::dockerfile();
    for name in ["context", "dockerfile"] {
        request.locals.insert(name.into(), Local::Directory(root.into()));
    }
    request.shared_key = shared_key(root, None);
    request
}

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
async fn b25_a_dockerfile_from_memory_becomes_an_image() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let text = format!("FROM busybox\nRUN echo {} >/made\n", unique());
        let built = run(&builder, dockerfile(&text)).await;
        let result = built.outcome.as_ref().expect("the build succeeds");
        assert!(result.image_digest().is_some_and(|digest| digest.starts_with("sha256:")), "{flavour:?} {result:?}");
        assert!(built.names().iter().any(|name| name.contains("RUN echo")), "{:?}", built.names());
    }
}

#[tokio::test]
async fn b25_two_dockerfiles_of_one_length_from_memory_are_two_builds() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        for _ in 0..2 {
            let mark = unique();
            let built = run(&builder, dockerfile(&format!("FROM busybox\nRUN echo {mark}\n"))).await;
            assert!(built.log().contains(&mark), "{flavour:?}: an earlier Dockerfile was built: {:?}", built.names());
        }
    }
}

#[tokio::test]
async fn injected_secrets_reach_every_step_and_nothing_else_does() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let value = unique();
        let text = format!(
            "FROM busybox AS first\nRUN echo \"first=$TOKEN {0}\"\nFROM first\nRUN [\"sh\", \"-c\", \"echo second=$TOKEN\"]\n",
            unique()
        );
        let mut request = dockerfile(&text);
        request.secrets = values(&[("TOKEN", &value), ("OTHER", "never")]);
        request.history = History::Nothing;
        let built = run_with(&builder, request, Some(&mut Inject(vec!["TOKEN"]))).await;
        let result = built.outcome.as_ref().expect("the build succeeds");
        for line in [format!("first={value}"), format!("second={value}")] {
            assert!(built.log().contains(&line), "{flavour:?}: {line} is not in {}", built.log());
        }
        let asked: Vec<_> = result.asked_secrets.iter().map(|asked| (asked.id.as_str(), asked.answer)).collect();
        assert_eq!(asked, [("TOKEN", SecretAnswer::Served)], "{flavour:?}");
    }
}

#[tokio::test]
async fn b13_a_secret_that_nobody_has_fails_the_step() {
    let builder = builder(Flavour::Modern).await;
    let request = dockerfile(&format!("FROM busybox\nRUN echo {}\n", unique()));
    let built = run_with(&builder, request, Some(&mut Inject(vec!["TOKEN"]))).await;
    let error = built.outcome.expect_err("the secret is required");
    assert!(error.failure().is_some_and(|failure| failure.message.contains("TOKEN: not found")), "{error}");
}

#[tokio::test]
async fn b11_a_transformation_that_changes_nothing_serves_only_what_the_dockerfile_mounts() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let value = unique();
        let text =
            format!("FROM busybox\nRUN --mount=type=secret,id=MINE cat /run/secrets/MINE && echo {}\n", unique());
        let mut request = dockerfile(&text);
        request.secrets = values(&[("MINE", &value)]);
        let built = run_with(&builder, request, Some(&mut Same)).await;
        let result = built.outcome.as_ref().unwrap_or_else(|error| panic!("{flavour:?}: {error}"));
        assert!(built.log().contains(&value), "{flavour:?}");
        assert_eq!(result.asked_secrets.len(), 1);
    }
}

#[tokio::test]
async fn b21_files_arrive_in_the_image_as_they_are_and_are_not_sent_twice() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let folder = TempDir::new().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("deep/er")).unwrap();
        fs::write(root.join("deep/er/file"), unique()).unwrap();
        fs::write(root.join("ignored"), "no").unwrap();
        fs::write(root.join("name with ünicode"), "yes").unwrap();
        fs::write(root.join("empty"), "").unwrap();
        fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::hard_link(root.join("deep/er/file"), root.join("second")).unwrap();
        symlink("deep/er", root.join("link")).unwrap();
        fs::write(root.join("large"), vec![b'x'; 3_000_000]).unwrap();
        fs::write(root.join(".dockerignore"), "ignored\ndeep/*\n!deep/er\n").unwrap();
        fs::write(
            root.join("Dockerfile"),
            "FROM busybox\nCOPY . /c/\nRUN cd /c && find . | sort && stat -c '%n %a %u %h' empty second deep/er/file && \
             readlink link && wc -c <large && cat link/file\n",
        )
        .unwrap();
        let built = run(&builder, directory(root)).await;
        let result = built.outcome.as_ref().unwrap_or_else(|error| panic!("{flavour:?}: {error}"));
        let log = built.log();
        for wanted in ["./deep/er/file\n", "./name with ünicode\n", "empty 4750 0 1\n", "deep/er\n", "3000000\n"] {
            assert!(log.contains(wanted), "{flavour:?}: {wanted:?} is not in {log}");
        }
        assert!(!log.contains("ignored"), "{log}");
        assert!(result.sent.bytes >= 3_000_000, "{:?}", result.sent);

        let again = run(&builder, directory(root)).await;
        let sent = again.outcome.as_ref().expect("the second build succeeds").sent;
        // The Dockerfile and .dockerignore are always sent, because the frontend requests them without comparing.
        assert!(sent.files <= 2 && sent.bytes < 1000, "{flavour:?}: {sent:?}");
        assert!(again.cached().iter().any(|name| name.contains("COPY . /c/")), "{:?}", again.cached());
    }
}

#[tokio::test]
async fn p7_caches_are_shared_with_docker_in_both_directions() {
    for flavour in [Flavour::Modern, Flavour::Containerd] {
        let builder = builder(flavour).await;
        for ours_first in [true, false] {
            let folder = TempDir::new().unwrap();
            let root = folder.path();
            fs::write(root.join("file"), unique()).unwrap();
            symlink("file", root.join("link")).unwrap();
            fs::hard_link(root.join("file"), root.join("second")).unwrap();
            fs::create_dir(root.join("folder")).unwrap();
            fs::set_permissions(root.join("folder"), fs::Permissions::from_mode(0o2755)).unwrap();
            let _socket = UnixListener::bind(root.join("socket")).unwrap();
            make_pipe(&root.join("pipe"));
            fs::write(root.join("Dockerfile"), "FROM busybox\nARG A\nCOPY . /c/\nRUN cat /c/file\n").unwrap();
            let mut request = directory(root);
            request.attributes.insert("build-arg:A".into(), "1".into());
            let steps = ["COPY . /c/", "RUN cat /c/file"];
            if ours_first {
                run(&builder, request).await.outcome.expect("our build succeeds");
                let log = buildx(flavour, root, &["--build-arg", "A=1"]);
                for step in steps {
                    let line = log.lines().find(|line| line.contains(step)).unwrap_or_else(|| panic!("{log}"));
                    let number = line.split(' ').next().unwrap();
                    assert!(log.contains(&format!("{number} CACHED")), "{flavour:?}: {step} in {log}");
                }
            } else {
                buildx(flavour, root, &["--build-arg", "A=1"]);
                let built = run(&builder, request).await;
                built.outcome.as_ref().expect("our build succeeds");
                for step in steps {
                    assert!(
                        built.cached().iter().any(|name| name.contains(step)),
                        "{flavour:?}: {step} {:?}",
                        built.cached()
                    );
                }
            }
        }
    }
}

fn make_pipe(path: &Path) {
    let status = std::process::Command::new("mkfifo").arg(path).status();
    assert!(status.is_ok_and(|status| status.success()), "mkfifo works");
}

#[tokio::test]
async fn b21_a_name_that_is_not_utf_8_arrives_or_is_named() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let folder = TempDir::new().unwrap();
        let text = format!("FROM busybox\nCOPY . /c/\nRUN ls /c | grep -c odd- && echo {}\n", unique());
        fs::write(folder.path().join("Dockerfile"), text).unwrap();
        fs::write(folder.path().join(OsStr::from_bytes(b"odd-\xff")), "x").unwrap();
        let built = run(&builder, directory(folder.path())).await;
        match built.outcome.as_ref() {
            // Docker 20.10 accepts names of any bytes, and Docker 28 only names in UTF-8, even from its own client.
            Ok(_) => assert!(built.log().starts_with('1'), "{flavour:?}: {}", built.log()),
            Err(BuildError::Source { path, .. }) => assert!(path.as_os_str().as_bytes().ends_with(b"odd-\xff")),
            Err(error) => panic!("{flavour:?}: {error} does not name the file"),
        }
    }
}

#[tokio::test]
async fn b21_ten_thousand_small_files_are_sent() {
    let folder = TempDir::new().unwrap();
    let mark = unique();
    for number in 0..10_000 {
        let directory = folder.path().join(format!("d{}", number / 200));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("f{number}")), &mark).unwrap();
    }
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
    let built = run(&builder(Flavour::Modern).await, directory(folder.path())).await;
    let result = built.outcome.as_ref().expect("the build succeeds");
    assert!(result.sent.files > 10_000, "{:?}", result.sent);
}

/// The step prints much faster than its log is read.
#[tokio::test]
async fn a_long_log_that_is_read_late_arrives_whole() {
    let builder = builder(Flavour::Modern).await;
    let text = format!("FROM busybox\nRUN seq 1 30000 | while read n; do echo $n; done && echo {}\n", unique());
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<StatusUpdate>(1);
    let collect = async {
        let mut log = Vec::new();
        while let Some(update) = receiver.recv().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
            log.extend(update.logs.into_iter().flat_map(|log| log.bytes));
        }
        String::from_utf8_lossy(&log).into_owned()
    };
    let (outcome, log) = futures::join!(builder.build_plain(dockerfile(&text), sender), collect);
    outcome.expect("the build succeeds");
    // BuildKit itself cuts a step's log after 2 MiB, or after 200 KiB within a second. This log is shorter than both
    // limits.
    let whole: String = (1..=30_000).map(|line| format!("{line}\n")).collect();
    assert!(log.contains(&whole), "{} bytes", log.len());
}

#[tokio::test]
async fn f17_a_syntax_error_has_buildkit_s_message_and_its_place() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let text = "FROM busybox\nRUN true\nNONSENSE here\n";
        let plain = run(&builder, dockerfile(text)).await.outcome.expect_err("it is not valid");
        let bridged = run_with(&builder, dockerfile(text), Some(&mut Same)).await.outcome.expect_err("it is not valid");
        for failure in [plain.failure().expect("BuildKit explains"), bridged.failure().expect("BuildKit explains")] {
            assert!(failure.message.to_lowercase().contains("unknown instruction: nonsense"), "{failure}");
            assert!(!failure.message.contains("rpc error"), "{failure}");
            if flavour != Flavour::Old {
                assert_eq!(failure.sources[0].ranges[0].first, 3, "{failure:?}");
                assert_eq!(failure.sources[0].text, text.as_bytes());
            }
        }
    }
}

#[tokio::test]
async fn a_failing_step_has_its_exit_code_its_log_and_its_vertex() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let text = format!("FROM busybox\nRUN echo {} && echo last words >&2 && exit 7\n", unique());
        let built = run_with(&builder, dockerfile(&text), Some(&mut Same)).await;
        assert!(built.log().contains("last words"), "{flavour:?}");
        let error = built.outcome.expect_err("the step fails");
        let failure = error.failure().expect("BuildKit explains");
        assert!(failure.message.contains("exit code: 7"), "{failure}");
        assert_eq!(failure.kind, FailureKind::Failed, "{failure:?}");
        if flavour != Flavour::Old {
            assert_eq!(failure.exit_code, Some(7), "{failure:?}");
            assert!(failure.vertex.is_some(), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn b7_a_build_that_is_dropped_ends_in_the_engine() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let seconds = support::odd_number();
        let text = format!("FROM busybox\nRUN sleep {seconds}\n");
        for transformed in [false, true] {
            let marker = format!("sleep\0{seconds}");
            let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
            let drain = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
            let building = builder.clone();
            let request = dockerfile(&text);
            let build = tokio::spawn(async move {
                let mut same = Same;
                building.build(request, transformed.then_some(&mut same), sender).await.map(drop)
            });
            let started = Instant::now();
            while processes_with(&marker) == 0 {
                assert!(!build.is_finished(), "{flavour:?}: the build ended early");
                assert!(started.elapsed() < Duration::from_secs(20), "{flavour:?}, {transformed}: the step never ran");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let stopped = Instant::now();
            build.abort();
            let _ = build.await;
            while processes_with(&marker) > 0 {
                assert!(stopped.elapsed() < Duration::from_secs(10), "{flavour:?}: the step still runs");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            drain.await.expect("the news end");
        }
    }
}

#[tokio::test]
async fn b4_a_connection_that_breaks_in_a_step_ends_the_build_with_an_unknown_state() {
    for flavour in [Flavour::Old] {
        for transformed in [false, true] {
            let proxy = Proxy::start(flavour);
            let builder = proxy.builder().await;
            let seconds = support::odd_number();
            let marker = format!("sleep\0{seconds}");
            let request = dockerfile(&format!("FROM busybox\nRUN sleep {seconds}\n"));
            let build = tokio::spawn(async move {
                let mut same = Same;
                run_with(&builder, request, transformed.then_some(&mut same)).await.outcome
            });
            let started = Instant::now();
            while processes_with(&marker) == 0 {
                if build.is_finished() {
                    panic!("{flavour:?}, {transformed}: the build ended early: {:?}", build.await);
                }
                assert!(started.elapsed() < Duration::from_secs(20), "{flavour:?}, {transformed}: the step never ran");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let cut = Instant::now();
            proxy.cut();
            let error = build.await.expect("the build ends").expect_err("the engine is gone");
            assert!(cut.elapsed() < Duration::from_secs(5), "{flavour:?}: {:?}", cut.elapsed());
            assert!(matches!(error, BuildError::Buildkit(_)), "{flavour:?}: {error:?}");
            while processes_with(&marker) > 0 {
                assert!(cut.elapsed() < Duration::from_secs(20), "{flavour:?}: the step still runs");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// An observer that stops the build at the first file.
struct Stop;

impl ContextObserver for Stop {
    fn open(&self, _: &str, _: &Path) -> Box<dyn FileObserver> {
        Box::new(Self)
    }
}

impl FileObserver for Stop {
    fn bytes(&mut self, _: &[u8]) -> Permission {
        Permission::Continue
    }

    fn end(&mut self) -> Permission {
        Permission::Stop
    }
}

#[tokio::test]
async fn b22_an_observer_stops_the_build_before_anything_runs() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("secret.txt"), unique()).unwrap();
        let mut request = dockerfile(&format!("FROM busybox\nCOPY secret.txt /\nRUN echo {}\n", unique()));
        request.locals.insert("context".into(), Local::Directory(folder.path().into()));
        request.locals.remove("dockerfile").expect("it was there");
        let text = format!("FROM busybox\nCOPY secret.txt /\nRUN echo {}\n", unique());
        fs::write(folder.path().join("Dockerfile"), text).unwrap();
        request.locals.insert("dockerfile".into(), Local::Directory(folder.path().into()));
        request.observer = Some(Arc::new(Stop));
        let started = Instant::now();
        let built = run(&builder, request).await;
        let error = built.outcome.as_ref().expect_err("it was stopped");
        assert!(matches!(error, BuildError::Stopped { .. }), "{flavour:?}: {error}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_dockerfile_that_does_not_exist_is_not_found() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let folder = TempDir::new().unwrap();
        let error = run(&builder, directory(folder.path())).await.outcome.expect_err("there is no Dockerfile");
        let failure = error.failure().expect("BuildKit explains");
        assert!(failure.message.contains("Dockerfile"), "{flavour:?}: {failure}");
    }
}

#[tokio::test]
async fn multi_platform_results_are_transformed_one_by_one() {
    struct PlatformRecord(Vec<Option<String>>);
    impl Transform for PlatformRecord {
        type Error = std::convert::Infallible;

        fn transform(
            &mut self,
            _: &Capabilities,
            platform: Option<&str>,
            same: Definition,
        ) -> Result<Definition, Self::Error> {
            self.0.push(platform.map(str::to_owned));
            Ok(same)
        }
    }
    let builder = builder(Flavour::Containerd).await;
    let mut request = dockerfile(&format!("FROM scratch\nCOPY Dockerfile /{}\n", unique()));
    let files = request.locals["dockerfile"].clone();
    request.locals.insert("context".into(), files);
    request.attributes.insert("platform".into(), "linux/amd64,linux/arm64".into());
    let mut seen = PlatformRecord(Vec::new());
    let built = run_with(&builder, request, Some(&mut seen)).await;
    built.outcome.expect("the build succeeds");
    seen.0.sort();
    assert_eq!(seen.0, [Some("linux/amd64".to_owned()), Some("linux/arm64".to_owned())]);
}

#[tokio::test]
async fn an_empty_image_needs_no_operations() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let request = dockerfile(&format!("FROM scratch\nLABEL a={}\n", unique()));
        let built = run_with(&builder, request, Some(&mut Same)).await;
        built.outcome.unwrap_or_else(|error| panic!("{flavour:?}: {error}"));
    }
}

#[tokio::test]
async fn cache_records_of_a_step_can_be_found_and_removed() {
    let builder = builder(Flavour::Modern).await;
    let mark = unique();
    run(&builder, dockerfile(&format!("FROM busybox\nRUN echo {mark} >/made\n"))).await.outcome.expect("it succeeds");
    let records = builder.cache_records(&[]).await.expect("records are listed");
    let ours: Vec<_> = records.iter().filter(|record| record.description.contains(&mark)).collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    // The exported image may still use the record, so the record need not be removed. Only the answer is checked.
    let _ = builder.prune(&[format!("id=={}", ours[0].id)]).await.expect("pruning is answered");
    assert!(builder.prune(&[]).await.expect("nothing is asked for").is_empty());
}

#[tokio::test]
async fn forgetting_a_build_that_left_no_record_is_no_error() {
    for flavour in Flavour::ALL {
        let builder = builder(flavour).await;
        let text = format!("FROM busybox\nRUN echo {}\n", unique());
        let result = run(&builder, dockerfile(&text)).await.outcome.expect("it succeeds");
        builder.forget(&result.reference).await.unwrap_or_else(|error| panic!("{flavour:?}: {error:?}"));
        builder.forget("never-was").await.unwrap_or_else(|error| panic!("{flavour:?}: {error:?}"));
    }
}
