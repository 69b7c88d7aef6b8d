use super::*;

fn service<'a>(name: &'a str, kind: ServiceKind, image: &'a str, volume: &'a str) -> NewService<'a> {
    NewService { name, kind, image, volume, database: None, created: 7 }
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::new("shop");
    ledger.add(service("db", ServiceKind::Postgres, "postgres:17", "shop-db"));
    ledger.add(service("cache", ServiceKind::Valkey, "valkey/valkey:8", "shop-cache"));
    ledger
}

#[test]
fn a_digest_depends_on_every_part_and_on_the_ledger() {
    let one = ledger();
    let digest = |ledger: &Ledger, parts: &[&str]| ledger.digest(parts.iter().map(|part| part.as_bytes()));
    assert_eq!(digest(&one, &["a", "bc"]), digest(&Ledger::open(&one.seal()).unwrap(), &["a", "bc"]));
    assert_ne!(digest(&one, &["a", "bc"]), digest(&one, &["ab", "c"]));
    assert_ne!(digest(&one, &["a"]), digest(&ledger(), &["a"]));
    assert_eq!(digest(&one, &[]).len(), 32);
}

#[test]
fn a_database_may_have_a_name_of_its_own() {
    let mut ledger = ledger();
    let new = service("reports", ServiceKind::Mysql, "mysql:8", "shop-reports");
    ledger.add(NewService { database: Some("Figures"), ..new });
    assert_eq!(ledger.service("reports").unwrap().database(), Some("Figures"));
    assert_eq!(ledger.service("reports").unwrap().username(), "shop");
    assert_eq!(ledger.service("db").unwrap().database(), Some("shop"));
}

#[test]
fn what_was_sealed_opens_to_the_same_bytes() {
    let mut ledger = ledger();
    ledger.prove("cache");
    let sealed = ledger.seal();
    let opened = Ledger::open(&sealed).unwrap();
    assert_eq!(*opened.seal(), *sealed);
    assert_eq!(opened.service("cache").unwrap().phase(), Phase::Proven);
    assert_eq!(opened.service("db").unwrap().phase(), Phase::Sealed);
}

#[test]
fn r2_a_service_that_is_there_keeps_its_credential() {
    let mut ledger = ledger();
    let before = ledger.seal();
    ledger.add(service("db", ServiceKind::Postgres, "postgres:18", "elsewhere"));
    assert_eq!(*ledger.seal(), *before);
}

#[test]
fn a_ledger_cut_anywhere_is_damaged_and_says_none_of_its_bytes() {
    let sealed = ledger().seal();
    for end in 0..sealed.len() {
        let error = Ledger::open(&sealed[..end]).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
        assert!(error.to_string().len() < 80, "{error}");
    }
}

#[test]
fn a_newer_ledger_is_left_alone() {
    let error = Ledger::open(br#"{"version":4,"future":true}"#).unwrap_err();
    assert_eq!(error, LedgerError::Newer { found: 4, known: 3 });
}

#[test]
fn debug_shows_names_and_no_value() {
    let ledger = ledger();
    let shown = format!("{ledger:?}");
    assert!(shown.contains("shop-db"));
    for service in ledger.services() {
        let sealed = String::from_utf8(ledger.seal().to_vec()).unwrap();
        let record = sealed.split(&format!("\"name\":\"{}\"", service.name())).nth(1).unwrap();
        let value = record.split("\"credential\":\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(value.len(), 32);
        assert!(!shown.contains(value));
    }
}

#[test]
fn forgetting_takes_one_service_only() {
    let mut ledger = ledger();
    assert!(ledger.forget("db"));
    assert!(!ledger.forget("db"));
    assert_eq!(ledger.services().len(), 1);
}

#[test]
fn a_server_of_others_gets_logins_of_ours_only_by_its_administrator() {
    let external = |administered| External {
        host: "db.example".to_owned(),
        port: 6432,
        username: Some("shop".to_owned()),
        administered,
    };
    let new = NewService { database: Some("legacy"), ..service("db", ServiceKind::Postgres, "postgres:17", "") };
    let given = |text: &str| ServiceCredential::given(text.to_owned().into()).unwrap();
    let mut ledger = Ledger::new("shop");
    assert!(ledger.connect(new, external(false), ExternalLogin::App(given("theirs"))));
    assert!(!ledger.connect(new, external(false), ExternalLogin::App(given("theirs"))), "nothing new");
    let known = &ledger.services()[0];
    assert_eq!((known.username().as_str(), known.credential().len(), known.rotates()), ("shop", 6, false));
    assert_eq!((known.host(), known.port(), known.database()), ("db.example", 6432, Some("legacy")));
    ledger.prove("db");
    let boss = || Administrator::of_url("postgres://boss:p%40ss@x/").unwrap();
    assert!(ledger.connect(new, external(true), ExternalLogin::Administrator(boss())));
    let known = &ledger.services()[0];
    assert!(known.rotates() && !known.is_settled());
    assert_eq!(known.credential().len(), 32, "their password is not given to a login of ours");
    assert!(known.username().starts_with("shop_") && known.username().ends_with("_a"), "{}", known.username());
    assert_eq!((known.owner(), known.superuser(), known.administrator().len()), ("shop", "boss", 4));
    let other = Ledger::new("shop");
    assert_ne!(other.owner(), ledger.owner(), "and the name holds the owner's mark");
    assert_eq!(*Ledger::open(&ledger.seal()).unwrap().seal(), *ledger.seal());
}

#[test]
fn what_an_app_may_is_told_to_its_service_again_when_it_changes() {
    let mut ledger = ledger();
    ledger.prove("db");
    assert!(ledger.service("db").unwrap().is_settled());
    let terms = Terms { rights: Rights::Admin, databases: vec!["cable".to_owned()], ..Terms::default() };
    assert!(ledger.agree("db", &terms) && !ledger.agree("db", &terms));
    assert!(!ledger.service("db").unwrap().is_settled());
    let mut opened = Ledger::open(&ledger.seal()).unwrap();
    assert!(!opened.service("db").unwrap().is_settled(), "also after a command that was killed");
    opened.prove("db");
    let known = opened.service("db").unwrap();
    assert!(known.is_settled() && known.databases().eq(["shop", "cable"]));
}
