//! What a server sets an accepted connection to.

use std::io;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::TcpStream;

/// How long a client may leave bytes untaken that were sent to it, where nothing else is said.
pub const UNTAKEN: Duration = Duration::from_secs(60);

/// Makes answers leave at once, and has the kernel, which alone sees it, end the connection of a client that takes none of them for so long:
/// else it would keep its place, and what it was to be sent, for ever.
///
/// # Errors
/// What the system answers.
pub fn prepare(stream: &TcpStream, untaken: Duration) -> io::Result<()> {
    let milliseconds = u32::try_from(untaken.as_millis()).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_tcp_user_timeout(stream, milliseconds)?;
    stream.set_nodelay(true)
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::tcp_user_timeout;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_loses_its_connection() {
        let (mut stream, client) = connected().await;
        prepare(&stream, Duration::from_millis(500)).unwrap();
        let piece = vec![0; 1 << 20];
        let problem = loop {
            if let Err(problem) = stream.write_all(&piece).await {
                break problem;
            }
        };
        assert_eq!(problem.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn what_is_accepted_is_set_to_a_minute() {
        let (stream, _client) = connected().await;
        prepare(&stream, UNTAKEN).unwrap();
        assert_eq!(tcp_user_timeout(&stream).unwrap(), 60_000);
        assert!(stream.nodelay().unwrap());
    }
}
