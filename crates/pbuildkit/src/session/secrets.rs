//! The secrets service, which gives the engine secrets by their ids. With a transformation, only the ids that the
//! build mounts are served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::Secrets;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use tonic::{Request, Response, Status};

/// The largest secret that BuildKit's own clients serve, in bytes (C5; BuildKit `session/secrets/secretsprovider`).
pub const SECRET_LIMIT: usize = 500 * 1024;

/// A source of secrets' values.
pub trait SecretProvider: Send + Sync {
    /// Returns the value of this id, or `None` if there is no such secret.
    fn secret(&self, id: &str) -> Option<Vec<u8>>;
}

/// A provider without any secret.
pub(crate) struct NoSecrets;

impl SecretProvider for NoSecrets {
    fn secret(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// A secret that the engine requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedSecret {
    /// The id, cut to 256 characters.
    pub id: String,
    /// Our answer.
    pub answer: SecretAnswer,
    /// The number of requests. A request does not name its step, and a cached step makes no request.
    pub times: u64,
}

/// Our answer to the engine's request for a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretAnswer {
    /// The value was served.
    Served,
    /// No value was served, because the provider has none under this id.
    Missing,
    /// No value was served, because no step of this build mounts the id (B11). This deserves a warning.
    NotMounted,
    /// No value was served, because the value is larger than [`SECRET_LIMIT`].
    TooLarge,
}

/// A gate between the engine and the provider. It decides which ids are served, and records the requests.
pub(crate) struct SecretGate {
    provider: Arc<dyn SecretProvider>,
    state: Mutex<State>,
}

struct State {
    open: Open,
    asked: BTreeMap<(String, SecretAnswer), u64>,
}

enum Open {
    Everything,
    Only(BTreeSet<String>),
}

/// The most requests in the list. A frontend in a loop must not fill our memory (B12).
const LIST_LIMIT: usize = 1000;
const ID_LIMIT: usize = 256;

impl SecretGate {
    /// Makes a gate that serves every id of the provider, as docker does.
    pub(crate) fn open(provider: Arc<dyn SecretProvider>) -> Self {
        Self::with(provider, Open::Everything)
    }

    /// Makes a gate that serves these ids, and the ids that `allow` adds later.
    pub(crate) fn only(provider: Arc<dyn SecretProvider>, ids: impl IntoIterator<Item = String>) -> Self {
        Self::with(provider, Open::Only(ids.into_iter().collect()))
    }

    fn with(provider: Arc<dyn SecretProvider>, open: Open) -> Self {
        Self { provider, state: Mutex::new(State { open, asked: BTreeMap::new() }) }
    }

    pub(crate) fn allow(&self, ids: impl IntoIterator<Item = String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Open::Only(allowed) = &mut state.open {
            allowed.extend(ids);
        }
    }

    pub(crate) fn asked(&self) -> Vec<AskedSecret> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |((id, answer), times): (&(String, SecretAnswer), &u64)| AskedSecret {
            id: id.clone(),
            answer: *answer,
            times: *times,
        };
        state.asked.iter().map(one).collect()
    }

    fn answer(&self, id: &str) -> (SecretAnswer, Option<Vec<u8>>) {
        let mounted = match &self.state.lock().unwrap_or_else(PoisonError::into_inner).open {
            Open::Everything => true,
            Open::Only(allowed) => allowed.contains(id),
        };
        if !mounted {
            return (SecretAnswer::NotMounted, None);
        }
        match self.provider.secret(id) {
            None => (SecretAnswer::Missing, None),
            Some(value) if value.len() > SECRET_LIMIT => (SecretAnswer::TooLarge, None),
            Some(value) => (SecretAnswer::Served, Some(value)),
        }
    }

    fn note(&self, id: &str, answer: SecretAnswer) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (id.chars().take(ID_LIMIT).collect(), answer);
        if state.asked.len() < LIST_LIMIT || state.asked.contains_key(&key) {
            *state.asked.entry(key).or_default() += 1;
        }
    }
}

#[tonic::async_trait]
impl Secrets for SecretGate {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let (answer, value) = self.answer(&id);
        self.note(&id, answer);
        // Only the status NotFound tells BuildKit that the secret does not exist. A step with an optional secret then
        // runs without it (B14).
        let data = value.ok_or_else(|| Status::not_found(format!("secret {id}: not found")))?;
        Ok(Response::new(GetSecretResponse { data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl SecretProvider for One {
        fn secret(&self, id: &str) -> Option<Vec<u8>> {
            match id {
                "TOKEN" => Some(b"value\0\n".to_vec()),
                "HUGE" => Some(vec![b'x'; SECRET_LIMIT + 1]),
                _ => None,
            }
        }
    }

    async fn ask(gate: &SecretGate, id: &str) -> Result<Vec<u8>, tonic::Code> {
        let request = GetSecretRequest { id: id.to_owned(), ..GetSecretRequest::default() };
        let answer = gate.get_secret(Request::new(request)).await;
        answer.map(|answer| answer.into_inner().data).map_err(|status| status.code())
    }

    #[tokio::test]
    async fn b11_an_id_that_no_step_mounts_is_not_found_and_listed() {
        let gate = SecretGate::only(Arc::new(One), []);
        assert_eq!(ask(&gate, "TOKEN").await, Err(tonic::Code::NotFound));
        gate.allow(["TOKEN".to_owned()]);
        assert_eq!(ask(&gate, "TOKEN").await, Ok(b"value\0\n".to_vec()));
        let answers: Vec<_> = gate.asked().iter().map(|asked| (asked.answer, asked.times)).collect();
        assert_eq!(answers, [(SecretAnswer::Served, 1), (SecretAnswer::NotMounted, 1)]);
    }

    #[tokio::test]
    async fn b14_a_missing_secret_is_not_found_so_that_an_optional_one_is_no_error() {
        let gate = SecretGate::open(Arc::new(One));
        assert_eq!(ask(&gate, "OTHER").await, Err(tonic::Code::NotFound));
        assert_eq!(gate.asked()[0].answer, SecretAnswer::Missing);
    }

    #[tokio::test]
    async fn c5_a_value_over_buildkit_s_limit_is_not_served() {
        let gate = SecretGate::open(Arc::new(One));
        assert_eq!(ask(&gate, "HUGE").await, Err(tonic::Code::NotFound));
        assert_eq!(gate.asked()[0].answer, SecretAnswer::TooLarge);
    }

    #[tokio::test]
    async fn b12_asking_ten_thousand_times_is_served_and_counted_in_bounded_memory() {
        let gate = SecretGate::only(Arc::new(One), ["TOKEN".to_owned()]);
        for number in 0..10_000 {
            assert!(ask(&gate, "TOKEN").await.is_ok());
            let _ = ask(&gate, &format!("{number}{}", "x".repeat(1000))).await;
        }
        let asked = gate.asked();
        assert!(asked.len() <= LIST_LIMIT && asked.iter().all(|asked| asked.id.len() <= ID_LIMIT));
        assert!(asked.iter().any(|asked| asked.id == "TOKEN" && asked.times == 10_000));
    }
}
