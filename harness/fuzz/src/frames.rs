//! What a guest that lies may send: read or refused, and never more memory than there are bytes.
use virt_aa_probe::protocol::{Request, Response, receive};

/// Reads frames, of the agent and of the harness. Panics where that does not end as it should.
pub fn frames(bytes: &[u8]) {
    let mut reply = bytes;
    while receive::<Response>(&mut reply).is_ok() {}
    let mut request = bytes;
    while receive::<Request>(&mut request).is_ok() {}
    // With its length before it, so that more than lengths is tried.
    let length = u32::try_from(bytes.len()).expect("inputs are small");
    let framed = [&length.to_le_bytes(), bytes].concat();
    let _ = receive::<Response>(&mut &framed[..]);
    let _ = receive::<Request>(&mut &framed[..]);
}
