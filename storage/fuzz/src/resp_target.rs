//! The decoder of requests: no stream makes it panic, and however a stream is cut, the same comes out.

use bytes::{Bytes, BytesMut};
use pontoon::resp::{BIG_BULK_BYTES, Decoder, Encoder, Limits, Protocol, ProtocolError};

/// Small enough that inputs reach them; room for one argument that has its buffer to itself.
const LIMITS: Limits = Limits {
    bulk_bytes_max: 2 * BIG_BULK_BYTES,
    args_max: 64,
    inline_bytes_max: 64,
    buffered_bytes_max: 3 * BIG_BULK_BYTES,
    unauthenticated_bulk_bytes_max: 16,
    unauthenticated_args_max: 3,
};

/// In an input: the byte after the next stands as often as 256 times the next one says.
const REPEAT: u8 = 0xfe;

/// Reads `data` as a stream: at once, and in pieces of two sizes that its first byte says. What came out
/// is encoded and decoded again.
///
/// # Panics
/// When one of them differs.
pub fn resp(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let (stream, limits) = (expand(rest), if first & 1 == 0 { LIMITS } else { Limits::default() });
    let authenticated = first & 2 == 0;
    let decode = |piece: usize| decode(limits, authenticated, &stream, piece);
    let (requests, error) = decode(stream.len().max(1));
    // A long stream in fewer pieces than bytes, or most of the time goes there.
    let least = stream.len() >> 9;
    for piece in [usize::from(first >> 2) + 1, 1 << (first >> 4)].map(|piece| piece.max(least)) {
        assert_eq!(decode(piece), (requests.clone(), error), "in pieces of {piece}");
    }
    assert!(requests.iter().all(|request| !request.is_empty()));
    let mut encoder = Encoder::new(Protocol::Resp2);
    for request in &requests {
        encoder.array(request.len());
        request.iter().for_each(|arg| encoder.bulk_bytes(arg.clone()));
    }
    let encoded: Vec<u8> = encoder.into_chunks().flatten().collect();
    let again = self::decode(Limits::default(), true, &encoded, encoded.len().max(1));
    assert_eq!(again, (requests, None));
}

fn expand(data: &[u8]) -> Vec<u8> {
    let (mut stream, mut rest) = (Vec::new(), data);
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, rest) {
            (REPEAT, [times, what, behind @ ..]) if stream.len() <= 2 * BIG_BULK_BYTES => {
                stream.resize(stream.len() + (usize::from(*times) << 8), *what);
                rest = behind;
            }
            _ => stream.push(byte),
        }
    }
    stream
}

type Outcome = (Vec<Vec<Bytes>>, Option<ProtocolError>);

fn decode(limits: Limits, authenticated: bool, stream: &[u8], piece: usize) -> Outcome {
    let mut decoder = Decoder::new(limits);
    decoder.set_authenticated(authenticated);
    let mut input = BytesMut::new();
    let mut requests = Vec::new();
    for piece in stream.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(args)) => requests.push(args),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
        let missing = decoder.missing_bytes(input.len());
        assert!(missing <= limits.bulk_bytes_max + 2, "{missing} bytes are missing");
    }
    (requests, None)
}
