//! The inputs of a build: archives and Dockerfiles on standard input, the network, named contexts, ssh agents.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use acceptance::{ImageName, on_every_engine};
use ptest::{Canary, Engine, Flavour, Outcome, Scene};

on_every_engine!(an_archive_on_standard_input_is_the_context, flags_of_steps_mean_what_docker_means);

/// Makes a tar archive of these files.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, text.as_bytes()).expect("memory takes every byte");
    }
    archive.into_inner().expect("memory takes every byte")
}

fn build(scene: &Scene, image: &ImageName<'_>, token: &Canary, context: &str, stdin: Vec<u8>) -> Outcome {
    scene
        .pbuild()
        .args(["build", "-t", image.as_str(), "--secret", "id=TOKEN", context])
        .env("TOKEN", token.text())
        .stdin(stdin)
        .run()
}

/// The step has the secret and the files of the archive, and a value in the archive is noticed before the engine has
/// the whole archive.
fn an_archive_on_standard_input_is_the_context(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "archive");
    let dockerfile = format!(
        "# syntax=stranger/frontend:1\nFROM busybox\nCOPY file.txt /\n\
         RUN test -n \"$TOKEN\" && echo {} > /ran\n",
        image.as_str()
    );
    // The frontend image that the archive names is not used, because the archive goes to the engine unread.
    let files = [("Dockerfile", dockerfile.as_str()), ("file.txt", "from the archive\n")];
    build(&scene, &image, &token, "-", archive(&files)).expect_code(0).expect_stderr("clean");
    assert_eq!(image.run(&["cat", "/file.txt", "/ran"]), format!("from the archive\n{}\n", image.as_str()));

    let leaking = ImageName::new(engine, "archive-leaks");
    let files = [files[0], ("file.txt", token.text())];
    build(&scene, &leaking, &token, "-", archive(&files)).expect_code(10).expect_stderr("build context holds a secret");
    assert!(!leaking.exists());
}

/// A Dockerfile on standard input needs no context, and two inputs on one standard input are refused.
#[test]
fn a_dockerfile_may_be_all_there_is() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "alone");
    build(&scene, &image, &token, "-", b"FROM busybox\nRUN test -n \"$TOKEN\" && ls /\n".to_vec()).expect_code(0);
    assert!(image.exists());
    let refused = |arguments: &[&str], stdin: &str, told: &str| {
        scene.pbuild().args(arguments).stdin(stdin).run().expect_code(2).expect_stderr(told);
    };
    refused(&["build", "-f", "-", "-"], "FROM busybox\n", "both the context and the Dockerfile");
    refused(&["build", "-f", "Other", "-"], "FROM busybox\n", "-f Other names another");
    for empty in [&["build", "-"][..], &["build", "-f", "-", "."]] {
        refused(empty, "", "standard input is empty");
    }
}

/// The engine shows and keeps addresses, so an address that holds a value is refused before the engine gets it.
#[test]
fn an_address_that_holds_a_secret_is_refused() {
    // This value is not a canary, because the user who makes this mistake puts it on the command line.
    const VALUE: &str = "slip-5d1f0a7be94c";
    let scene = Scene::new();
    scene.write("Dockerfile", "FROM busybox\n");
    let url = format!("https://me:{VALUE}@git.example/x.git");
    let named = format!("more={url}");
    for arguments in [&[url.as_str()][..], &["--build-context", &named, "."]] {
        let outcome = scene.pbuild().args(["build", "--secret", "id=TOKEN"]).args(arguments).env("TOKEN", VALUE).run();
        outcome.expect_code(10).expect_stderr("holds secret `TOKEN`").expect_stderr("GIT_AUTH_TOKEN");
        assert!(!outcome.stderr().contains(VALUE));
    }
}

/// The engine fetches an archive as the context, and a folder and an image are named contexts.
#[test]
fn the_engine_fetches_what_has_an_address() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let files = [
        ("Dockerfile", "FROM busybox\nCOPY file.txt /\nRUN test -n \"$TOKEN\" && echo ran > /ran\n"),
        ("file.txt", "from the network\n"),
    ];
    scene.write("served/context.tar", archive(&files));
    let container = format!("pbuild-test-served-{}", std::process::id());
    let served = scene.project().join("served");
    engine.docker(&[
        "create",
        "--name",
        &container,
        "pbuild/python:3",
        "python3",
        "-m",
        "http.server",
        "-d",
        "/served",
        "80",
    ]);
    engine.docker(&["cp", &served.display().to_string(), &format!("{container}:/served")]);
    engine.docker(&["start", &container]);
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = String::from_utf8(engine.docker(&["inspect", "-f", format, &container])).expect("an address");
    let url = format!("http://{}/context.tar", address.trim());

    let image = ImageName::new(&engine, "fetched");
    let mut outcome = build(&scene, &image, &token, &url, Vec::new());
    for _ in 0..50 {
        // The server may need a moment to start.
        if outcome.code() == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        outcome = build(&scene, &image, &token, &url, Vec::new());
    }
    outcome.expect_code(0).expect_stderr("clean");
    assert_eq!(image.run(&["cat", "/file.txt", "/ran"]), "from the network\nran\n");

    scene.write("more/file.txt", "from the directory\n");
    scene.write("Dockerfile", "FROM base\nCOPY --from=more file.txt /one\nRUN test -n \"$TOKEN\"\n");
    let further = ImageName::new(&engine, "further");
    scene
        .pbuild()
        .args(["build", "-t", further.as_str(), "--secret", "id=TOKEN", "--build-context", "more=more"])
        .args(["--build-context", "base=docker-image://busybox", "."])
        .env("TOKEN", token.text())
        .run()
        .expect_code(0);
    assert_eq!(further.run(&["cat", "/one"]), "from the directory\n");
    engine.docker(&["rm", "--force", &container]);
}

/// An image of an OCI layout is a base and a source of files. Its content is searched like that of every base.
#[test]
fn an_image_of_a_layout_is_a_context() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("base.Dockerfile", "FROM busybox\nRUN echo of the layout > /layout\n");
    let to_layout = ["-f", "base.Dockerfile", "-o", "type=oci,dest=layout,tar=false", "-t", "made:v1"];
    scene.pbuild().arg("build").args(to_layout).args(["--provenance=false", "."]).run().expect_code(0);
    scene.write(".dockerignore", "layout\n");
    let image = ImageName::new(&engine, "layout");
    let mark = image.as_str();
    let read = format!("RUN : {mark}; test \"$TOKEN\" && cat /layout > /read\n");
    scene.write("Dockerfile", format!("FROM base\nCOPY --from=files /layout /copied\n{read}"));
    let build = |tag: &str| {
        let tool = scene.pbuild().args(["build", "-t", image.as_str(), "--secret", "id=TOKEN"]);
        let tool = tool.args(["--build-context", &format!("base=oci-layout://layout{tag}")]);
        tool.args(["--build-context", "files=oci-layout://layout:v1", "."]).env("TOKEN", token.text()).run()
    };
    build("").expect_code(0).expect_stderr("clean");
    assert_eq!(image.run(&["cat", "/copied", "/read"]), "of the layout\nof the layout\n");
    build(":v2").expect_code(2).expect_stderr("has no image with the tag \"v2\"");
}

/// A step uses an ssh agent of this machine. If there is no agent, the message names the flag and the advice.
#[test]
fn a_step_reaches_the_agent_that_it_mounts() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let socket = scene.temporary().join("agent.sock");
    let listener = UnixListener::bind(&socket).expect("a socket in a new folder");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 4];
            if stream.read_exact(&mut asked).is_ok() {
                let _ = stream.write_all(&asked.map(|byte| byte.to_ascii_uppercase()));
            }
        }
    });
    let image = ImageName::new(&engine, "agent");
    let program = "import os,socket; s=socket.socket(socket.AF_UNIX); s.connect(os.environ['SSH_AUTH_SOCK']); \
                   s.sendall(b'ping'); open('/answer','wb').write(s.recv(4))";
    scene.write(
        "Dockerfile",
        format!("FROM pbuild/python:3\nRUN --mount=type=ssh : {} && python3 -c \"{program}\"\n", image.as_str()),
    );
    let build = |more: &[&str]| {
        scene
            .pbuild()
            .args(["build", "-t", image.as_str(), "--secret", "id=TOKEN"])
            .args(more)
            .arg(".")
            .env("TOKEN", token.text())
            .run()
    };
    build(&["--ssh", &format!("default={}", socket.display())]).expect_code(0);
    assert_eq!(image.run(&["cat", "/answer"]), "PING");
    build(&["--ssh", "default"]).expect_code(2).expect_stderr("SSH_AUTH_SOCK is not set").expect_stderr("ssh-add");
    build(&["--ssh", "default=none"]).expect_code(2).expect_stderr("neither the socket of an agent nor a file");
    build(&["--ssh", "default=Dockerfile"]).expect_code(2).expect_stderr("ssh-add does not take Dockerfile");
}

/// Key files get an agent of their own, which a step can use to sign and which ends with the build. The key itself is
/// never copied.
#[test]
fn a_step_signs_with_a_key_file_that_it_never_sees() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "key-file");
    let make = |name: &str, kind: &str, passphrase: &str| {
        let path = scene.project().join(name);
        let mut command = std::process::Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-N", passphrase, "-C", name, "-f"]).arg(&path);
        assert!(command.status().expect("ssh-keygen").success());
        scene.allow(&path);
        let key = std::fs::read_to_string(&path).expect("a key");
        let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
        let _ = scene.oracle().register(name, body);
        std::fs::read_to_string(path.with_extension("pub")).expect("its public half")
    };
    let public = [make("one", "ed25519", ""), make("two", "rsa", "")];
    let _ = make("locked", "ed25519", "a passphrase of the test");
    scene.write(".dockerignore", "*\n!*.pub\n");
    scene.write(
        "Dockerfile",
        format!(
            "FROM pbuild/tools:1\nCOPY *.pub /\nRUN --mount=type=ssh,id=git : {} && ssh-add -L > /keys && ssh-add -T /one.pub /two.pub\n",
            image.as_str()
        ),
    );
    let build = |keys: &str| {
        let tool = scene.pbuild().args(["build", "-t", image.as_str(), "--secret", "id=TOKEN", "--ssh", keys, "."]);
        tool.env("TOKEN", token.text()).run()
    };
    let before = agents_of(&scene);
    build("git=one,two").expect_code(0).expect_stderr("clean");
    assert_eq!(image.run(&["cat", "/keys"]), public.concat());
    build("git=locked").expect_code(2).expect_stderr("ssh-add does not take locked").expect_stderr("passphrase");
    // The same key in another file format, to which no other flag refers.
    let copy = scene.project().join("copy.pem");
    std::fs::copy(scene.project().join("two"), &copy).expect("a copy");
    let mut command = std::process::Command::new("ssh-keygen");
    let converted = command.args(["-q", "-p", "-m", "PKCS8", "-P", "", "-N", "", "-f"]).arg(&copy).output();
    assert!(converted.expect("ssh-keygen").status.success());
    scene.write(".dockerignore", "*\n!*.pem\n");
    scene.write("Dockerfile", "FROM busybox\nCOPY copy.pem /\n");
    build("git=two").expect_code(10).expect_stderr("copy.pem of the build context holds secret `ssh:git`");
    assert!(acceptance::becomes(acceptance::PATIENCE, || agents_of(&scene) == before), "the agents ended");
}

/// Counts the agents whose sockets are in a folder of the scene.
fn agents_of(scene: &Scene) -> usize {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let folder = scene.temporary();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).starts_with("ssh-agent"))
        .filter(|line| String::from_utf8_lossy(line).contains(&*folder.to_string_lossy()))
        .count()
}

/// The effects of the flags on steps, and the files that are written about the image.
fn flags_of_steps_mean_what_docker_means(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "step-flags");
    scene.write(
        "Dockerfile",
        format!(
            "FROM busybox AS one\nRUN : {mark}; cat /proc/sys/kernel/random/uuid > /one\nFROM one\n\
             RUN : {mark}; ulimit -n > /nofile; df -k /dev/shm | tail -1 | awk '{{print $2}}' > /shm\n",
            mark = image.as_str()
        ),
    );
    scene.write("metadata.json", "of another build");
    let build = |more: &[&str]| {
        scene
            .pbuild()
            .args(["build", "-t", image.as_str(), "--secret", "id=TOKEN", "--ulimit", "nofile=321:654"])
            .args(["--shm-size", "3m", "--metadata-file", "metadata.json", "--iidfile", "id", "--compress", "--load"])
            .args(more)
            .arg(".")
            .env("TOKEN", token.text())
            .run()
    };
    build(&[]).expect_code(0).expect_stderr("BuildKit has no use for --compress");
    if engine.flavour() != Flavour::Old {
        // The frontend of Docker 20.10 supports neither of these flags, whichever client uses it.
        assert_eq!(image.run(&["cat", "/nofile", "/shm"]), "321\n3072\n");
    }
    let of_first_stage = || image.run(&["cat", "/one"]);
    let before = of_first_stage();
    build(&[]).expect_code(0);
    assert_eq!(before, of_first_stage());
    build(&["--no-cache-filter", "one"]).expect_code(0);
    assert_ne!(before, of_first_stage(), "the filtered stage ran again");

    let read = |name: &str| std::fs::read_to_string(scene.project().join(name)).expect(name);
    let metadata: serde_json::Value = serde_json::from_str(&read("metadata.json")).expect("JSON");
    assert_eq!(metadata["containerimage.digest"].as_str(), Some(read("id").trim()));
    assert_eq!(metadata["image.name"].as_str(), Some(format!("docker.io/{}", image.as_str()).as_str()));

    // A failed build must not leave a file that a script could mistake for its own result.
    scene.write("Dockerfile", "FROM busybox\nRUN exit 3\n");
    build(&[]).expect_code(1);
    assert!(!scene.project().join("metadata.json").exists() && !scene.project().join("id").exists());
}
