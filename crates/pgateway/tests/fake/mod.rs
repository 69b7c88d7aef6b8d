//! A BuildKit that answers from memory, and records the requests.

use std::sync::{Arc, Mutex};

use bollard_buildkit_proto::fsutil::types::Stat;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::exec_message::Input;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_server::{LlbBridge, LlbBridgeServer};
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{self as api, result};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The recorded requests, call by call.
#[derive(Default)]
pub(crate) struct Requests {
    /// The build's id of each ping, if the call named one.
    pub(crate) builds: Vec<Option<String>>,
    pub(crate) solves: Vec<api::SolveRequest>,
    pub(crate) returns: Vec<api::ReturnRequest>,
    pub(crate) warnings: Vec<api::WarnRequest>,
    pub(crate) containers: Vec<api::NewContainerRequest>,
    pub(crate) released: Vec<String>,
    pub(crate) stats: Vec<String>,
    /// The bytes that processes read from standard input.
    pub(crate) input: Vec<u8>,
}

/// The fake BuildKit. Clones share their state.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    asked: Arc<Mutex<Requests>>,
    /// The content of every file.
    file: Vec<u8>,
}

impl Fake {
    pub(crate) fn of_file(file: &[u8]) -> Self {
        Self { file: file.to_vec(), ..Self::default() }
    }

    pub(crate) fn asked<T>(&self, look: impl FnOnce(&Requests) -> T) -> T {
        look(&self.asked.lock().expect("no test panics while it looks"))
    }

    /// Returns the server itself, which carries calls without any connection.
    pub(crate) fn server(&self) -> LlbBridgeServer<Self> {
        LlbBridgeServer::new(self.clone())
    }

    fn note(&self, note: impl FnOnce(&mut Requests)) {
        note(&mut self.asked.lock().expect("no test panics while it looks"));
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn unexpected<T>() -> Answer<T> {
    Err(Status::unimplemented("nobody calls this"))
}

#[tonic::async_trait]
impl LlbBridge for Fake {
    async fn ping(&self, request: Request<api::PingRequest>) -> Answer<api::PongResponse> {
        let build = request.metadata().get("buildkit-controlapi-buildid");
        self.note(|asked| asked.builds.push(build.map(|id| id.to_str().expect("an id of ASCII").to_owned())));
        Ok(Response::new(api::PongResponse::default()))
    }

    async fn inputs(&self, _: Request<api::InputsRequest>) -> Answer<api::InputsResponse> {
        let definitions = [("base".to_owned(), pllb::single_file("base", "/a", 0o644, b"a"))].into();
        Ok(Response::new(api::InputsResponse { definitions }))
    }

    /// Answers a solve: a frontend makes two platforms, one of which is empty; a definition makes one state.
    async fn solve(&self, request: Request<api::SolveRequest>) -> Answer<api::SolveResponse> {
        let request = request.into_inner();
        let made = |id: &str, def| api::Ref { id: id.to_owned(), def };
        let result = if request.frontend.is_empty() {
            result::Result::Ref(made("changed", None))
        } else {
            let graph = pllb::single_file("made", "/b", 0o644, b"b");
            let refs =
                [("linux/amd64".to_owned(), made("lazy", Some(graph))), ("linux/arm64".to_owned(), made("", None))];
            result::Result::Refs(api::RefMap { refs: refs.into() })
        };
        self.note(|asked| asked.solves.push(request));
        let attestations = [("linux/amd64".to_owned(), api::Attestations::default())].into();
        let metadata = [("containerimage.config".to_owned(), b"{}".to_vec())].into();
        let result = api::Result { result: Some(result), attestations, metadata };
        Ok(Response::new(api::SolveResponse { result: Some(result), ..api::SolveResponse::default() }))
    }

    async fn read_file(&self, request: Request<api::ReadFileRequest>) -> Answer<api::ReadFileResponse> {
        let range = request.into_inner().range.expect("a range");
        let (offset, length) =
            (usize::try_from(range.offset).expect("an offset"), usize::try_from(range.length).expect("a length"));
        let data = self.file.iter().skip(offset).take(length).copied().collect();
        Ok(Response::new(api::ReadFileResponse { data }))
    }

    async fn stat_file(&self, request: Request<api::StatFileRequest>) -> Answer<api::StatFileResponse> {
        self.note(|asked| asked.stats.push(request.into_inner().path));
        let stat = Stat { size: i64::try_from(self.file.len()).expect("a small file"), mode: 0o644, ..Stat::default() };
        Ok(Response::new(api::StatFileResponse { stat: Some(stat) }))
    }

    /// Answers like BuildKit before 2022.
    async fn evaluate(&self, _: Request<api::EvaluateRequest>) -> Answer<api::EvaluateResponse> {
        unexpected()
    }

    async fn r#return(&self, request: Request<api::ReturnRequest>) -> Answer<api::ReturnResponse> {
        self.note(|asked| asked.returns.push(request.into_inner()));
        Ok(Response::new(api::ReturnResponse {}))
    }

    async fn warn(&self, request: Request<api::WarnRequest>) -> Answer<api::WarnResponse> {
        self.note(|asked| asked.warnings.push(request.into_inner()));
        Ok(Response::new(api::WarnResponse {}))
    }

    async fn new_container(&self, request: Request<api::NewContainerRequest>) -> Answer<api::NewContainerResponse> {
        self.note(|asked| asked.containers.push(request.into_inner()));
        Ok(Response::new(api::NewContainerResponse {}))
    }

    async fn release_container(
        &self,
        request: Request<api::ReleaseContainerRequest>,
    ) -> Answer<api::ReleaseContainerResponse> {
        self.note(|asked| asked.released.push(request.into_inner().container_id));
        Ok(Response::new(api::ReleaseContainerResponse {}))
    }

    type ExecProcessStream = ReceiverStream<Result<api::ExecMessage, Status>>;

    /// Plays a process that reads its input to the end, writes a word to each stream, and exits with code 3.
    async fn exec_process(&self, request: Request<Streaming<api::ExecMessage>>) -> Answer<Self::ExecProcessStream> {
        let (sender, answers) = mpsc::channel(8);
        let (fake, mut messages) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            let say = async |input| {
                sender
                    .send(Ok(api::ExecMessage { process_id: "main".to_owned(), input: Some(input) }))
                    .await
                    .expect("somebody listens");
            };
            while let Some(message) = messages.message().await.expect("a message") {
                match message.input {
                    Some(Input::Init(_)) => say(Input::Started(api::StartedMessage {})).await,
                    Some(Input::File(file)) if file.eof => break,
                    Some(Input::File(file)) => fake.note(|asked| asked.input.extend(file.data)),
                    other => panic!("{other:?}"),
                }
            }
            let word = |fd, data: &[u8]| Input::File(api::FdMessage { fd, eof: false, data: data.to_vec() });
            say(word(1, b"out")).await;
            say(word(2, b"error")).await;
            say(Input::Exit(api::ExitMessage { code: 3, error: None })).await;
            say(Input::Done(api::DoneMessage {})).await;
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn resolve_image_config(
        &self,
        _: Request<api::ResolveImageConfigRequest>,
    ) -> Answer<api::ResolveImageConfigResponse> {
        unexpected()
    }

    async fn resolve_source_meta(
        &self,
        _: Request<api::ResolveSourceMetaRequest>,
    ) -> Answer<api::ResolveSourceMetaResponse> {
        unexpected()
    }

    async fn read_dir(&self, _: Request<api::ReadDirRequest>) -> Answer<api::ReadDirResponse> {
        unexpected()
    }

    async fn read_file_container(&self, _: Request<api::ReadFileRequest>) -> Answer<api::ReadFileResponse> {
        unexpected()
    }

    async fn read_dir_container(&self, _: Request<api::ReadDirRequest>) -> Answer<api::ReadDirResponse> {
        unexpected()
    }

    async fn stat_file_container(&self, _: Request<api::StatFileRequest>) -> Answer<api::StatFileResponse> {
        unexpected()
    }
}
