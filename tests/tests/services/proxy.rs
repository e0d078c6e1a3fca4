//! A TCP proxy that can be cut: what a shovel sees of a network that fails. Knows nothing of AMQP.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Listens on a free port and passes on what comes. It ends when it is dropped.
pub struct Proxy {
    port: u16,
    /// Grows with each cut.
    cuts: Arc<watch::Sender<u32>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// `target` is `host:port`, and need not be there all the time.
    pub async fn to(target: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let cuts = Arc::new(watch::Sender::new(0));
        let seen = Arc::clone(&cuts);
        let task = tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                let mut cut = seen.subscribe();
                let target = target.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass_on(here, &target) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Proxy { port, cuts, task }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Everything that runs through it breaks off, in the middle of whatever it was.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Until one end closes, or where the target is not there.
async fn pass_on(mut here: TcpStream, target: &str) {
    if let Ok(mut there) = TcpStream::connect(target).await {
        // How it ended is for the two ends to say.
        let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
    }
}
