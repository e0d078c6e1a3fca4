//! HTTP for services: the client of `crate::web` behind the import, and what was granted.

use super::bindings::warren::service::http::{self, Error, Header, Request, Response};
use super::instance::ServiceState;
use crate::web::{self, Invalid};

impl ServiceState {
    async fn send(&mut self, request: Request) -> Result<Response, Error> {
        let headers = request.headers.into_iter();
        let headers = headers.map(|header| (header.name, header.value));
        let request = web::Request::new(
            request.method,
            &request.url,
            headers.collect(),
            request.body,
            request.timeout,
        )
        .map_err(|Invalid(text)| Error::Invalid(text))?;
        let allowed = self.loaded.grants.web.allow(&request.url.place);
        allowed.map_err(Error::Denied)?;
        let reach = std::sync::Arc::clone(&self.surroundings.web);
        let mut client = std::mem::take(&mut self.web);
        let sent = self.unless_stopping(client.send(&*reach, &request)).await;
        self.web = client;
        let answer = sent.ok_or(Error::Stopping)?.map_err(Error::Failed)?;
        let headers = answer.headers.into_iter();
        let headers = headers.map(|(name, value)| Header { name, value });
        Ok(Response {
            status: answer.status,
            headers: headers.collect(),
            body: answer.body,
        })
    }
}

impl http::Host for ServiceState {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.called();
        Ok(ServiceState::send(self, request).await)
    }

    fn check_url(&mut self, url: String) -> wasmtime::Result<Result<(), String>> {
        self.called();
        Ok(web::Url::parse(&url).map(drop).map_err(str::to_owned))
    }
}
