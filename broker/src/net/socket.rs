//! A TCP connection that nobody watches while there is more to read than is read at a time. Knows no
//! AMQP.
//!
//! One worker waits for all sockets while the others work. Each packet of a stream of messages would
//! wake it, though the worker that reads the stream comes back for it anyway: by measurement seven
//! wake-ups of ten found nothing to do.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream as Unwatched};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

/// So many reads in a row that took all the room they were given: more is there, and will be.
const STREAM_READS: u32 = 8;

pub(super) struct Socket(State);

enum State {
    /// The runtime says when there is something to read, or room to write.
    Watched { stream: TcpStream, full_reads: u32 },
    /// Asked until it has nothing.
    Unwatched(Unwatched),
    /// It could not be given to the runtime, or taken from it.
    Lost,
}

impl Socket {
    pub fn new(stream: TcpStream) -> Socket {
        let full_reads = 0;
        Socket(State::Watched { stream, full_reads })
    }

    fn watch(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, State::Lost) {
            State::Unwatched(stream) => State::Watched {
                stream: TcpStream::from_std(stream)?,
                full_reads: 0,
            },
            other @ (State::Watched { .. } | State::Lost) => other,
        };
        Ok(())
    }

    fn unwatch(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, State::Lost) {
            State::Watched { stream, .. } => State::Unwatched(stream.into_std()?),
            other @ (State::Unwatched(_) | State::Lost) => other,
        };
        Ok(())
    }

    /// Asks the socket itself; None when it would have to wait, and is watched from now on.
    fn ask<T>(
        &mut self,
        context: &mut Context<'_>,
        mut asked: impl FnMut(&mut Unwatched) -> io::Result<T>,
    ) -> Poll<Option<io::Result<T>>> {
        let State::Unwatched(stream) = &mut self.0 else {
            return Poll::Ready(None);
        };
        // Others have their turn too, as with a socket of the runtime.
        let proceed = ready!(coop::poll_proceed(context));
        let result = loop {
            match asked(stream) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Poll::Ready(self.watch().err().map(Err))
            }
            result => {
                proceed.made_progress();
                Poll::Ready(Some(result))
            }
        }
    }
}

fn lost() -> io::Error {
    io::Error::from(ErrorKind::NotConnected)
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        if let Some(read) = ready!(self.ask(context, |stream| stream.read(room))) {
            let count = read?;
            buffer.advance(count);
            if buffer.remaining() > 0 {
                // The next one would find nothing. Should this fail, that one says so.
                let _ = self.watch();
            }
            return Poll::Ready(Ok(()));
        }
        let State::Watched { stream, full_reads } = &mut self.0 else {
            return Poll::Ready(Err(lost()));
        };
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        *full_reads = match buffer.remaining() {
            0 => *full_reads + 1,
            _ => 0,
        };
        if *full_reads >= STREAM_READS {
            let _ = self.unwatch();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(written) = ready!(self.ask(context, |stream| stream.write(bytes))) {
            return Poll::Ready(written);
        }
        match &mut self.0 {
            State::Watched { stream, .. } => Pin::new(stream).poll_write(context, bytes),
            State::Unwatched(_) | State::Lost => Poll::Ready(Err(lost())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Watched { stream, .. } => Pin::new(stream).poll_shutdown(context),
            State::Unwatched(stream) => Poll::Ready(stream.shutdown(Shutdown::Write)),
            State::Lost => Poll::Ready(Err(lost())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const ROOM: usize = 1024;
    const SOON: Duration = Duration::from_secs(30);

    impl Socket {
        fn is_watched(&self) -> bool {
            matches!(self.0, State::Watched { .. })
        }
    }

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Socket::new(accepted.unwrap().0), peer.unwrap())
    }

    /// A socket whose peer has sent so much at once that it is no longer watched, and what was read
    /// of it meanwhile.
    async fn streaming(octets: usize) -> (Socket, TcpStream, usize) {
        let (mut socket, mut peer) = pair().await;
        peer.write_all(&vec![1; octets]).await.unwrap();
        let mut read = 0;
        while socket.is_watched() && read < octets {
            read += socket.read(&mut [0; ROOM]).await.unwrap();
        }
        (socket, peer, read)
    }

    #[tokio::test]
    async fn a_stream_is_not_watched_until_it_pauses_and_then_wakes_its_reader() {
        let octets = 2 * STREAM_READS as usize * ROOM;
        let (mut socket, mut peer, mut read) = streaming(octets).await;
        assert!(!socket.is_watched());
        while read < octets {
            read += socket.read(&mut [0; ROOM]).await.unwrap();
        }
        let mut last = [0; ROOM];
        let (count, ()) = tokio::join!(
            async {
                let read = tokio::time::timeout(SOON, socket.read(&mut last));
                read.await.expect("nobody woke the reader").unwrap()
            },
            async {
                // The reader is asked first, and sleeps.
                tokio::task::yield_now().await;
                peer.write_all(b"later").await.unwrap();
            }
        );
        assert_eq!(&last[..count], b"later");
        assert!(socket.is_watched());
    }

    #[tokio::test]
    async fn a_pause_within_a_read_watches_the_stream_again() {
        let octets = STREAM_READS as usize * ROOM + 1;
        let (mut socket, mut peer, _) = streaming(octets).await;
        assert!(!socket.is_watched());
        assert_eq!(socket.read(&mut [0; ROOM]).await.unwrap(), 1);
        assert!(socket.is_watched());
        drop(peer.shutdown().await);
        assert_eq!(socket.read(&mut [0; ROOM]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_does_not_fit_the_socket_is_written_when_there_is_room_though_nobody_watched() {
        let octets = 2 * STREAM_READS as usize * ROOM;
        let (mut socket, mut peer, _) = streaming(octets).await;
        assert!(!socket.is_watched());
        let sent = vec![7; 16 * 1024 * 1024];
        let mut taken = Vec::new();
        let (written, read) = tokio::time::timeout(SOON, async {
            tokio::join!(
                async {
                    socket.write_all(&sent).await?;
                    socket.shutdown().await
                },
                peer.read_to_end(&mut taken)
            )
        })
        .await
        .expect("nobody woke the writer");
        written.unwrap();
        read.unwrap();
        assert!(taken == sent);
    }

    #[tokio::test]
    async fn a_stream_leaves_others_their_turn() {
        let octets = 4 * STREAM_READS as usize * ROOM;
        let (mut socket, _peer, mut read) = streaming(octets).await;
        let other = tokio::spawn(async {});
        while !other.is_finished() {
            read += socket.read(&mut [0]).await.unwrap();
            assert!(read < octets, "all was read before the other had a turn");
        }
        assert!(!socket.is_watched());
    }
}
