//! What the kernel knows of a connection.
//!
//! Owns the question how much a client has acknowledged. Must not know why it is asked. The macro of nix holds the one
//! unsafe call that asking takes; nothing else is used of it.

use nix::libc;
use nix::sys::socket::GetSockOpt;
use nix::sys::socket::sockopt::GetStruct;
use tokio::net::TcpStream;

/// The first 128 bytes of the kernel's `struct tcp_info`, which gives as many as it is asked for. All Linux since 4.1 has
/// them.
type FirstBytes = [u64; 16];

/// The place of `tcpi_bytes_acked` among them: behind 8 bytes, 24 numbers of 4, and 2 of 8.
const BYTES_ACKED: usize = 15;

#[derive(Clone, Copy)]
struct TcpInfo;

nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, FirstBytes, GetStruct<FirstBytes>);

/// How many bytes the client has ever acknowledged; 0 where that is not known.
pub(super) fn bytes_acknowledged(stream: &TcpStream) -> u64 {
    TcpInfo.get(stream).map_or(0, |info| info[BYTES_ACKED])
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn what_the_client_has_is_counted_to_the_byte() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let before = bytes_acknowledged(&stream);
        for sent in [1, 1_000, 100_000_u64] {
            let bytes = vec![7; usize::try_from(sent).unwrap()];
            let before = bytes_acknowledged(&stream);
            let mut taken = vec![0; bytes.len()];
            let (wrote, read) = tokio::join!(stream.write_all(&bytes), client.read_exact(&mut taken));
            wrote.unwrap();
            read.unwrap();
            while bytes_acknowledged(&stream) < before + sent {
                yield_now().await;
            }
        }
        assert_eq!(bytes_acknowledged(&stream) - before, 101_001);
    }
}
