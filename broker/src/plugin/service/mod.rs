//! Services: components that run beside the message path, as tasks that wait most of the time.
//! What a service may reach goes through the imports in here; what it does is its own affair. Not
//! exchange types (see the module above), and no sockets: whoever starts the broker hands those in.

mod amqp;
mod bindings;
mod check;
mod engine;
mod grants;
mod http;
mod imports;
mod instance;
mod services;
mod supervisor;
mod task;
mod wasi;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::client::{Stream, Uri};
use crate::clock::Entropy;
use crate::vhost::Broker;
use crate::web::Reach;

pub use services::{CheckError, Services};
pub use task::{Doing, Reason, TaskStatus};

pub(super) use check::is_service;
pub(super) use engine::new_engine;
pub(super) use services::Put;

/// A connected stream, or why there is none.
pub type Dialled<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, String>> + Send + 'a>>;

/// The way out: to this broker and to others. Asked only for what was granted.
pub trait Dial: Send + Sync {
    fn dial<'a>(&'a self, uri: &'a Uri) -> Dialled<'a>;
}

/// What services live in.
#[derive(Clone)]
pub struct Surroundings {
    pub broker: Arc<Broker>,
    pub dial: Arc<dyn Dial>,
    pub web: Arc<dyn Reach>,
    pub entropy: Arc<dyn Entropy>,
    pub node_name: Arc<str>,
}
