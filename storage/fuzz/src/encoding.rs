//! The server's encoding: nothing that is stored can make decoding panic, and what it accepts is
//! stored exactly so.

use bytes::Bytes;
use pontoon::data::encoding::{
    Counters, KeyCounts, Record, chunk_index, chunk_key, decode_namespace, encode_namespace,
    expiry_key, flushed_key, garbage_key, hash, record_key, records_from, split_expiry_key,
    split_flushed_key, split_garbage_key, split_record_key,
};

/// Decodes `data` as everything that is stored, and encodes again what came out.
///
/// # Panics
/// When it comes out otherwise.
pub fn encoding(data: &[u8]) {
    let stored = Bytes::copy_from_slice(data);
    if let Ok(record) = Record::decode(stored.clone()) {
        assert_eq!(record.encode(), data);
        assert_eq!(
            record.is_expired(u64::MAX),
            record.expires_at_ms.is_some_and(|at| at != u64::MAX)
        );
    }
    if let Ok(counts) = KeyCounts::decode(data) {
        assert_eq!(counts.encode(), data);
    }
    if let Ok(counters) = Counters::decode(data) {
        assert_eq!(counters.encode(), data);
    }
    if let Ok(namespace) = decode_namespace(data) {
        assert_eq!(encode_namespace(namespace), data);
    }
    keys(&stored);
    client_key(data);
}

fn number(data: &[u8], at: usize) -> u64 {
    data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// `stored` as each of the keys.
fn keys(stored: &Bytes) {
    if let Ok((hash, key)) = split_record_key(stored) {
        assert_eq!(record_key(number(stored, 0), hash, &key), *stored);
    }
    if let Ok((at_ms, key)) = split_expiry_key(stored) {
        assert_eq!(expiry_key(number(stored, 0), at_ms, number(stored, 16), &key), *stored);
    }
    if let Ok(index) = chunk_index(stored) {
        assert_eq!(chunk_key(number(stored, 0), number(stored, 8), index), *stored);
    }
    // What is before the numbers is looked for by range, and so not looked at again.
    if let Ok(namespace) = split_flushed_key(stored) {
        assert!(flushed_key(namespace).ends_with(&stored[stored.len() - 8..]));
    }
    if let Ok((namespace, version)) = split_garbage_key(stored) {
        assert!(garbage_key(namespace, version).ends_with(&stored[stored.len() - 16..]));
    }
}

/// `data` as a client's key, or a string.
fn client_key(data: &[u8]) {
    let (namespace, hash) = (number(data, 0), hash(data));
    assert!(hash < 1 << 63);
    let stored = Bytes::from(record_key(namespace, hash, data));
    assert!(records_from(namespace, hash).contains(&stored));
    assert!(split_record_key(&stored).is_ok_and(|split| split == (hash, data.to_vec().into())));
    let expires = data.first().map(|byte| u64::from(*byte));
    let record = Record::inline_string(data.to_vec().into(), expires);
    assert!(Record::decode(record.encode().into()).is_ok_and(|decoded| decoded == record));
}
