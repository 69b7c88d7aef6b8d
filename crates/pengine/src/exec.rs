//! The standard input and output of a program in a container, as a stream of bytes through the engine.
//!
//! The engine sends both outputs of a program without a terminal in one stream of frames. A frame is a header of
//! eight bytes and a payload; the header has the kind (1 for standard output, 2 for standard error), three zeros, and
//! the length (moby `pkg/stdcopy`). The bytes that we send are not framed.

use std::io;

use bollard::config::ExecConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::connection::Connection;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::last_words::LastWords;

/// The most bytes that wait between the engine and the reader.
const ROOM: usize = 256 << 10;
const OUTPUT: u8 = 1;

/// Starts a program in a running container, and returns a connection with its standard input and output. The last
/// line of its standard error is kept.
pub(crate) async fn run(
    engine: &Engine,
    container: &str,
    command: &[&str],
) -> Result<(Connection, LastWords), EngineError> {
    let configuration = ExecConfig {
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        ..ExecConfig::default()
    };
    let refused = |source| EngineError::Exec { container: container.to_owned(), source: Box::new(source) };
    let exec = engine.docker().create_exec(container, configuration).await.map_err(refused)?;
    let stream = engine.start_exec(&exec.id).await?;
    let (from_engine, to_engine) = tokio::io::split(stream);
    let (ours, theirs) = tokio::io::duplex(ROOM);
    let (input, output) = tokio::io::split(theirs);
    let said = LastWords::default();
    tokio::spawn(demultiplex(from_engine, output, said.clone()));
    tokio::spawn(forward(input, to_engine));
    Ok((Box::new(ours), said))
}

/// Writes the payloads of standard output to `output` until the stream ends, and then closes `output`. Keeps in
/// `said` the last line of standard error, or of an error message that the engine sends as standard output.
async fn demultiplex(
    mut from: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    said: LastWords,
) -> io::Result<()> {
    let (mut payload, mut began) = (Vec::new(), false);
    loop {
        let mut header = [0; 8];
        if let Err(error) = from.read_exact(&mut header).await {
            output.shutdown().await?;
            return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error) };
        }
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let mut frame = (&mut from).take(length.into());
        if header[0] == OUTPUT && !began && length > 0 {
            // HTTP/2 begins with the length of a short frame, which is not a letter. A first payload that begins with
            // a visible character is therefore an error message of the engine, and is kept.
            began = true;
            frame.read_to_end(&mut payload).await?;
            if payload.first().is_some_and(u8::is_ascii_graphic) {
                said.keep(&payload);
            }
            output.write_all(&payload).await?;
        } else if header[0] == OUTPUT {
            tokio::io::copy(&mut frame, &mut output).await?;
        } else {
            payload.clear();
            frame.read_to_end(&mut payload).await?;
            said.keep(&payload);
        }
    }
}

async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 0, 0], length.as_slice(), payload].concat()
    }

    #[tokio::test]
    async fn output_is_what_was_written_however_it_is_framed() {
        let stream =
            [frame(1, b"one\n"), frame(2, b"warning\nlast\x1b words\n"), frame(1, b""), frame(1, b"\x01\x00two")];
        let (mut output, said) = (Vec::new(), LastWords::default());
        demultiplex(stream.concat().as_slice(), &mut output, said.clone()).await.unwrap();
        assert_eq!(output, b"one\n\x01\x00two");
        assert_eq!(said.text(), "last words");
    }

    #[tokio::test]
    async fn what_the_engine_says_in_place_of_a_program_is_kept() {
        let stream = frame(1, b"OCI runtime exec failed: no such file\r\n");
        let said = LastWords::default();
        demultiplex(stream.as_slice(), &mut Vec::new(), said.clone()).await.unwrap();
        assert_eq!(said.text(), "OCI runtime exec failed: no such file");
    }

    #[tokio::test]
    async fn a_stream_that_ends_in_a_frame_ends() {
        let cut = [frame(1, b"all"), frame(1, b"half")[..10].to_vec()].concat();
        let mut output = Vec::new();
        demultiplex(cut.as_slice(), &mut output, LastWords::default()).await.unwrap();
        assert_eq!(output, b"allha");
    }
}
