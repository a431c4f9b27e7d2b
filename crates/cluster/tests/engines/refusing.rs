//! A server that says the same to everything it is asked.
//!
//! Owns that. Must not know what a client makes of it.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Says `said` to each command from now on. The port.
pub(crate) async fn start(said: &'static str) -> u16 {
    start_slow(said, Duration::ZERO).await
}

/// The same after a while for each round trip, as from far away.
pub(crate) async fn start_slow(said: &'static str, latency: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, said, latency));
        }
    });
    port
}

/// Says nothing to the first connection but to its greeting, and one to each command of the others. The port.
pub(crate) async fn start_silent_first() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        // A client tells its name and its version.
        first.write_all(b"+OK\r\n+OK\r\n").await.unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, ":1", Duration::ZERO));
        }
        drop(first);
    });
    port
}

/// A command is the number of its words, and each word after its length.
async fn answer(stream: TcpStream, said: &str, latency: Duration) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        // What was sent together arrives together.
        if stream.buffer().is_empty() {
            stream.fill_buf().await.ok()?;
            tokio::time::sleep(latency).await;
        }
        for _ in 0..number(&mut stream).await? {
            let length = number(&mut stream).await?;
            stream.read_exact(&mut vec![0; length + 2]).await.ok()?;
        }
        stream.write_all(format!("{said}\r\n").as_bytes()).await.ok()?;
    }
}

async fn number(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim().get(1..)?.parse().ok()
}
