//! The files of a release, made with stand-ins for the programs: the bytes are the same every time, packages can be
//! removed without a trace, the installer refuses files that it cannot check, and manual pages and completions work
//! in their programs.
//!
//! `scripts/release` itself compiles for a long time; `scripts/release-check` runs it twice.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ptest::{Outcome, Scene, binaries};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").to_owned()
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Returns Debian's name for the architecture of this machine.
fn native() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(command: &mut Command) -> String {
    String::from_utf8(output(command).stdout).expect("text")
}

fn write_program(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, script).expect("a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program");
}

fn digest(bytes: &[u8]) -> String {
    ptest::sha256(bytes).trim_start_matches("sha256:").to_owned()
}

/// A packed release, whose programs only print their names.
struct Release {
    folder: tempfile::TempDir,
}

impl Release {
    fn pack(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for architecture in ["amd64", "arm64"] {
            for program in ["pbuild", "prun", "pfrontend"] {
                let path = folder.path().join("programs").join(architecture).join(program);
                write_program(&path, &format!("#!/bin/sh\necho {program} {} for {architecture}\n", version()));
            }
        }
        let mut pack = Command::new(root().join("scripts/release-files/pack"));
        pack.arg("--programs").arg(folder.path().join("programs")).arg("--tools").arg(binaries());
        pack.args(["--compiler", "rustc 1.95.0 (59807616e 2026-04-14)", "--zig", "0.16.0"]);
        output(pack.arg("--out").arg(folder.path().join("out")).args(flags));
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn url(&self) -> String {
        format!("file://{}", self.path("").display())
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path("")).expect("the release").map(|entry| entry.expect("an entry").path());
        let named = |path: PathBuf| (path.file_name().expect("a name").to_string_lossy().into_owned(), path);
        entries.map(named).map(|(name, path)| (name, fs::read(path).expect("a file"))).collect()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).expect("a file")).expect("JSON")
    }
}

#[test]
fn the_same_programs_are_packed_into_the_same_bytes() {
    let (first, second) = (Release::pack(&[]).files(), Release::pack(&[]).files());
    let version = version();
    let expected = [
        format!("pbuild-{version}-linux-amd64.tar.gz"),
        format!("pbuild-{version}-linux-arm64.tar.gz"),
        format!("pbuild_{version}_amd64.deb"),
        format!("prun_{version}_arm64.deb"),
        format!("pbuild-image-{version}.oci.tar"),
        format!("pbuild-image-{version}-amd64.docker.tar"),
        format!("pbuild-frontend-image-{version}.oci.tar"),
        format!("pbuild-frontend-image-{version}-arm64.docker.tar"),
        format!("pbuild-{version}.cdx.json"),
        format!("prun-{version}.cdx.json"),
        format!("pbuild-{version}.provenance.json"),
        "SHA256SUMS".to_owned(),
        "install.sh".to_owned(),
        "pbuild.rb".to_owned(),
    ];
    for name in &expected {
        assert!(first.contains_key(name), "no {name}");
    }
    assert!(first.keys().eq(second.keys()));
    for (name, bytes) in &first {
        assert!(*bytes == second[name], "{name} differs");
    }
    let sums = String::from_utf8(first["SHA256SUMS"].clone()).expect("text");
    for (name, bytes) in first.iter().filter(|(name, _)| *name != "SHA256SUMS") {
        assert!(sums.contains(&format!("{}  {name}\n", digest(bytes))), "SHA256SUMS lacks {name}");
    }
}

#[test]
fn a_release_says_what_it_is_made_of_and_from_which_commit() {
    let release = Release::pack(&["--base-url", "https://release.example/1/", "--builder", "https://builder.example"]);
    let version = version();
    let commit = text(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root()));
    let parts = |tool: &str| -> BTreeMap<String, String> {
        let list = release.json(&format!("{tool}-{version}.cdx.json"));
        assert_eq!(list["bomFormat"], "CycloneDX");
        assert_eq!(list["metadata"]["component"]["properties"][0]["value"], commit.trim());
        let components = list["components"].as_array().expect("components").iter();
        let texts = |part: &Value| [&part["name"], &part["scope"]].map(|text| text.as_str().expect("text").to_owned());
        components.map(texts).map(|[name, scope]| (name, scope)).collect()
    };
    let (pbuild, prun) = (parts("pbuild"), parts("prun"));
    for (parts, name, scope) in [
        (&pbuild, "plook", "required"),
        (&pbuild, "pscan", "required"),
        (&pbuild, "zstd-sys", "required"),
        (&pbuild, "musl", "required"),
        (&pbuild, "cc", "excluded"),
        (&pbuild, "serde_derive", "excluded"),
        (&prun, "pshim", "required"),
        (&prun, "pcredential", "required"),
    ] {
        assert_eq!(parts.get(name).map(String::as_str), Some(scope), "{name}");
    }
    for (parts, name) in [(&pbuild, "pcredential"), (&prun, "pscan"), (&pbuild, "insta"), (&pbuild, "windows-sys")] {
        assert_eq!(parts.get(name), None, "{name}");
    }

    let provenance = release.json(&format!("pbuild-{version}.provenance.json"));
    let predicate = &provenance["predicate"];
    assert_eq!(predicate["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"], commit.trim());
    assert_eq!(predicate["runDetails"]["builder"]["id"], "https://builder.example");
    let files = release.files();
    let subjects = provenance["subject"].as_array().expect("subjects");
    for subject in subjects {
        let name = subject["name"].as_str().expect("a name");
        assert_eq!(subject["digest"]["sha256"], digest(&files[name]), "{name}");
    }
    // The list contains all files except for itself and the file of sums, because that file contains the list's sum.
    assert_eq!(subjects.len(), files.len() - 2);

    let formula = String::from_utf8(files["pbuild.rb"].clone()).expect("text");
    output(Command::new("ruby").arg("-c").arg(release.path("pbuild.rb")));
    for architecture in ["amd64", "arm64"] {
        let archive = format!("pbuild-{version}-linux-{architecture}.tar.gz");
        assert!(formula.contains(&format!("https://release.example/1/{archive}")), "{formula}");
        assert!(formula.contains(&digest(&files[&archive])), "{formula}");
    }
    for name in ["pbuild.rb", "install.sh"] {
        let unfilled = |line: &&str| line.contains('@') && !line.contains("*@*") && !line.contains("$@");
        let file = String::from_utf8(files[name].clone()).expect("text");
        assert_eq!(file.lines().find(unfilled), None, "{name}");
    }
}

#[test]
fn a_debian_package_comes_and_goes_without_a_trace() {
    let release = Release::pack(&["--maintainer", "A Releaser <releaser@release.example>"]);
    let version = version();
    for tool in ["pbuild", "prun"] {
        for architecture in ["amd64", "arm64"] {
            let package = release.path(&format!("{tool}_{version}_{architecture}.deb"));
            let field = |name| text(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name)).trim().to_owned();
            assert_eq!([field("Package"), field("Version"), field("Architecture")], [tool, &version, architecture]);
            assert_eq!(field("Maintainer"), "A Releaser <releaser@release.example>");
            assert!(field("Installed-Size").parse::<u64>().is_ok_and(|size| size > 0));
            assert!(field("Description").contains(tool));
            let listed = text(Command::new("dpkg-deb").arg("--contents").arg(&package));
            assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");
            for file in ["usr/bin/", "usr/share/bash-completion/completions/", "usr/share/zsh/vendor-completions/_"] {
                assert!(listed.contains(&format!("./{file}{tool}\n")), "no {file}{tool} in {listed}");
            }
            assert!(listed.contains(&format!("./usr/share/man/man1/{tool}.1.gz\n")), "{listed}");
        }
        let place = tempfile::tempdir().expect("a folder");
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"] {
            fs::create_dir_all(place.path().join(folder)).expect("a folder");
        }
        fs::write(place.path().join("var/lib/dpkg/status"), "").expect("a file");
        let dpkg = |words: &[&str]| {
            let mut dpkg = Command::new("dpkg");
            dpkg.arg("--root").arg(place.path()).args(["--force-not-root", "--no-triggers", "--log=/dev/null"]);
            output(dpkg.args(words))
        };
        dpkg(&["--install", &release.path(&format!("{tool}_{version}_{}.deb", native())).display().to_string()]);
        let said = text(&mut Command::new(place.path().join("usr/bin").join(tool)));
        assert!(said.starts_with(&format!("{tool} {version}")), "{said}");
        dpkg(&["--purge", tool]);
        assert!(!place.path().join("usr").exists(), "something is left in /usr");
    }
}

/// Runs the installer of a release in a scene, into the folder `prefix` of the project.
fn install(scene: &Scene, release: &Release, path: Option<&Path>, flags: &[&str]) -> Outcome {
    let mut installer = scene.tool("sh").arg(release.path("install.sh")).args(["--prefix", "prefix"]);
    if let Some(path) = path {
        installer = installer.env("PATH", path);
    }
    installer.args(["--base-url", &release.url()]).args(flags).run()
}

/// Makes a key pair of minisign without a password, and returns it as flags.
fn keys(folder: &Path) -> [String; 2] {
    let [public, secret] = ["key.pub", "key"].map(|name| folder.join(name).display().to_string());
    output(Command::new("minisign").args(["-G", "-W", "-f", "-p", &public, "-s", &secret]));
    [public, secret]
}

#[test]
fn the_installer_takes_a_signed_release_and_takes_it_away_again() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().expect("a folder");
    let [public, secret] = keys(folder.path());
    let release = Release::pack(&["--secret-key", &secret, "--public-key", &public]);
    let prefix = scene.project().join("prefix");
    scene.write("prefix/share/doc/somebody/else", "stays");

    let installed = install(&scene, &release, None, &[]);
    installed.expect_code(0).expect_stderr("signature good").expect_stderr("sum       good");
    installed.expect_stderr(&format!("installed pbuild {} for {}", version(), native()));
    for file in ["bin/pbuild", "bin/prun", "share/man/man1/pbuild-build.1", "share/doc/pbuild/LICENSE"] {
        assert!(prefix.join(file).exists(), "no {file}");
    }
    assert_eq!(fs::metadata(prefix.join("bin/prun")).expect("prun").permissions().mode() & 0o777, 0o755);

    // A newer release removes files that it no longer contains.
    let list = prefix.join("share/pbuild/installed-files");
    scene.write("prefix/share/man/man1/pbuild-former.1", "");
    let mut files: Vec<String> = fs::read_to_string(&list).expect("a list").lines().map(str::to_owned).collect();
    files.push("share/man/man1/pbuild-former.1".to_owned());
    files.sort();
    fs::write(&list, files.join("\n") + "\n").expect("a list");
    install(&scene, &release, None, &[]).expect_code(0);
    assert!(!prefix.join("share/man/man1/pbuild-former.1").exists());
    assert!(prefix.join("share/man/man1/pbuild-build.1").exists());

    install(&scene, &release, None, &["--uninstall"]).expect_code(0).expect_stderr("removed");
    let left = text(Command::new("find").arg(".").args(["-type", "f"]).current_dir(&prefix));
    assert_eq!(left, "./share/doc/somebody/else\n");
    assert!(!prefix.join("bin").exists());
    install(&scene, &release, None, &["--uninstall"]).expect_code(1).expect_stderr("nothing below");
}

#[test]
fn the_installer_refuses_what_it_cannot_check() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().expect("a folder");
    let [public, secret] = keys(folder.path());
    let release = Release::pack(&["--secret-key", &secret, "--public-key", &public]);
    let refuses = |outcome: &Outcome, words: &str| {
        outcome.expect_code(1).expect_stderr(words);
        assert!(!scene.project().join("prefix/bin").exists(), "something was installed");
    };

    // Without minisign, the installer says so, and continues only with a flag.
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).expect("a folder");
    for tool in
        ["sh", "sed", "cp", "mv", "rm", "rmdir", "mkdir", "mktemp", "uname", "id", "cut", "awk", "gzip", "tar", "find"]
            .into_iter()
            .chain(["sort", "comm", "chmod", "dirname", "sha256sum", "readlink"])
    {
        let found = text(Command::new("sh").args(["-c", &format!("command -v {tool}")]));
        std::os::unix::fs::symlink(found.trim(), tools.join(tool)).expect("a link");
    }
    let without = install(&scene, &release, Some(&tools), &[]);
    refuses(&without, "the signature cannot be checked: minisign is not installed");
    without.expect_stderr("help: --without-signature");
    install(&scene, &release, Some(&tools), &["--without-signature"])
        .expect_code(0)
        .expect_stderr("signature not checked");
    install(&scene, &release, None, &["--uninstall"]).expect_code(0);

    let other = tempfile::tempdir().expect("a folder");
    let [stranger, _] = keys(other.path());
    refuses(&install(&scene, &release, None, &["--public-key", &stranger]), "does not fit the public key");
    refuses(&install(&scene, &release, None, &["--public-key", ""]), "this script brings no public key");

    let archive = format!("pbuild-{}-linux-{}.tar.gz", version(), native());
    let good = fs::read(release.path(&archive)).expect("the archive");
    let mut changed = good.clone();
    *changed.last_mut().expect("a byte") ^= 1;
    fs::write(release.path(&archive), &changed).expect("the archive");
    refuses(&install(&scene, &release, None, &[]), "does not fit its sum");
    // An attacker who changes the archive can change the sums too, but the signature shows it.
    let sums = fs::read_to_string(release.path("SHA256SUMS")).expect("sums");
    let forged = sums.replace(&digest(&good), &digest(&changed));
    assert_ne!(sums, forged);
    fs::write(release.path("SHA256SUMS"), forged).expect("sums");
    refuses(&install(&scene, &release, None, &[]), "does not fit the public key");

    fs::remove_file(release.path("SHA256SUMS.minisig")).expect("a signature");
    refuses(&install(&scene, &release, None, &[]), "has no signature");
    refuses(
        &install(&scene, &release, None, &["--version", "9.9.9", "--without-signature"]),
        "there is no pbuild-9.9.9",
    );
}

#[test]
fn an_unsigned_release_is_installed_only_when_that_is_asked_for() {
    let scene = Scene::new();
    let release = Release::pack(&[]);
    assert!(!release.path("SHA256SUMS.minisig").exists());
    install(&scene, &release, None, &[]).expect_code(1).expect_stderr("this script brings no public key");
    install(&scene, &release, None, &["--without-signature"]).expect_code(0).expect_stderr("signature not checked");
}

#[test]
fn completions_load_in_their_shells_and_complete() {
    let scene = Scene::new();
    for tool in ["pbuild", "prun"] {
        for shell in ["bash", "zsh", "fish", "powershell"] {
            let script = scene.tool(binaries().join(tool)).args(["completions", shell]).run();
            scene.write(&format!("{tool}.{shell}"), script.expect_code(0).stdout());
        }
    }
    let bash = "source ./pbuild.bash && COMP_WORDS=(pbuild aud) COMP_CWORD=1 && _pbuild pbuild aud pbuild && \
                echo \"${COMPREPLY[@]}\" && source ./prun.bash && complete -p prun";
    let said = scene.tool("bash").args(["--norc", "-euc", bash]).run();
    said.expect_code(0).expect_stdout("audit").expect_stdout("_prun");
    assert_eq!(said.stderr(), "");

    let fish =
        "source pbuild.fish; source prun.fish; complete --do-complete 'pbuild aud'; complete --do-complete 'prun inj'";
    let said = scene.tool("fish").args(["--no-config", "--command", fish]).run();
    said.expect_code(0).expect_stdout("audit").expect_stdout("injected");
    assert_eq!(said.stderr(), "");

    // zsh loads the file from a folder of functions: by its name, at the first completion.
    for tool in ["pbuild", "prun"] {
        fs::create_dir_all(scene.project().join("functions")).expect("a folder");
        let from = scene.project().join(format!("{tool}.zsh"));
        fs::rename(from, scene.project().join(format!("functions/_{tool}"))).expect("a file");
    }
    let zsh = "fpath=($PWD/functions $fpath); autoload -Uz compinit && compinit -u -D && \
               autoload +X _pbuild _prun && print -r -- $_comps[pbuild] $_comps[prun]";
    let said = scene.tool("zsh").args(["-f", "-euc", zsh]).run();
    said.expect_code(0);
    assert_eq!((said.stdout().trim(), said.stderr().as_str()), ("_pbuild _prun", ""));
}

#[test]
fn a_reader_that_goes_away_is_no_fault_of_completions() {
    let scene = Scene::new();
    for tool in ["pbuild", "prun"] {
        let program = binaries().join(tool);
        let line = format!("'{}' completions zsh | head -n 1", program.display());
        let said = scene.tool("bash").args(["-c", &line]).run();
        said.expect_code(0).expect_stdout(&format!("#compdef {tool}"));
        assert_eq!(said.stderr(), "");
    }
}

#[test]
fn every_command_has_a_manual_page_that_its_reader_takes() {
    let scene = Scene::new();
    for (tool, commands) in
        [("pbuild", &["build", "audit", "secrets-set"][..]), ("prun", &["start", "services-rotate"])]
    {
        scene.tool(binaries().join(tool)).args(["man", "man1"]).run().expect_code(0);
        for command in commands {
            assert!(scene.project().join(format!("man1/{tool}-{command}.1")).exists(), "no page of {tool} {command}");
        }
    }
    let pages: Vec<_> =
        fs::read_dir(scene.project().join("man1")).expect("pages").map(|page| page.unwrap().path()).collect();
    assert!(pages.len() > 30, "{} pages", pages.len());
    for page in pages {
        let said = scene.tool("man").args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8"]).arg(&page).run();
        said.expect_code(0);
        assert_eq!(said.stderr(), "", "{}", page.display());
        // Headings are printed twice over, which makes them bold.
        assert!(said.stdout().contains("Print help"), "{}", page.display());
    }
}

#[test]
fn both_tools_say_where_they_come_from() {
    let scene = Scene::new();
    for tool in ["pbuild", "prun"] {
        let said = scene.tool(binaries().join(tool)).arg("--version").run();
        // The tests run development builds, not releases. `pmake` and `scripts/release` check the version of a
        // release.
        let known = [format!("{tool} {} (development build)\n", version()), format!("{tool} {} (commit ", version())];
        assert!(known.iter().any(|start| said.expect_code(0).stdout().starts_with(start)), "{said:?}");
        let short = scene.tool(binaries().join(tool)).arg("-V").run();
        assert_eq!(short.stdout(), format!("{tool} {}\n", version()));
    }
}
