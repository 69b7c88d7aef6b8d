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
    let error = Ledger::open(br#"{"version":3,"future":true}"#).unwrap_err();
    assert_eq!(error, LedgerError::Newer { found: 3, known: 2 });
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
