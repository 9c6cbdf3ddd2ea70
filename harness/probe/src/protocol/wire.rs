//! Frames: four bytes of length, then JSON.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

use super::MAX_FRAME;

/// Send one frame: four bytes of length, little-endian, then JSON.
pub fn send<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("frame of {} bytes is over the limit", body.len()),
        ));
    }
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame)?;
    stream.flush()
}

/// Receive one frame. Fails with `UnexpectedEof` if the other side is gone, with `InvalidData` if the frame is
/// malformed.
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes was announced"),
        ));
    }
    // The announced length is not trusted before the bytes have arrived.
    let mut body = Vec::new();
    stream.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Half a message in a whole frame is malformed, not the end of the stream.
    serde_json::from_slice(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Bytes as base64 text.
pub(super) mod bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        STANDARD
            .decode(String::deserialize(input)?)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;

    #[test]
    fn a_frame_survives_the_wire() {
        let mut wire = Vec::new();
        send(&mut wire, &Request::PolicyState).unwrap();
        let got: Request = receive(&mut wire.as_slice()).unwrap();
        assert!(matches!(got, Request::PolicyState));
    }

    #[test]
    fn a_lying_length_is_refused() {
        let huge = u32::MAX.to_le_bytes();
        let error = receive::<Request>(&mut huge.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let short = [10, 0, 0, 0, b'{'];
        let error = receive::<Request>(&mut short.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nonsense_is_an_error_value() {
        for body in ["{x}", "", "{\"do\":", "null", "{\"do\":\"no-such-thing\"}"] {
            let mut wire = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
            wire.extend_from_slice(body.as_bytes());
            let error = receive::<Request>(&mut wire.as_slice()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{body:?}");
        }
    }
}
