//! The logins of registries, as BuildKit asks for them: it asks for a host's user and password, and talks to the
//! registry itself.

use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use pengine::Registries;
use tonic::{Request, Response, Status};

/// Answers BuildKit with the logins of docker's client.
pub(crate) struct RegistryAuth(pub(crate) Registries);

#[tonic::async_trait]
impl Auth for RegistryAuth {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let login = self.0.login(&request.into_inner().host).await;
        let login = login.map_err(|error| Status::unavailable(error.to_string()))?;
        // An empty user tells BuildKit that the secret is a token.
        Ok(Response::new(CredentialsResponse { username: login.user, secret: login.secret }))
    }

    async fn fetch_token(&self, _: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        // After this error, BuildKit requests the credentials and fetches the token itself.
        Err(Status::unavailable("tokens are fetched by BuildKit"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("tokens are fetched by BuildKit"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unavailable("tokens are fetched by BuildKit"))
    }
}
