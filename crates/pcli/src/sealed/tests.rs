use std::ffi::OsString;

use psecret::{SecretName, UserSecret};

use super::*;

/// A home folder and a project folder.
struct Scene {
    home: tempfile::TempDir,
    project: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), project: tempfile::tempdir().unwrap() }
    }

    fn environment(&self) -> impl Fn(&str) -> Option<OsString> + '_ {
        |name| (name == "HOME").then(|| OsString::from(self.home.path()))
    }

    fn store(&self) -> ProjectStore {
        ProjectStore::beside(self.project.path(), &self.environment()).unwrap()
    }
}

fn set(store: &ProjectStore, identity: &Identity, name: &str) {
    let name = SecretName::parse(name).unwrap();
    store
        .change(identity, |content| {
            content.set(name, UserSecret::new(b"c4n4ry-9f3b27e1".to_vec())).unwrap();
            Ok::<_, SealedError>(())
        })
        .unwrap();
}

fn names(store: &ProjectStore, identity: &Identity) -> Vec<String> {
    store.read(identity).unwrap().names().map(ToString::to_string).collect()
}

#[test]
fn a_store_is_made_once_and_keeps_what_is_set() {
    let scene = Scene::new();
    let (store, identity) = (scene.store(), identity_or_new(&scene.environment()).unwrap());
    assert!(matches!(store.read(&identity), Err(SealedError::Absent { .. })));
    assert_eq!(store.create(&identity).unwrap(), Some(()));
    assert_eq!(store.create(&identity).unwrap(), None);
    set(&store, &identity, "A");
    assert_eq!(names(&store, &self::identity(&scene.environment()).unwrap()), ["A"]);
    let left: Vec<_> = fs::read_dir(scene.project.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [STORE_NAME], "backup and lock lie in the state folder");
    assert!(!String::from_utf8_lossy(&fs::read(store.path()).unwrap()).contains("c4n4ry"));
}

#[test]
fn one_who_left_opens_neither_the_store_nor_its_backup() {
    let scene = Scene::new();
    let (store, mine, other) = (scene.store(), identity_or_new(&scene.environment()).unwrap(), Identity::generate());
    store.create(&mine).unwrap();
    let recipient = other.recipient().to_string();
    let change = |work: &dyn Fn(&mut Store) -> bool| {
        store.change(&mine, |content| Ok::<_, SealedError>(work(content))).unwrap();
    };
    change(&|content| content.add_recipient(&recipient));
    set(&store, &mine, "A");
    set(&store, &mine, "B");
    assert_eq!(names(&store, &other), ["A", "B"]);
    change(&|content| content.remove_recipient(&recipient));
    assert!(store.read(&other).is_err());
    let backup = SealedFile::open(store.file.backup()).unwrap();
    assert!(backup.read(&other).is_err() && backup.read(&mine).unwrap().is_some());
}

#[test]
fn nobody_locks_themselves_out() {
    let scene = Scene::new();
    let (store, mine) = (scene.store(), identity_or_new(&scene.environment()).unwrap());
    store.create(&mine).unwrap();
    let own = mine.recipient().to_string();
    let error = store.change(&mine, |content| Ok::<_, SealedError>(content.remove_recipient(&own))).unwrap_err();
    assert!(matches!(error, SealedError::NotListed { .. }));
    assert!(store.read(&mine).is_ok());
}

#[test]
fn a_store_sealed_by_plain_age_gets_its_reader_listed() {
    let scene = Scene::new();
    let (store, mine) = (scene.store(), identity_or_new(&scene.environment()).unwrap());
    let plain = SealedFile::open_shared(store.path()).unwrap().with_state_in(scene.home.path());
    plain.update(&mine, |_| Ok::<_, VaultError>(Zeroizing::new(b"A=by hand\n".to_vec()))).unwrap();
    set(&store, &mine, "B");
    let content = store.read(&mine).unwrap();
    assert_eq!(content.recipients().collect::<Vec<_>>(), [mine.recipient().to_string()]);
    assert_eq!(names(&store, &mine), ["A", "B"]);
}

#[test]
fn the_identity_of_the_environment_comes_before_that_of_the_file() {
    let scene = Scene::new();
    let mine = identity_or_new(&scene.environment()).unwrap();
    let text = fs::read_to_string(identity_path(&scene.environment()).unwrap()).unwrap();
    let with = |text: String| move |name: &str| (name == IDENTITY_VARIABLE).then(|| OsString::from(&text));
    assert_eq!(identity(&with(text)).unwrap().recipient(), mine.recipient());
    let error = identity(&with("c4n4ry-9f3b27e1".to_owned())).unwrap_err();
    assert!(!error.diagnostic().to_string().contains("c4n4ry"));
    assert!(matches!(identity(&|_| None), Err(SealedError::NoHome)));
}

#[test]
fn the_key_of_digests_comes_from_the_variable_or_the_store() {
    let scene = Scene::new();
    let path = scene.project.path().join("app.toml");
    let found = FoundManifest { manifest: papp::Manifest::default(), path, text: String::new() };
    let digest = |environment: &Environment<'_>| {
        let key = digest_key(Some(&found), environment).unwrap()?;
        Some(key.digest("x", &SecretName::parse("A").unwrap(), &UserSecret::new(b"value".to_vec())))
    };
    assert!(digest(&scene.environment()).is_none(), "there is neither");
    let mine = identity_or_new(&scene.environment()).unwrap();
    scene.store().create(&mine).unwrap();
    let by_store = digest(&scene.environment()).unwrap();
    set(&scene.store(), &mine, "OTHER");
    assert_eq!(digest(&scene.environment()).unwrap(), by_store, "it stays when the store changes");
    let with = |text: &'static str| move |name: &str| (name == CACHE_KEY_VARIABLE).then(|| OsString::from(text));
    const SHARED: &str = "5f0c7e1a9b3d4468a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718";
    let by_variable = digest(&with(SHARED)).unwrap();
    assert!(by_variable != by_store && digest(&with(SHARED)).unwrap() == by_variable);
    for weak in ["short", "a key that many runners share"] {
        assert!(matches!(digest_key(Some(&found), &with(weak)), Err(SealedError::WeakKey)));
        assert!(matches!(digest_key_at_hand(Some(&found), &with(weak)), Err(SealedError::WeakKey)));
    }
}

#[test]
fn work_that_can_do_without_the_key_asks_nobody_for_it() {
    let scene = Scene::new();
    let found = FoundManifest {
        manifest: papp::Manifest::default(),
        path: scene.project.path().join("app.toml"),
        text: String::new(),
    };
    let mine = identity_or_new(&scene.environment()).unwrap();
    scene.store().create(&mine).unwrap();
    assert!(digest_key_at_hand(Some(&found), &scene.environment()).unwrap().is_some());
    assert!(digest_key_at_hand(Some(&found), &|_| None).unwrap().is_none(), "there is no identity");
    let other = tempfile::tempdir().unwrap();
    let elsewhere = other.path().to_owned();
    let stranger = move |name: &str| (name == "HOME").then(|| elsewhere.clone().into_os_string());
    identity_or_new(&stranger).unwrap();
    assert!(digest_key_at_hand(Some(&found), &stranger).unwrap().is_none(), "the store is not for this identity");
}

#[test]
fn a_key_made_for_the_variable_is_one() {
    let (one, two) = (cache_key_text().unwrap(), cache_key_text().unwrap());
    assert!(*one != *two && DigestKey::from_text(one.as_bytes()).is_some());
}

#[test]
fn a_damaged_store_is_told_with_its_backup_and_never_reset_k4() {
    let scene = Scene::new();
    let (store, mine) = (scene.store(), identity_or_new(&scene.environment()).unwrap());
    store.create(&mine).unwrap();
    set(&store, &mine, "A");
    fs::write(store.path(), "-----BEGIN AGE ENCRYPTED FILE-----\nnonsense\n").unwrap();
    let shown = store.read(&mine).unwrap_err().diagnostic().to_string();
    assert!(
        shown.contains("is damaged") && shown.contains("secrets.age.bak") && shown.contains("exit code 41"),
        "{shown}"
    );
    assert!(store.change(&mine, |_| Ok::<_, SealedError>(())).is_err());
    assert!(fs::read_to_string(store.path()).unwrap().contains("nonsense"));
}
